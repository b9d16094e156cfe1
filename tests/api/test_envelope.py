"""What stands around every answer, where an answer cannot be given."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from ldv_otel._internal.api.envelope import Envelope

SCOPE: dict[str, Any] = {"type": "http", "path": "/x", "method": "GET", "scheme": "http", "headers": []}


async def nothing() -> dict[str, Any]:
    """No body."""
    return {"type": "http.request", "body": b"", "more_body": False}


def test_an_answer_that_cannot_be_sent_is_no_error_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever breaks the protocol or hangs up must not fill the log of who watches it; the access log has its line."""
    tries = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def gone(message: Any) -> None:
        tries.append(message)
        raise RuntimeError("can't handle event type Response when role=SERVER and state=ERROR")

    with caplog.at_level(logging.DEBUG, logger="ldv_otel"):
        asyncio.run(Envelope(app, versions={})(dict(SCOPE), nothing, gone))
    assert len(tries) == 1
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []
    assert "GET" in caplog.text


def test_an_error_of_ours_is_one(caplog: pytest.LogCaptureFixture) -> None:
    """It is answered and logged, without its message."""
    sent: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive, send
        raise RuntimeError("123456782")

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(Envelope(app, versions={})(dict(SCOPE), nothing, send))
    assert sent[0]["status"] == 500
    assert [record.levelno for record in caplog.records] == [logging.CRITICAL]
    assert "123456782" not in caplog.text
