"""How durations, times and numbers are written. Everything here fits one line."""

from datetime import datetime


def duration(seconds: float | None, *, tenths: bool = True) -> str:
    """Seconds as people read them: `8.4s`, `2m04s`, `1h05m`, `3d04h`; nothing for None."""
    if seconds is None:
        return ""
    seconds = max(0.0, seconds)
    if tenths and seconds < 59.95:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def clock_time(at: datetime, now: datetime) -> str:
    """A moment in this machine's time zone: `14:02` today, else `12 Mar 14:02` or `2024-03-12`."""
    at, now = at.astimezone(), now.astimezone()
    if at.date() == now.date():
        return f"{at:%H:%M}"
    if at.year == now.year:
        return f"{at.day} {at:%b %H:%M}"
    return f"{at:%Y-%m-%d}"


def count(number: float) -> str:
    """`2000` -> `2,000`; whole numbers without a fraction."""
    return f"{int(number):,}" if float(number).is_integer() else f"{number:,.1f}"


def plural(number: int, one: str, many: str | None = None) -> str:
    """`1 task`, `2 tasks`."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def still_running(number: int) -> str:
    """What leaving says of the tasks that run."""
    they = "it goes" if number == 1 else "they go"
    return (
        f"{plural(number, 'task is', 'tasks are')} still running; {they} on without this terminal."
    )


def fit(text: str, width: int, ellipsis: str = "…") -> str:
    """`text` on one line, cut to at most `width` cells; wide characters are never cut in half."""
    # Here and not above: the linear mode counts no cells, and does without rich.
    from rich.cells import cell_len, set_cell_size

    if width <= 0:
        return ""
    # Cut before measuring: what is far behind the edge can be a megabyte.
    head = text[: width * 8 + 8].replace("\n", " ").replace("\t", " ")
    if len(head) == len(text) and cell_len(head) <= width:
        return head
    if cell_len(head) <= width - 1:
        return head + ellipsis
    return set_cell_size(head, width - 1).rstrip() + ellipsis


def pad(text: str, width: int, ellipsis: str = "…") -> str:
    """`text` cut or filled to exactly `width` cells."""
    from rich.cells import cell_len

    text = fit(text, width, ellipsis)
    return text + " " * (width - cell_len(text))
