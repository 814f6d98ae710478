"""The bundled PostgreSQL in the user's data directory."""

from core.store.embedded.server import EmbeddedServer

__all__ = ["EmbeddedServer"]
