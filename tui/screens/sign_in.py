"""Asks who one is to the project: an address, then a password or the code that was mailed."""

from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import SecretStr
from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widgets import Input, Static

from core.errors import SteplineError
from tui.actions import bindings, bindings_of
from tui.screens.fitted import FittedModal
from tui.widgets.key_line import KeyLine
from tui.widgets.quiet_input import QuietInput

if TYPE_CHECKING:
    from core.auth.account import Account
    from core.auth.tokens import Tokens
    from core.settings import Settings

_KEYS = (
    ("compose.send", "sign in"),
    ("sign_in.code", "code by mail"),
    ("sign_in.anonymous", "no name"),
    ("app.back", "leave"),
)


class SignInScreen(FittedModal[bool]):
    """True once somebody is signed in. What lies below, drafts included, is left as it is."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("sign_in"), *bindings_of("app.back")]
    SCOPES = ("sign_in",)
    DEFAULT_CSS = """
    SignInScreen {
        align: center middle;
        Vertical {
            width: 64; max-width: 90%; height: auto;
            padding: 1 2; border: solid $primary; background: $background;
        }
        QuietInput { margin-top: 1; }
        #said { margin: 1 0; height: auto; min-height: 1; }
    }
    """

    def __init__(self, settings: "Settings", reason: str, expected: UUID | None = None) -> None:
        """`expected`: who was signed in before; the open session goes on as them only."""
        super().__init__()
        self._settings = settings
        self._reason = reason
        self._expected = expected
        self._mailed_to = ""
        self._account: Account | None = None

    def compose(self) -> ComposeResult:
        """Where to, two lines to type into, what came of it, the keys."""
        project = urlsplit(self._settings.supabase.url or "").netloc
        with Vertical():
            yield Static(Text(f"Sign in to {project}"))
            yield QuietInput(placeholder="you@example.org", max_length=320, id="email")
            yield QuietInput(
                placeholder="password; empty: a code by mail",
                max_length=1000,
                password=True,
                id="secret",
            )
            yield Static(Text(self._reason), id="said")
            yield KeyLine(*_KEYS)

    @property
    def email(self) -> QuietInput:
        """The address."""
        return self.query_one("#email", QuietInput)

    @property
    def secret(self) -> QuietInput:
        """The password, or the code."""
        return self.query_one("#secret", QuietInput)

    def on_mount(self) -> None:
        """The address of the session that ended is there already."""
        if email := self._opened().email:
            self.email.value = email
            self.secret.focus()
        else:
            self.email.focus()

    async def on_unmount(self) -> None:
        """Gives the connections back."""
        if self._account is not None:
            await self._account.close()

    @on(Input.Submitted, "#email")
    def _to_the_secret(self) -> None:
        self.secret.focus()

    @on(Input.Submitted, "#secret")
    def _given(self, event: Input.Submitted) -> None:
        if event.value:
            self._say("Signing in…")
            self._sign_in(self.email.value.strip(), event.value)
        else:
            self.action_sign_in_code()

    def action_sign_in_code(self) -> None:
        """Has a code mailed, to be typed in place of the password."""
        self._say("Asking for a code…")
        self._send_code(self.email.value.strip())

    @work(group="sign in", exclusive=True)
    async def action_sign_in_anonymous(self) -> None:
        """As a new user without a name, where the project allows it."""
        try:
            await self._done(await self._opened().service.anonymous())
        except SteplineError as error:
            self._say(str(error), bad=True)

    @work(group="sign in", exclusive=True)
    async def _send_code(self, address: str) -> None:
        try:
            await self._opened().service.send_code(address)
        except SteplineError as error:
            self._say(str(error), bad=True)
            return
        self._mailed_to = address
        self.secret.value = ""
        self.secret.placeholder = "the code from the mail, or the password"
        self.secret.focus()
        self._say(f"A code is on its way to {address}: type it above.")

    @work(group="sign in", exclusive=True)
    async def _sign_in(self, address: str, secret: str) -> None:
        service = self._opened().service
        try:
            # Whoever had a code mailed by mistake may still type the password.
            if self._mailed_to == address and secret.strip().isdecimal():
                tokens = await service.code(address, secret.strip())
            else:
                tokens = await service.password(address, SecretStr(secret))
            await self._done(tokens)
        except SteplineError as error:
            self._say(str(error), bad=True)

    def action_app_back(self) -> None:
        """Leaves everything as it was."""
        self.dismiss(False)

    async def _done(self, tokens: "Tokens") -> None:
        if self._expected is not None and tokens.user_id != self._expected:
            self._say(
                "That is somebody else: sign in as before, or leave stepline and start it again "
                "to go on as them.",
                bad=True,
            )
            return
        await self._opened().adopt(tokens)
        self.dismiss(True)

    def _say(self, sentence: str, *, bad: bool = False) -> None:
        self.query_one("#said", Static).update(Text(sentence, "red" if bad else ""))

    def _opened(self) -> "Account":
        if self._account is None:
            from core.auth.account import Account

            self._account = Account(self._settings)
        return self._account
