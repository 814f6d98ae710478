"""One task, whole: facts, timeline, and everything it was given, gave back and went through."""

import os
import sys
import webbrowser
from collections.abc import Mapping, Sequence
from typing import ClassVar

from pydantic import JsonValue
from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Input

from core.changes import Change, Deleted, Table, TaskChanged
from core.models import TaskFilter
from core.session import Session
from tui.actions import bindings, bindings_of
from tui.clipboard import copy
from tui.screens.confirm import ConfirmScreen
from tui.screens.live import LiveScreen, tell, tried
from tui.widgets.json_tree import JsonTree
from tui.widgets.key_line import KeyLine
from tui.widgets.quiet_input import QuietInput
from tui.widgets.tab_line import TabLine
from tui.widgets.task_facts import TaskFacts
from tui.widgets.timeline_bar import TimelineBar

_TABS = ("Input", "Output", "Error", "Events", "Raw")


class InspectorScreen(LiveScreen[None]):
    """Full screen. Follows the task while it runs."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings("inspector"),
        *bindings_of("app.next_pane", "app.previous_pane"),
    ]
    DEFAULT_CSS = """
    InspectorScreen {
        TimelineBar { margin-bottom: 1; }
        #search { display: none; }
        &.-searching #search { display: block; }
    }
    """

    def __init__(self, session: Session, task_id: int, siblings: Sequence[int] = ()) -> None:
        """`siblings` are the tasks of the list we come from, in its order, for `]` and `[`."""
        super().__init__(session)
        self.task_id = task_id
        self._siblings = [*siblings]
        self._view: TaskChanged | None = None

    def compose(self) -> ComposeResult:
        """From the top: facts, timeline, tabs, the document, keys."""
        yield TaskFacts()
        yield TimelineBar()
        yield TabLine(_TABS)
        yield JsonTree()
        yield QuietInput(placeholder="Search keys and values", id="search")
        yield KeyLine(
            ("app.next_pane", "switch"),
            ("tree.toggle", "fold"),
            ("tree.search", "search"),
            ("tree.copy", "copy"),
            ("task.retry", "retry"),
            ("task.cancel", "cancel"),
            ("app.back", "back"),
            ("app.help", "help"),
            ("inspector.next", "next task"),
        )

    def on_mount(self) -> None:
        """Shows the task."""
        super().on_mount()
        self.query_one(JsonTree).focus()
        self._load()

    @work(group="load", exclusive=True)
    async def _load(self) -> None:
        view = await tried(self, self.session.tasks.get(self.task_id))
        if view is not None:
            self.post_message(self.Heard([view]))
        elif self._view is None:
            self.dismiss()

    def heard(self, changes: list[Change]) -> None:
        """Our task's newest state."""
        for change in changes:
            if change.key != (Table.TASKS, self.task_id):
                continue
            if isinstance(change, TaskChanged):
                self._show(change)
            elif isinstance(change, Deleted):
                tell(self, f"Task #{self.task_id} no longer exists.", bad=True)
                self.dismiss()

    def _show(self, view: TaskChanged) -> None:
        first = self._view is None or self._view.task.id != view.task.id
        self._view = view
        self.query_one(TaskFacts).show(view.task, self.session.settings.engine)
        self.query_one(TimelineBar).show(self.session.tasks.steps(view))
        if first:
            wanted = "Error" if view.task.error else "Output" if view.task.output else "Input"
            self.query_one(TabLine).choose(wanted)
        self._show_document()

    @on(TabLine.Changed)
    def _show_document(self) -> None:
        if self._view is None:
            return
        tab = self.query_one(TabLine).chosen
        task_id = self._view.task.id
        self.query_one(JsonTree).show(
            document(self._view, tab), key=(task_id, tab), empty=f"No {tab.lower()}."
        )

    def _switch_to(self, task_id: int) -> None:
        self.task_id = task_id
        self._load()

    @work(group="write", exclusive=True)
    async def action_task_retry(self) -> None:
        """Retries the task, and shows the new attempt."""
        task = await tried(self, self.session.tasks.retry(self.task_id))
        if task is None:
            return
        tell(self, f"Task #{task.id} tries #{self.task_id} again.")
        if self._siblings:
            self._siblings.insert(self._siblings.index(self.task_id), task.id)
        self._switch_to(task.id)

    @work(group="write", exclusive=True)
    async def action_task_cancel(self) -> None:
        """Cancels the task, once confirmed."""
        if self._view is not None and self._view.task.status.final:
            tell(self, f"Task #{self.task_id} is already {self._view.task.status.value}.")
            return
        question = ConfirmScreen(f"Cancel task #{self.task_id}?", yes="cancel it", no="let it run")
        if await self.app.push_screen_wait(question):
            await tried(self, self.session.tasks.cancel(self.task_id))

    def action_inspector_link(self) -> None:
        """Opens the execution's page; over SSH its address goes to the user's own clipboard."""
        task = self._view.task if self._view is not None else None
        link = self.session.engine.link(task) if task is not None else None
        if link is None:
            engine = "the local worker" if self.session.engine.name == "local" else "no execution"
            tell(self, f"Task #{self.task_id} runs on {engine}: no n8n execution to open.")
        elif not _has_desktop() or not webbrowser.open(link):
            tell(self, copy(self.app, link, "the address of the execution"))

    def action_inspector_next(self) -> None:
        """To the task below in the list."""
        self._step(1)

    def action_inspector_previous(self) -> None:
        """To the task above in the list."""
        self._step(-1)

    @work(group="load", exclusive=True)
    async def _step(self, by: int) -> None:
        if self.task_id not in self._siblings:
            # Nobody said which, or it is not among them: through all there are.
            self._siblings = [*(await tried(self, self.session.tasks.ids(TaskFilter())) or ())]
        if self.task_id not in self._siblings:
            return
        to = self._siblings.index(self.task_id) + by
        if 0 <= to < len(self._siblings):
            self._switch_to(self._siblings[to])
        else:
            tell(self, f"This is the {'last' if by > 0 else 'first'} task of the list.")

    def action_inspector_next_tab(self) -> None:
        """The tab to the right."""
        self.query_one(TabLine).step(1)

    def action_inspector_previous_tab(self) -> None:
        """The tab to the left."""
        self.query_one(TabLine).step(-1)

    action_app_next_pane = action_inspector_next_tab
    action_app_previous_pane = action_inspector_previous_tab

    @on(JsonTree.SearchWanted)
    def _ask(self) -> None:
        self.add_class("-searching")
        self.query_one("#search", QuietInput).focus()

    @on(Input.Submitted, "#search")
    def _search(self, event: Input.Submitted) -> None:
        self._end_search()
        self.query_one(JsonTree).search(event.value)

    def _end_search(self) -> None:
        self.remove_class("-searching")
        self.query_one(JsonTree).focus()

    @on(JsonTree.Matched)
    def _say_match(self, event: JsonTree.Matched) -> None:
        note = f"match {event.number} of {event.total}" if event.total else "no match"
        self.query_one(TabLine).note(note)

    def action_app_back(self) -> None:
        """Out of the search, or out of the screen."""
        if self.has_class("-searching"):
            self._end_search()
        else:
            super().action_app_back()


def _has_desktop(env: Mapping[str, str] = os.environ) -> bool:
    # Without one, `webbrowser` would start a text browser in our terminal.
    here = "SSH_CONNECTION" not in env and "SSH_TTY" not in env
    return here and (sys.platform == "darwin" or "DISPLAY" in env or "WAYLAND_DISPLAY" in env)


def document(view: TaskChanged, tab: str) -> JsonValue:
    """What a tab shows of a task."""
    task = view.task
    if tab == "Input":
        return task.input_data
    if tab == "Output":
        return task.output_data
    if tab == "Error":
        return task.error_details
    if tab == "Raw":
        return task.model_dump(mode="json")
    return {
        f"{event.created_at.astimezone():%H:%M:%S.%f}"[:-3] + f" {event.event_type} #{event.id}": (
            event.event_data
        )
        for event in view.events
    }
