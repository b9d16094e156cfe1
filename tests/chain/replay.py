"""A party that replays recorded answers of another implementation (`tests/data/lezen-2026`), as a process of its own.

python -m tests.chain.replay       prints its port, and answers what was recorded for the same question
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).parents[1] / "data" / "lezen-2026"
PATH = "/data-processing-operations"
NOTHING: dict[str, Any] = json.loads((RECORDED / "10-read-nothing-found.json").read_text())["response"]
PAIRS = [json.loads((RECORDED / f"{name}.json").read_text()) for name in ("07-read-trace", "08-read-subject-window")]


def answer_to(question: dict[str, Any]) -> dict[str, Any]:
    """The recorded answer to a question; as the original, it finds a trace in both spellings of its id."""
    for pair in PAIRS:
        recorded = pair["request"]["body"]
        if recorded == question | {"traceId": recorded.get("traceId")} and (
            recorded.get("traceId", "").replace("-", "") == question.get("traceId", "").replace("-", "")
        ):
            return dict(pair["response"])
    return NOTHING


class Replay(BaseHTTPRequestHandler):
    """It has one path, wants a token, and refuses every member that is not in the strict form."""

    def do_POST(self) -> None:
        """Answer as recorded."""
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != PATH:
            self._send(404, {})
        elif self.headers["Authorization"] != "Bearer lees":
            self._send(401, {})
        elif not set(question) <= {"traceId", "startTime", "endTime", "attributes"}:
            self._send(400, {})
        else:
            answer = answer_to(question)
            self._send(answer["status"], answer["body"])

    def do_GET(self) -> None:
        """It has nothing else."""
        self._send(404, {})

    def _send(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", 0), Replay) as server:
        print(server.server_port, flush=True)
        server.serve_forever()
    sys.exit(0)
