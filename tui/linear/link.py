"""The link to the database, in sentences: only what changes for the reader."""

from core.changes import LinkChanged, LinkState

_DOWN = (LinkState.RECONNECTING, LinkState.OFFLINE, LinkState.SIGNED_OUT)


class Link:
    """What was said of the link last."""

    def __init__(self) -> None:
        self._said = LinkState.LIVE

    def news(self, link: LinkChanged) -> str:
        """A sentence, or nothing where there is nothing new to say.

        A link that is being repaired goes through several states; it is down in all of them.
        """
        state = LinkState.OFFLINE if link.state in _DOWN else link.state
        if state is self._said or state is LinkState.CONNECTING:
            return ""
        self._said = state
        if state is LinkState.OFFLINE:
            if link.detail.endswith("."):
                return link.detail
            why = f" ({link.detail})" if link.detail else ""
            return f"The connection to the database is lost{why}; trying again."
        if state is LinkState.POLLING:
            return "Connected to the database; changes come a few seconds late."
        return "Connected to the database again."

    @property
    def up(self) -> bool:
        """Whether the database could be reached when we heard of it last."""
        return self._said is not LinkState.OFFLINE
