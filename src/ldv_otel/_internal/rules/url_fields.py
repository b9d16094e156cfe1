"""Scheme, host and port of the URL that a span was made for. Values come from callers; each takes linear time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,31}(?=://)")
_AUTHORITY_END: Final = re.compile(r"[/?#\\]")
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
_PORT_MAX_DIGITS: Final = 5


def whole_url(attributes: Mapping[str, object]) -> str:
    """Return the URL of a span, by its name of today or its former one; empty when there is none with a scheme."""
    for name in ("url.full", "http.url"):
        url = attributes.get(name)
        if isinstance(url, str) and _SCHEME.match(url):
            return url
    return ""


def scheme_of(url: str) -> str:
    """Return the scheme of a URL in small letters; empty when it has none."""
    match = _SCHEME.match(url)
    return match[0].lower() if match is not None else ""


def host_and_port(authority: str) -> tuple[str, str]:
    """Return host and port of a URL, or of what a `Host` header holds; a port that is not named is empty."""
    rest = authority.partition("://")[2] if _SCHEME.match(authority) else authority
    end = _AUTHORITY_END.search(rest)
    rest = (rest[: end.start()] if end is not None else rest).rpartition("@")[2]
    if rest.startswith("["):
        host, _, after = rest[1:].partition("]")
        return host, _digits(after.removeprefix(":"))
    host, colon, port = rest.rpartition(":")
    return (host, _digits(port)) if colon else (rest, "")


def port_of(url: str) -> str:
    """Return the port of a URL, that of its scheme where it names none; empty when neither is there."""
    return host_and_port(url)[1] or _DEFAULT_PORTS.get(scheme_of(url), "")


def origin(scheme: str, host: str, port: str) -> str:
    """Return the beginning of a URL, without a port that its scheme has by default."""
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}://{host}{f':{port}' if port and port != _DEFAULT_PORTS.get(scheme) else ''}"


def _digits(text: str) -> str:
    return text if len(text) <= _PORT_MAX_DIGITS and text.isascii() and text.isdigit() else ""
