"""Every error a user can see: what happened, and what to do next, in one sentence.

`str(error)` is what is shown. `exit_code` is the command line's (see `ExitCode`).
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """The command line's exit codes; they are an interface for scripts."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    TRY_AGAIN = 3
    """Timed out or unreachable: the same command may succeed later."""
    CANCELLED = 4
    INTERRUPTED = 130


class SteplineError(Exception):
    """Base of all errors with a sentence for the user."""

    exit_code: ExitCode = ExitCode.FAILED


class ConfigError(SteplineError):
    """A settings file, `workflows.toml`, a flag or an environment variable is wrong."""

    exit_code = ExitCode.USAGE


class InputError(SteplineError):
    """What the user asked for cannot be done as given; nothing was written."""

    exit_code = ExitCode.USAGE


class UnknownTaskTypeError(InputError):
    """No workflow of this name in `workflows.toml`."""


class WorkflowNotConfiguredError(InputError):
    """The workflow is declared but nothing here can run it."""


class NotFoundError(SteplineError):
    """No such row, or it belongs to somebody else: the two are not told apart."""

    exit_code = ExitCode.USAGE


class IllegalTransitionError(SteplineError):
    """The task's state does not allow this; its state is named in the sentence."""


class StoreUnreachableError(SteplineError):
    """The database does not answer. Nothing is known to be lost; trying again is safe."""

    exit_code = ExitCode.TRY_AGAIN


class SignInNeededError(SteplineError):
    """Nobody is signed in, or the session is over; the sentence says how to sign in."""

    exit_code = ExitCode.USAGE


class SchemaError(SteplineError):
    """The database's schema is not the one this version needs."""


class EmbeddedServerError(SteplineError):
    """The bundled PostgreSQL could not be started."""

    exit_code = ExitCode.TRY_AGAIN
