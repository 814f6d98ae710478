"""All conversations: find, open, rename, archive, delete, export."""

import asyncio
from typing import ClassVar, Literal

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Input, Static

from core.changes import Change, ConversationChanged, Deleted, Table
from core.models import Conversation
from core.session import Session
from tui.actions import bindings, bindings_of
from tui.export import file_name, format_of, write_new
from tui.paint.styles import BOLD, DIM
from tui.screens.confirm import ConfirmScreen
from tui.screens.live import LiveScreen, tell, tried
from tui.screens.prompt import PromptScreen
from tui.widgets.conversation_list import ConversationList
from tui.widgets.key_line import KeyLine
from tui.widgets.quiet_input import QuietInput

Choice = int | Literal["new"] | None
"""What the screen was left with: a conversation's id, a new one, or as things were."""


class ConversationsScreen(LiveScreen[Choice]):
    """Full screen; its result says which conversation to show."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings("conversations"),
        *bindings_of("list.search", "list.down"),
    ]
    DEFAULT_CSS = """
    ConversationsScreen {
        #heading { height: 1; }
        #search { display: none; }
        &.-searching #search { display: block; }
    }
    """

    def __init__(self, session: Session, current: int | None = None) -> None:
        """`current` is the conversation that is open."""
        super().__init__(session)
        self._current = current
        self._archived = False

    def compose(self) -> ComposeResult:
        """Heading, search, list, keys."""
        yield Static(id="heading")
        yield QuietInput(placeholder="Search titles and text", id="search")
        yield ConversationList(self._current)
        yield KeyLine(
            ("list.open", "open"),
            ("list.search", "search"),
            ("chat.new", "new"),
            ("conversations.rename", "rename"),
            ("conversations.archive", "archive"),
            ("conversations.delete", "delete"),
            ("conversations.export", "export"),
            ("app.back", "back"),
            ("app.help", "help"),
            ("conversations.archived", "show archived"),
        )

    def on_mount(self) -> None:
        """Loads the list."""
        super().on_mount()
        self._list.focus()
        self._load()

    @property
    def _list(self) -> ConversationList:
        return self.query_one(ConversationList)

    @work(group="load", exclusive=True)
    async def _load(self) -> None:
        archived = self._archived
        loaded = await tried(self, self.session.chat.conversations(archived=archived))
        if loaded is not None:
            self._list.load(loaded)
            self._head()

    def _head(self) -> None:
        what = "Archived conversations" if self._archived else "Conversations"
        heading = Text.assemble((f" {what}", BOLD), (f"  {self._list.count}", DIM))
        self.query_one("#heading", Static).update(heading, layout=False)

    def heard(self, changes: list[Change]) -> None:
        """Conversations that came, changed or went."""
        for change in changes:
            if isinstance(change, ConversationChanged):
                conversation = change.conversation
                if conversation.is_archived == self._archived:
                    self._list.put(conversation)
                else:
                    self._list.drop(conversation.id)
            elif isinstance(change, Deleted) and change.table is Table.CONVERSATIONS:
                self._list.drop(change.id)
        self._head()

    @on(ConversationList.Chosen)
    @on(Input.Submitted, "#search")
    def _open(self) -> None:
        if (conversation := self._list.current) is not None:
            self.dismiss(conversation.id)

    def action_chat_new(self) -> None:
        """Begins a new conversation."""
        self.dismiss("new")

    def action_list_search(self) -> None:
        """To the search line."""
        self.add_class("-searching")
        self.query_one("#search", QuietInput).focus()

    @on(Input.Changed, "#search")
    def _search(self, event: Input.Changed) -> None:
        self._list.search(event.value)
        self._head()
        self._search_text(event.value)

    @work(group="search", exclusive=True)
    async def _search_text(self, query: str) -> None:
        if not query.strip():
            return
        # The database is asked once the typing pauses.
        await asyncio.sleep(0.15)
        found = await tried(
            self, self.session.chat.conversations(text=query.strip(), archived=self._archived)
        )
        self._list.found(query, found or ())
        self._head()

    def action_list_down(self) -> None:
        """From the search line into what was found."""
        self._list.focus()

    def action_app_back(self) -> None:
        """Out of the search, which shows all again, or out of the screen."""
        if not self.has_class("-searching"):
            self.action_screen_close()
            return
        self.remove_class("-searching")
        self.query_one("#search", QuietInput).value = ""
        self._list.focus()

    @work(group="write", exclusive=True)
    async def action_conversations_rename(self) -> None:
        """Asks for another title."""
        if (conversation := self._list.current) is None:
            return
        title = await self.app.push_screen_wait(
            PromptScreen("The conversation's title", conversation.title)
        )
        if title is not None and title != conversation.title:
            await tried(self, self.session.chat.rename(conversation.id, title))

    @work(group="write", exclusive=True)
    async def action_conversations_archive(self) -> None:
        """Puts it away, or takes it out again."""
        if (conversation := self._list.current) is None:
            return
        archived = not conversation.is_archived
        if await tried(self, self.session.chat.archive(conversation.id, archived)):
            done = "Archived" if archived else "Took out of the archive"
            tell(self, f"{done}: {conversation.title}")

    def action_conversations_archived(self) -> None:
        """Shows the archived ones instead, or the others again."""
        self._archived = not self._archived
        self._load()

    @work(group="write", exclusive=True)
    async def action_conversations_delete(self) -> None:
        """Deletes it, once confirmed."""
        if (conversation := self._list.current) is None:
            return
        question = (
            f"Delete “{_short(conversation)}” and all its messages?"
            " A task that still runs for it is cancelled. This cannot be undone."
        )
        if await self.app.push_screen_wait(ConfirmScreen(question, yes="delete", no="keep")):
            await tried(self, self.session.chat.delete(conversation.id))

    @work(group="write", exclusive=True)
    async def action_conversations_export(self) -> None:
        """Writes it to a file: Markdown, or JSON if the file's name ends so."""
        if (conversation := self._list.current) is None:
            return
        name = await self.app.push_screen_wait(
            PromptScreen(
                "Export to which file? A name that ends in .json gives JSON, any other Markdown.",
                file_name(conversation.title, conversation.id),
            )
        )
        if name and name.strip():
            path = await tried(self, self._export(conversation.id, name.strip()))
            if path is not None:
                tell(self, f"Exported to {path}")

    async def _export(self, conversation_id: int, name: str) -> str:
        text = await self.session.chat.export(conversation_id, format_of(name))
        return str(await asyncio.to_thread(write_new, name, text))


def _short(conversation: Conversation) -> str:
    title = conversation.title
    return title if len(title) <= 60 else f"{title[:59]}…"
