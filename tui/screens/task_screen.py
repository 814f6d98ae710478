"""A screen on which tasks can be retried, cancelled and inspected."""

from textual import on, work

from core.errors import SteplineError
from tui.context import context
from tui.messages import CancelTask, InspectTask, RetryTask
from tui.screens.fitted import FittedScreen
from tui.screens.live import tell


class TaskScreen(FittedScreen[None], inherit_bindings=False):
    """Does what its panes ask for."""

    @on(RetryTask)
    @work(group="task")
    async def _retry(self, event: RetryTask) -> None:
        try:
            await context(self).session.tasks.retry(event.task_id)
        except SteplineError as error:
            tell(self, str(error), bad=True)

    @on(CancelTask)
    @work(group="task")
    async def _cancel(self, event: CancelTask) -> None:
        from tui.screens.confirm import ConfirmScreen

        question = f"Cancel task #{event.task_id}? What it wrote so far stays."
        if await self.app.push_screen_wait(ConfirmScreen(question, yes="cancel it", no="go on")):
            try:
                await context(self).session.tasks.cancel(event.task_id)
            except SteplineError as error:
                tell(self, str(error), bad=True)

    @on(InspectTask)
    def _inspect(self, event: InspectTask) -> None:
        from tui.screens.inspector import InspectorScreen

        session = context(self).session
        self.app.push_screen(InspectorScreen(session, event.task_id, event.siblings))
