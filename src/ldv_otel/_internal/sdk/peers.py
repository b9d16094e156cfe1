"""Who is at the other end of a call: evidence of the caller of an inbound one, the address of an outbound one.

A WSGI `environ` and an ASGI `scope`, as web servers hand them to OpenTelemetry's instrumentations, hold the address at
the other end of the connection and its client certificate. Any other carrier holds only what the caller itself wrote,
and proves nothing; an application with better evidence passes an `InboundCall`.

Source: OpenTelemetry semantic conventions for HTTP, RPC and messaging client spans, stable and before 1.20.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from opentelemetry.propagators.textmap import Getter

from ldv_otel._internal.config.networks import UNIX, asgi_peer
from ldv_otel._internal.parties.evidence import Certificate, Evidence, read_certificate

#: Classes of the instrumentations' getters. They alone identify an `environ` or a `scope`: any mapping of headers, or a
#: message of an untrusted caller, could have the same keys.
_WSGI_GETTER: Final = "WSGIGetter"
_ASGI_GETTER: Final = "ASGIGetter"
#: Where servers put the connection itself.
_WSGI_SOCKETS: Final = ("werkzeug.socket", "gunicorn.socket")
_NO_ADDRESS: Final = frozenset({"", "<local>"})
#: Where instrumentations of clients say whom they call.
_HOSTS: Final = ("server.address", "net.peer.name")
_PORTS: Final = ("server.port", "net.peer.port")
_URLS: Final = ("url.full", "http.url")
_DEFAULT_PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}


class InboundCall:
    """An inbound call: its headers, and the evidence of its caller that only the server has.

    Args:
        headers: As a mapping, or as pairs when a header can come twice.
        peer_address: Address of the other end of the connection; `unix` for a Unix socket.
        certificate: Client certificate that the server has verified, PEM or DER.
    """

    def __init__(
        self,
        headers: Mapping[str, str] | Iterable[tuple[str, str]],
        *,
        peer_address: str = "",
        certificate: str | bytes | None = None,
    ) -> None:
        self.headers: dict[str, list[str]] = {}
        for name, value in headers.items() if isinstance(headers, Mapping) else headers:
            self.headers.setdefault(str(name).lower(), []).append(str(value))
        self.peer_address = peer_address
        self.certificate = certificate


class InboundCallGetter(Getter[InboundCall]):
    """Reads headers without regard to case."""

    def get(self, carrier: InboundCall, key: str) -> list[str] | None:
        """Return all values of a header."""
        return carrier.headers.get(key.lower())

    def keys(self, carrier: InboundCall) -> list[str]:
        """Return the names of all headers."""
        return list(carrier.headers)


def evidence_of(carrier: Any, getter: Getter[Any], claim: str) -> Evidence:
    """Return the evidence of the caller.

    Args:
        carrier: As an instrumentation gives it to `propagate.extract`.
        claim: The caller's own name for itself, from `tracestate`.
    """

    def header(name: str) -> Sequence[str]:
        return getter.get(carrier, name) or ()

    kind = type(getter).__name__
    if isinstance(carrier, InboundCall):
        return Evidence(carrier.peer_address, _certificate(carrier.certificate), header, claim)
    if kind == _WSGI_GETTER and isinstance(carrier, Mapping):
        return Evidence(_wsgi_peer(carrier), _certificate(_wsgi_certificate(carrier)), header, claim)
    if kind == _ASGI_GETTER and isinstance(carrier, Mapping):
        return Evidence(asgi_peer(carrier), _certificate(_asgi_certificate(carrier)), header, claim)
    return Evidence(claim=claim)


def path_of(carrier: Any, getter: Getter[Any]) -> str:
    """Return the path that an inbound request asks for; empty for a carrier that has none."""
    kind = type(getter).__name__
    if not isinstance(carrier, Mapping):
        return ""
    if kind == _WSGI_GETTER:
        return f"{carrier.get('SCRIPT_NAME') or ''}{carrier.get('PATH_INFO') or ''}"
    return str(carrier.get("path") or "") if kind == _ASGI_GETTER else ""


def _wsgi_peer(environ: Mapping[str, Any]) -> str:
    # Werkzeug's ProxyFix overwrites REMOTE_ADDR from a header, which proves nothing; it keeps the original here.
    original = environ.get("werkzeug.proxy_fix.orig")
    address = (original if isinstance(original, Mapping) else environ).get("REMOTE_ADDR")
    if address is None:
        return ""
    return UNIX if address in _NO_ADDRESS else str(address)


def _wsgi_certificate(environ: Mapping[str, Any]) -> str | bytes | None:
    for name in _WSGI_SOCKETS:
        connection = environ.get(name)
        if connection is None:
            continue
        import ssl  # few servers show their socket

        if isinstance(connection, ssl.SSLSocket) and connection.context.verify_mode is not ssl.CERT_NONE:
            return connection.getpeercert(binary_form=True)
    # Apache's mod_ssl sets these; a request header cannot, because its name would begin with HTTP_.
    return environ.get("SSL_CLIENT_CERT") if environ.get("SSL_CLIENT_VERIFY") == "SUCCESS" else None


def _asgi_certificate(scope: Mapping[str, Any]) -> str | None:
    tls = (scope.get("extensions") or {}).get("tls") or {}
    chain = tls.get("client_cert_chain")
    return chain[0] if chain and not tls.get("client_cert_error") else None


def _certificate(encoded: str | bytes | None) -> Certificate | None:
    if not encoded:
        return None
    return read_certificate(encoded.encode() if isinstance(encoded, str) else encoded)


def called_address(attributes: Mapping[str, object]) -> tuple[str, int]:
    """Return the host and port that a client span calls; an empty host or port 0 where the span does not say."""
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
