"""What lies over a screen, or covers it: help, palette, questions, at two sizes."""

from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.screen import Screen

from core.settings import Settings
from tests.support.database import Database
from tests.tui.conftest import Picture, until
from tests.tui.test_main_pictures import busy, shown
from tui.screens.confirm import ConfirmScreen
from tui.screens.prompt import PromptScreen

QUESTION = "Delete “Refund policy for annual plans” and all its messages? It cannot be undone."
DIALOGS: dict[str, Callable[[], Screen[Any]]] = {
    "confirm": lambda: ConfirmScreen(QUESTION, yes="delete", no="keep"),
    "prompt": lambda: PromptScreen("The conversation's title", "Refund policy"),
}
KEYS = {"help": ("f1", "While typing"), "palette": ("ctrl+p", "What do you want")}


@pytest.mark.parametrize("size", [(80, 24), (60, 16)])
@pytest.mark.parametrize("name", [*DIALOGS, *KEYS])
def test_picture(
    snap_compare, settings: Settings, database: Database, name: str, size: tuple[int, int]
):
    busy(database, settings)

    async def open_it(pilot: Pilot[Any]) -> None:
        await shown(pilot)
        app = pilot.app
        assert isinstance(app, Picture)
        if name in DIALOGS:
            app.push_screen(DIALOGS[name]())
            await pilot.pause()
            return
        key, shows = KEYS[name]
        await pilot.press(key)
        await until(pilot, lambda: shows in app.screen_text())

    assert snap_compare(Picture(settings), terminal_size=size, run_before=open_it)
