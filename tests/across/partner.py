"""A service that calls the Node party and is called back by it; prints what the Node party saw."""

from __future__ import annotations

import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.instrumentation.requests import RequestsInstrumentor

import ldv_otel as ldv

ACTIVITY = "https://register.example/activiteiten/"


class Called(BaseHTTPRequestHandler):
    """A server without any instrumentation of OpenTelemetry's."""

    def do_GET(self) -> None:
        """Serve a call; its path names the Actie."""
        context = ldv.extract(self.headers.items(), peer_address=self.client_address[0])
        token = otel_context.attach(context)
        with ldv.processing(ACTIVITY + "verstrekken", name=f"called {self.path}"):
            ldv.data_subject("123456782", type="BSN")
        otel_context.detach(token)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # the base class's signature
        """Say nothing."""


def main() -> None:
    """Play."""
    ldv.install()
    RequestsInstrumentor().instrument()
    with ThreadingHTTPServer(("127.0.0.1", 0), Called) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        back = f"http://127.0.0.1:{server.server_address[1]}"
        with (
            ldv.processing(ACTIVITY + "opvragen", name="caller"),
            trace.get_tracer("partner").start_as_current_span("technical"),
        ):
            print(requests.get(os.environ["PARTNER"], headers={"X-Back": back}, timeout=20).text)
        server.shutdown()


if __name__ == "__main__":
    main()
