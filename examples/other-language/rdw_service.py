"""The vehicle authority's service, in Python with ldv_otel: it answers one kind of question, on the port it prints."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, HTTPServer

from opentelemetry import context
from opentelemetry.propagate import extract

import ldv_otel as ldv


class Rdw(BaseHTTPRequestHandler):
    """Says whose vehicle it is, and logs that it did."""

    def do_GET(self) -> None:
        """Answer a question as part of the caller's trace."""
        token = context.attach(extract(self.headers))
        try:
            with ldv.processing("https://register.rdw.example/activiteiten/eigenaar", name="Zoek eigenaar"):
                ldv.data_subject("123456782", type="BSN")
            self.send_response(200)
            self.end_headers()
        finally:
            context.detach(token)


if __name__ == "__main__":
    ldv.install()  # LDV_LOGBOEK=otlp+http://127.0.0.1:4318 for the same Collector
    server = HTTPServer(("127.0.0.1", 0), Rdw)
    print(f"http://127.0.0.1:{server.server_port}/eigenaar", flush=True)
    server.serve_forever()
