"""A way to a PostgreSQL server that breaks exactly when a transaction commits, on either side of the commit."""

from __future__ import annotations

import selectors
import shutil
import socket
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, Self

#: Where libpq looks for a server in a directory.
_NAME: Final = ".s.PGSQL.5432"
_BYTES: Final = 1 << 16

#: Breaks before the server has the commit, or after the server has done it and before the client hears so.
Moment = Literal["before", "after"]


class PostgresqlProxy:
    """A socket in a directory of its own that passes everything on to a server's.

    Attributes:
        breaks: The next commit is cut at this moment, once; None for none.
        cuts: How many were.
    """

    def __init__(self, server_directory: str) -> None:
        self._server = str(Path(server_directory, _NAME))
        self._directory = tempfile.mkdtemp(prefix="ldv-pgx-")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(Path(self._directory, _NAME)))
        self._listener.listen()
        self._closing = False
        self._clients: list[socket.socket] = []
        self.breaks: Moment | None = None
        self.cuts = 0
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def conninfo(self, database: str) -> str:
        """Return what libpq connects with."""
        return f"postgresql://ldv@/{database}?host={self._directory}"

    def url(self, database: str, driver: str = "psycopg") -> str:
        """Return what SQLAlchemy connects with."""
        return self.conninfo(database).replace("postgresql:", f"postgresql+{driver}:", 1)

    @property
    def host(self) -> str:
        """Directory of its socket."""
        return self._directory

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        for client in self._clients:
            with suppress(OSError):  # its thread may have closed it
                client.shutdown(socket.SHUT_RDWR)
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)
        shutil.rmtree(self._directory)

    def _accept(self) -> None:
        while not self._closing:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._clients.append(client)
            thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):  # a server that is away, or a side that went away: the client sees it closed
            self._pass_on(client)

    def _pass_on(self, client: socket.socket) -> None:
        with socket.socket(socket.AF_UNIX) as server, selectors.DefaultSelector() as selector:
            server.connect(self._server)
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            while True:
                for key, _ in selector.select():
                    source = key.fileobj
                    assert isinstance(source, socket.socket)
                    content = source.recv(_BYTES)
                    if not content:
                        return
                    if source is client and b"COMMIT" in content and self.breaks is not None:
                        moment, self.breaks = self.breaks, None
                        self.cuts += 1
                        if moment == "after":
                            server.sendall(content)
                            # What it answers shows that it is done.
                            server.recv(_BYTES)
                        return
                    key.data.sendall(content)
