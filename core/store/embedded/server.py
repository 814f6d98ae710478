"""One PostgreSQL for all stepline processes of a user, there while any of them is."""

import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from core.errors import EmbeddedServerError
from core.lease import Lease, exclusively
from core.store.embedded.account import Account, account_for, let_through
from core.store.embedded.layout import Layout, make_socket_dir
from core.store.embedded.probe import Answer, probe
from core.store.embedded.sentences import refused
from core.text import clean_line

_LOCK_SECONDS = 90.0
"""More than a start after a crash may take: whoever waits here waits for that."""


class EmbeddedServer:
    """This process's hold on the PostgreSQL in `data_dir`.

    Who holds it is a file lock that the kernel drops with the process, so a killed holder leaves
    nothing to clean up: the server waits for the next one, and stops when that one leaves as the
    last. All methods block (a few milliseconds while the server runs), may be called from any
    thread, and raise `EmbeddedServerError`.
    """

    def __init__(self, data_dir: Path) -> None:
        self._layout = Layout(data_dir.expanduser().resolve())
        self._lease = Lease(self._layout.lease)

    def start(self) -> str:
        """Makes and starts the server if need be, holds it, and says how to connect (libpq)."""
        with self._told():
            self._layout.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            with exclusively(self._layout.lock, timeout_seconds=_LOCK_SECONDS) as lock:
                held = self._lease.held
                alone = self._lease.try_exclusive()
                self._lease.release()
                self._lease.acquire_shared()
                try:
                    account = account_for(self._layout.cluster)
                    self._bring_up(account, lock, alone=alone)
                except BaseException:
                    if not held:
                        self._lease.release()
                    raise
                return self._layout.conninfo(account)

    def ensure_running(self) -> None:
        """Starts the server again if it died; needs a hold from `start`."""
        if not self._lease.held:
            raise EmbeddedServerError(
                "The bundled PostgreSQL was given back by this process; start stepline again."
            )
        with self._told():
            if self._probe(account_for(self._layout.cluster)) is not Answer.READY:
                self.start()

    def release(self, *, stop: bool = True) -> None:
        """Gives the hold back, and stops the server if nobody else has one; safe to call twice.

        With `stop` false it is left running, for the next holder to stop: an engine that is no
        process of ours, such as n8n, may be at work in it.
        """
        if not self._lease.held:
            return
        if not stop:
            self._lease.release()
            return
        if not self._layout.data_dir.exists():
            self._lease.release()  # a server whose directory was removed ends by itself
            return
        with self._told(), exclusively(self._layout.lock, timeout_seconds=_LOCK_SECONDS):
            if self._lease.try_exclusive():
                from core.store.embedded.postmaster import shut_down

                try:
                    shut_down(self._layout, account_for(self._layout.cluster))
                finally:
                    self._lease.release()

    def _bring_up(self, account: Account, lock: Lease, *, alone: bool) -> None:
        if self._probe(account) is Answer.READY:
            return
        # Needed to start a server only: psutil, subprocess.
        from core.store.embedded import binaries
        from core.store.embedded.cluster import ensure_cluster
        from core.store.embedded.postmaster import bring_up

        if not alone:
            self._refuse_other_machine(lock)
        binaries.open_to(account)
        let_through(account, self._layout.cluster)
        ensure_cluster(self._layout, account, lock)
        os.pwrite(lock.fileno(), socket.gethostname().encode() + b"\n", 0)
        bring_up(self._layout, account)

    def _refuse_other_machine(self, lock: Lease) -> None:
        # On a shared home directory file locks reach across machines, sockets and process
        # numbers do not: a server that seems dead here may be at work over there, and two on
        # one cluster destroy it.
        host = os.pread(lock.fileno(), 300, 0).partition(b"\n")[0].decode("utf-8", "replace")
        if host not in ("", socket.gethostname()) and self._layout.pid_file.exists():
            raise EmbeddedServerError(
                f"The database in {self._layout.data_dir} is in use on the machine "
                f"{clean_line(host)}; leave stepline there first, or use --data-dir here."
            )

    def _probe(self, account: Account) -> Answer:
        socket = self._layout.socket(account)
        if socket.parent != self._layout.cluster:
            # Outside our own directory: somebody else may have put a server there first.
            make_socket_dir(socket.parent, account)
        return probe(socket)

    @contextmanager
    def _told(self) -> Generator[None]:
        """Puts what the system refuses into a sentence."""
        layout = self._layout
        try:
            yield
        except TimeoutError as error:
            raise EmbeddedServerError(
                f"Another stepline has been starting or stopping the database in "
                f"{layout.data_dir} for {_LOCK_SECONDS:.0f} s; end it and try again."
            ) from error
        except OSError as error:
            raise EmbeddedServerError(refused(layout, error)) from error
