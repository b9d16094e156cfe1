"""What the read API and the APIs of GEMMA read and write alike."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from ldv_otel._internal.api.auth.tokens import bearer_token, check_token_form
from ldv_otel._internal.api.messages import media_type_of, server_url
from ldv_otel._internal.config.settings import ServeSettings


def request_with(**headers: str) -> Request:
    """A request with these headers."""
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "headers": pairs})


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        ("Bearer", ""),
        ("Bearer ", ""),
        ("Basic abc", None),
        ("abc", None),
        ("", None),
    ],
)
def test_a_bearer_token(header: str, token: str | None) -> None:
    """An empty one is one that is wrong; another scheme is none."""
    assert bearer_token(request_with(authorization=header)) == token


def test_no_header_is_no_token() -> None:
    """So that a client certificate can count."""
    assert bearer_token(request_with()) is None


@pytest.mark.parametrize("token", ["x" * 16_385, "é"])
def test_what_is_no_token_is_not_parsed(token: str) -> None:
    """Nor what is too long for one."""
    with pytest.raises(ValueError, match="16384 characters, or others than ASCII"):
        check_token_form(token)
    check_token_form("x" * 16_384)


@pytest.mark.parametrize(
    ("header", "media_type"),
    [("application/json", "application/json"), ("Application/JSON; charset=utf-8", "application/json"), (";", "")],
)
def test_the_media_type_of_a_body(header: str, media_type: str) -> None:
    """Without its parameters, and in any case."""
    assert media_type_of(request_with(content_type=header)) == media_type
    assert media_type_of(request_with()) == ""


@pytest.mark.parametrize(
    ("settings", "path", "url"),
    [
        (ServeSettings(), "/here", "http://testserver"),
        (ServeSettings(), "/inner/here", "http://testserver/inner"),
        (ServeSettings(url="https://logboek.example/ldv"), "/inner/here", "https://logboek.example/ldv"),
    ],
)
def test_the_address_of_the_server(settings: ServeSettings, path: str, url: str) -> None:
    """With the path under which the application is mounted, unless the setting says how clients find it."""

    async def here(request: Request) -> JSONResponse:
        return JSONResponse(server_url(request, settings))

    routes = [Route("/here", here)]
    application = Starlette(routes=[*routes, Mount("/inner", Starlette(routes=routes))])
    forged = {
        "Host": "elders.example",
        "X-Forwarded-Host": "elders.example",
        "X-Forwarded-Proto": "gopher",
        "X-Forwarded-Prefix": "/elders",
        "Forwarded": "host=elders.example;proto=gopher",
    }
    for headers in ({}, forged, {"Host": "[::1"}, {"Host": ""}):
        assert TestClient(application).get(path, headers=headers).json() == url


@pytest.mark.parametrize(
    ("server", "scheme", "url"),
    [
        (("127.0.0.1", 8000), "http", "http://127.0.0.1:8000"),
        (("::1", 443), "https", "https://[::1]"),
        (("::1", 80), "https", "https://[::1]:80"),
        (("/run/ldv.sock", None), "http", "http://localhost"),
        (None, "http", "http://localhost"),
    ],
)
def test_without_a_setting_it_is_that_of_the_socket(
    server: tuple[str, int | None] | None, scheme: str, url: str
) -> None:
    """Which no client chooses."""
    request = Request({"type": "http", "headers": [(b"host", b"elders.example")], "server": server, "scheme": scheme})
    assert server_url(request, ServeSettings()) == url
