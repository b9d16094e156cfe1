"""The Collector of collector-config as a process that a test can stop, kill and start again."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final, Self

from tests.support.loopback import free_port

CONFIGS: Final = Path(__file__).parents[2] / "collector-config"
KEY_ID: Final = "2026"
KEY_SECRET: Final = "for tests only: not a secret, but long enough"  # says so itself

_START_SECONDS: Final = 120


def binary() -> Path | None:
    """Return the Collector's binary if it was built."""
    command = [sys.executable, str(CONFIGS / "build.py"), "--where"]
    found = Path(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())
    return found if found.exists() else None


class CollectorProcess:
    """A Collector with one or more of our configurations on free ports of loopback, which stay over restarts.

    Args:
        program: Its binary.
        configs: File names in collector-config, or paths.
        directory: For its queue and its log.
        environ: What the configuration takes from the environment beyond ports and key.
    """

    def __init__(
        self, program: Path, configs: Sequence[str | Path], directory: Path, environ: Mapping[str, str]
    ) -> None:
        self.port, self.health_port, self.metrics_port = free_port(), free_port(), free_port()
        self.log = directory / "collector.log"
        self._command = [str(program), *(f"--config={CONFIGS / config}" for config in configs)]
        self._environ = {
            "LDV_HTTP_PORT": str(self.port),
            "LDV_GRPC_PORT": str(free_port()),
            "LDV_HEALTH_PORT": str(self.health_port),
            "LDV_METRICS_PORT": str(self.metrics_port),
            "LDV_KEY_ID": KEY_ID,
            "LDV_KEY_SECRET": KEY_SECRET,
            "LDV_QUEUE_DIR": str(directory / "queue"),
            "LDV_CLICKHOUSE_COMPRESS": "none",
            **environ,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        """Where clients send."""
        return f"http://127.0.0.1:{self.port}/v1/traces"

    @property
    def pid(self) -> int:
        """The process id, 0 when it does not run."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Start and wait until it is healthy."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env={**os.environ, **self._environ}, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._healthy():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"the Collector did not start: {self.log.read_text()[-3000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop it as a service manager does."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it as a crash does."""
        self._end(signal.SIGKILL)

    def __enter__(self) -> Self:
        """Return the process itself, running."""
        return self

    def __exit__(self, *_: object) -> None:
        """Kill it: nobody waits for what a test left in it."""
        self.kill()

    def _healthy(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.health_port, timeout=5)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status == http.client.OK
        except OSError:
            return False
        finally:
            connection.close()

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(30)


class HttpRecorder:
    """An HTTP server that keeps what it is sent and answers as a test says; a tracing backend, or a strange Collector.

    Attributes:
        bodies: What came in.
        answers: Status, headers and body for the coming requests; after those 200 without a body.
    """

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[Mapping[str, str]] = []
        self.answers: list[tuple[int, Mapping[str, str], bytes]] = []
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                recorder.bodies.append(self._body())
                recorder.headers.append(dict(self.headers))
                good = (200, {"Content-Type": "application/x-protobuf"}, b"")
                status, headers, body = recorder.answers.pop(0) if recorder.answers else good
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _body(self) -> bytes:
                if self.headers.get("Transfer-Encoding", "") != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length", "0")))
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
