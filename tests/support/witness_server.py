"""A witness on loopback in this process, or something else that answers at its address."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Self

from ldv_otel._internal.tamper.note import NoteKey
from ldv_otel._internal.tamper.witness import Witness, WitnessAnswer, witness_signer
from ldv_otel._internal.tamper.witness_files import KnownWitness


class WitnessServer:
    """A witness of some logs.

    Args:
        directory: Its memory.
        logs: The keys of logs.

    Attributes:
        answer: What answers requests: the witness, or what a test puts in its place.
    """

    def __init__(self, directory: Path, *logs: NoteKey) -> None:
        self._logs = {log.name: [log] for log in logs}
        self.witness = Witness(witness_signer(directory), self._logs, directory)
        self.answer: Callable[[bytes], WitnessAnswer] = self.witness.add_checkpoint
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, daemon=True)

    def admit(self, log: NoteKey) -> None:
        """Witness one log more."""
        self._logs[log.name] = [log]

    @property
    def known(self) -> KnownWitness:
        """Its entry in the file of a log."""
        url = f"http://127.0.0.1:{self._server.server_address[1]}/witness"
        return KnownWitness(key=str(self.witness.key), url=url)

    def __enter__(self) -> Self:
        """Answer."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()


def _handler(server: WitnessServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answer = server.answer(self.rfile.read(int(self.headers["Content-Length"])))
            content = answer.content.encode()
            with suppress(ConnectionError):  # who asked did not wait any longer
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.content_type)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Keep the output of tests readable."""

    return Handler
