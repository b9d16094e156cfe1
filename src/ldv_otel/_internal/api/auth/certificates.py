"""Client certificates: from the TLS connection, or from the header of a proxy that ended it."""

from __future__ import annotations

import base64
from typing import Final
from urllib.parse import unquote_to_bytes

from starlette.requests import Request

from ldv_otel._internal.config.networks import asgi_peer
from ldv_otel._internal.config.settings import ServeSettings
from ldv_otel._internal.parties.evidence import Certificate, read_certificate

#: The extension of the ASGI scope in which the server puts the DER bytes of the certificate of the TLS handshake.
SCOPE_EXTENSION: Final = "ldv.client_certificate"
#: A certificate has some 2,000 characters in base64; more is not parsed.
_MAX_HEADER_CHARACTERS: Final = 16_384


def certificate_of(request: Request, settings: ServeSettings) -> Certificate | None:
    """Return the certificate that the client proved to have, to this server or to a proxy that is believed.

    A connection from one of the proxies is the proxy's own, so there only the header counts, if it is there exactly
    once: of two, the client sent one. On any other connection the header means nothing.
    """
    try:
        if asgi_peer(request.scope) in settings.proxies:
            values = request.headers.getlist(settings.certificate_header)
            return _from_header(values[0]) if len(values) == 1 else None
        der = request.scope.get("extensions", {}).get(SCOPE_EXTENSION)
        return read_certificate(der) if der is not None else None
    except ValueError:
        # No valid certificate is no certificate: the client may have a token as well.
        return None


def _from_header(value: str) -> Certificate:
    """Read the header of a proxy: base64 of DER between colons (RFC 9440), or URL-encoded PEM (nginx, Envoy).

    Raises:
        ValueError: It is neither.
    """
    value = value.strip()
    if len(value) > _MAX_HEADER_CHARACTERS:
        raise ValueError("too long")
    if value.startswith(":") and value.endswith(":"):
        return read_certificate(base64.b64decode(value[1:-1], validate=True))
    return read_certificate(unquote_to_bytes(value))
