"""The first line: the name, the conversation's title, the link, the engine, how many run."""

from rich.cells import cell_len
from textual.strip import Strip
from textual.widget import Widget

from core.changes import LinkChanged, LinkState
from tui.context import context
from tui.format import fit
from tui.paint import styles
from tui.paint.lines import Line, line, width_of

_STYLES = {
    LinkState.CONNECTING: styles.DIM,
    LinkState.LIVE: styles.DONE,
    LinkState.RECONNECTING: styles.WARNING,
    LinkState.POLLING: styles.WARNING,
    LinkState.OFFLINE: styles.FAILED,
    LinkState.SIGNED_OUT: styles.FAILED,
}


class StatusHeader(Widget):
    """Told down by `show`; repaints only what it is told."""

    DEFAULT_CSS = "StatusHeader { height: 1; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._title = ""
        self._link = LinkChanged(LinkState.CONNECTING)
        self._engine = ""
        self._engine_up = True
        self._run_count = 0

    def show(
        self,
        *,
        title: str | None = None,
        link: LinkChanged | None = None,
        engine: str | None = None,
        engine_up: bool | None = None,
        running: int | None = None,
    ) -> None:
        """What is not given stays."""
        old = (self._title, self._link, self._engine, self._engine_up, self._run_count)
        self._title = self._title if title is None else title
        self._link = self._link if link is None else link
        self._engine = self._engine if engine is None else engine
        self._engine_up = self._engine_up if engine_up is None else engine_up
        self._run_count = self._run_count if running is None else running
        if old != (self._title, self._link, self._engine, self._engine_up, self._run_count):
            self.refresh()

    def render_line(self, y: int) -> Strip:  # noqa: ARG002
        """Draws it: title left, state right; the title gives way first."""
        width = self.size.width
        symbols = context(self).symbols
        right = self._state()
        name = " stepline"
        room = width - len(name) - width_of(right) - 5
        title = fit(self._title, room, symbols.ellipsis) if room > 3 else ""
        left = line(
            (name, styles.BOLD), ("   " if title else "", styles.PLAIN), (title, styles.PLAIN)
        )
        gap = max(1, width - width_of(left) - width_of(right) - 1)
        parts = [*left, *line((" " * gap, styles.PLAIN)), *right]
        return Strip(parts).adjust_cell_length(width).apply_style(self.rich_style)

    def _state(self) -> Line:
        symbols, state = context(self).symbols, self._link.state
        symbol = {
            LinkState.CONNECTING: symbols.reconnecting,
            LinkState.LIVE: symbols.live,
            LinkState.RECONNECTING: symbols.reconnecting,
            LinkState.POLLING: symbols.polling,
            LinkState.OFFLINE: symbols.offline,
            LinkState.SIGNED_OUT: symbols.offline,
        }[state]
        engine = f"   {self._engine}" if self._engine and self.size.width >= 60 else ""
        if not self._engine_up:
            # Said at any width: nothing will run.
            engine = f"   {self._engine} down"
        running = f"   {self._run_count} running"
        if self._engine_up and cell_len(engine + running) > self.size.width // 2:
            engine = ""
        return line(
            (f"{symbol} {state.value}", _STYLES[state]),
            (engine, styles.DIM if self._engine_up else styles.BOLD),
            (running, styles.PLAIN if self._run_count else styles.DIM),
        )
