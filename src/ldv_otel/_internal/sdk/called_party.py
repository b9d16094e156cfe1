"""Which party a technical span calls, from what the instrumentations of clients say of it.

Source: OpenTelemetry semantic conventions for HTTP, RPC and messaging client spans, stable and before 1.20.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

_HOSTS: Final = ("server.address", "net.peer.name")
_PORTS: Final = ("server.port", "net.peer.port")
_URLS: Final = ("url.full", "http.url")
_DEFAULT_PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}


def called_address(attributes: Mapping[str, object]) -> tuple[str, int]:
    """Return host and port that a span calls; an empty host when it does not say, 0 when the port is not known."""
    host = _first(attributes, _HOSTS)
    port = _first(attributes, _PORTS)
    if isinstance(host, str) and host and isinstance(port, int):
        return host, port
    url = _first(attributes, _URLS)
    if not isinstance(url, str):
        return (host, 0) if isinstance(host, str) else ("", 0)
    try:
        parts = urlsplit(url)
        return parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
    except ValueError:
        return "", 0


def _first(attributes: Mapping[str, object], names: tuple[str, str]) -> object:
    return attributes.get(names[0]) or attributes.get(names[1])
