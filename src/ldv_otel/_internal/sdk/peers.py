"""Evidence of who calls, from what web servers hand to OpenTelemetry's instrumentations.

A WSGI `environ` and an ASGI `scope` know the other end of the connection and its client certificate. Any other carrier
holds only what the caller itself wrote, so that it proves nothing; `Call` is for who knows more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from opentelemetry.propagators.textmap import Getter

from ldv_otel._internal.config.networks import UNIX, asgi_peer
from ldv_otel._internal.parties.evidence import Certificate, Evidence, read_certificate

#: The getters of the instrumentations, by which an `environ` or `scope` is told from a mapping of headers or a message
#: that somebody made to look like one.
_WSGI_GETTER: Final = "WSGIGetter"
_ASGI_GETTER: Final = "ASGIGetter"
#: Where servers put the connection itself.
_WSGI_SOCKETS: Final = ("werkzeug.socket", "gunicorn.socket")
_NO_ADDRESS: Final = frozenset({"", "<local>"})


class Call:
    """An inbound call with what its server knows of the caller.

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


class CallGetter(Getter[Call]):
    """Reads headers, whatever their case."""

    def get(self, carrier: Call, key: str) -> list[str] | None:
        """Return all values of a header."""
        return carrier.headers.get(key.lower())

    def keys(self, carrier: Call) -> list[str]:
        """Return the names of all headers."""
        return list(carrier.headers)


def evidence_of(carrier: Any, getter: Getter[Any], claim: str) -> Evidence:
    """Return what is known of the caller.

    Args:
        carrier: As an instrumentation gives it to `propagate.extract`.
        claim: Who the caller says it is, in `tracestate`.
    """

    def header(name: str) -> Sequence[str]:
        return getter.get(carrier, name) or ()

    kind = type(getter).__name__
    if isinstance(carrier, Call):
        return Evidence(carrier.peer_address, _certificate(carrier.certificate), header, claim)
    if kind == _WSGI_GETTER and isinstance(carrier, Mapping):
        return Evidence(_wsgi_peer(carrier), _certificate(_wsgi_certificate(carrier)), header, claim)
    if kind == _ASGI_GETTER and isinstance(carrier, Mapping):
        return Evidence(asgi_peer(carrier), _certificate(_asgi_certificate(carrier)), header, claim)
    return Evidence(claim=claim)


def _wsgi_peer(environ: Mapping[str, Any]) -> str:
    # Werkzeug's ProxyFix puts there what a header says; this is the connection itself.
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
        import ssl  # noqa: PLC0415  (few servers show their socket)

        if isinstance(connection, ssl.SSLSocket) and connection.context.verify_mode is not ssl.CERT_NONE:
            return connection.getpeercert(binary_form=True)
    # As Apache's mod_ssl tells it; a request header would begin with HTTP_.
    return environ.get("SSL_CLIENT_CERT") if environ.get("SSL_CLIENT_VERIFY") == "SUCCESS" else None


def _asgi_certificate(scope: Mapping[str, Any]) -> str | None:
    found = (scope.get("extensions") or {}).get("tls") or {}
    chain = found.get("client_cert_chain")
    return chain[0] if chain and not found.get("client_cert_error") else None


def _certificate(encoded: str | bytes | None) -> Certificate | None:
    if not encoded:
        return None
    return read_certificate(encoded.encode() if isinstance(encoded, str) else encoded)
