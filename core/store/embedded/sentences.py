"""The sentences for a server that does not come up."""

import errno
import re

from core.store.embedded.layout import Layout
from core.text import clean_line

_NO_SPACE = ("No space left on device", "Disk quota exceeded", "Check free disk space")
_COMPLAINT = re.compile(r"(?:PANIC|FATAL|ERROR|error):.*")


def failed(layout: Layout, said: str) -> str:
    """The sentence for a program of PostgreSQL that failed and said this."""
    if any(mark in said for mark in _NO_SPACE):
        return no_space(layout)
    # The first complaint is the cause, those after it its consequences.
    found = _COMPLAINT.search(said)
    reason = clean_line(found[0]) if found else "it gave no reason"
    return (
        f"The bundled PostgreSQL failed ({reason}); its words are in {layout.log}, "
        "and trying again is safe."
    )


def no_space(layout: Layout) -> str:
    """The sentence for a full disk."""
    return (
        f"The disk of {layout.data_dir} is full; free some space (a new database needs 100 MB) "
        "or choose another directory with --data-dir."
    )


def refused(layout: Layout, error: OSError) -> str:
    """The sentence for what the system did not let us do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return no_space(layout)
    where = error.filename or layout.data_dir
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return (
            f"stepline may not write to {where}; change its permissions, "
            "or choose another directory with --data-dir."
        )
    return (
        f"The bundled PostgreSQL in {layout.data_dir} could not be started "
        f"({error.strerror or error}: {where}); choose another directory with --data-dir."
    )
