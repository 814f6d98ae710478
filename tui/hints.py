"""Which keys the last line of the main screen names, by the pane that has the focus."""

COMPOSER = (
    ("compose.send", "send"),
    ("compose.newline", "line"),
    ("compose.leave", "conversation"),
    ("app.next_pane", "tasks"),
    ("app.palette", "commands"),
    ("app.help", "help"),
    ("app.quit", "quit"),
)
CONVERSATION = (
    ("chat.type", "type"),
    ("chat.new", "new"),
    ("task.retry", "retry"),
    ("task.cancel", "cancel"),
    ("chat.edit", "edit"),
    ("chat.copy", "copy"),
    ("chat.steps", "steps"),
    ("chat.thinking", "thinking"),
    ("list.search", "search"),
    ("app.help", "help"),
)
PANEL = (
    ("list.open", "inspector"),
    ("task.retry", "retry"),
    ("task.cancel", "cancel"),
    ("task.new", "new task"),
    ("app.back", "conversation"),
    ("app.next_pane", "type"),
    ("app.help", "help"),
)
SEARCH = (("list.open", "search"), ("app.back", "leave"))
