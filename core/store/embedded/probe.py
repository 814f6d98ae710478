"""Asks a socket whether PostgreSQL answers on it, in a few milliseconds and without a driver."""

import enum
import os
import socket
import struct
from pathlib import Path

from core.store.embedded.layout import DATABASE, SUPERUSER

_PROTOCOL = 3 << 16
_TERMINATE = struct.pack("!cI", b"X", 4)
_PATIENCE_SECONDS = 5.0


class Answer(enum.Enum):
    """What came back."""

    READY = enum.auto()
    NOT_YET = enum.auto()
    """There is a server, but it is starting, recovering or stopping, or it hangs."""
    NOBODY = enum.auto()


def probe(path: Path) -> Answer:
    """Begins a session on the socket and ends it at once."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
        channel.settimeout(_PATIENCE_SECONDS)
        try:
            channel.connect(os.fsencode(path))
            channel.sendall(_startup())
            answer = channel.recv(1024)
            if answer[:1] != b"E" and answer:
                channel.sendall(_TERMINATE)
        except (FileNotFoundError, ConnectionError):
            return Answer.NOBODY
        except TimeoutError:
            return Answer.NOT_YET
    # 57P03, cannot_connect_now, is the one refusal that will pass; a server that refuses for
    # another reason (too many clients, the database was dropped) is up.
    if not answer or b"C57P03\0" in answer:
        return Answer.NOT_YET
    return Answer.READY


def _startup() -> bytes:
    fields = f"user\0{SUPERUSER}\0database\0{DATABASE}\0\0".encode()
    return struct.pack("!II", len(fields) + 8, _PROTOCOL) + fields
