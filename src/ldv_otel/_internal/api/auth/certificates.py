"""Client certificates: from the TLS connection, or from the header of a proxy that ended it."""

from __future__ import annotations

import base64
import functools
import logging
import re
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
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_ONE_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]*)-----END CERTIFICATE-----", re.ASCII)
_logger = logging.getLogger(__name__)


def certificate_of(request: Request, settings: ServeSettings) -> Certificate | None:
    """Return the certificate that the client proved to have, to this server or to a proxy that is believed.

    A connection from one of the proxies is the proxy's own, so there only the header counts, if it is there exactly
    once: of two, the client sent one. On any other connection the header means nothing.
    """
    try:
        if asgi_peer(request.scope) in settings.proxies:
            values = request.headers.getlist(settings.certificate_header)
            return _of_proxy(values, settings.certificate_header)
        der = request.scope.get("extensions", {}).get(SCOPE_EXTENSION)
        return read_certificate(der) if der is not None else None
    except ValueError:
        # No valid certificate is no certificate: the client may have a token as well.
        return None


def _of_proxy(values: list[str], header: str) -> Certificate | None:
    if not values or values == [""]:
        return None  # a client without a certificate
    try:
        # Two headers become a text that is no certificate: one of them was the client's.
        return _from_header(", ".join(values))
    except ValueError:
        # Once: every request of that proxy has it, and without a word nobody would find out why all are refused.
        _warn_once(header)
        raise


@functools.cache
def _warn_once(header: str) -> None:
    _logger.warning(
        "The header %s of a trusted proxy does not hold exactly one certificate, so it counts as none. Let the proxy "
        "set it (not append to it), as RFC 9440, base64 of DER, or URL-encoded PEM.",
        header,
    )


def _from_header(value: str) -> Certificate:
    """Read the header of a proxy: exactly one certificate, and nothing around it.

    Base64 of DER, between colons (RFC 9440) or bare (HAProxy, Traefik, Azure), or PEM, URL-encoded (nginx) or not. Of
    several, a proxy that appends would have put the client's forged one first.

    Raises:
        ValueError: It is none of these.
    """
    value = value.strip()
    if len(value) > _MAX_HEADER_CHARACTERS:
        raise ValueError("too long")
    if value.startswith(":") and value.endswith(":"):
        value = value[1:-1]
    if _BASE64.fullmatch(value):
        return read_certificate(base64.b64decode(value, validate=True))
    pem = _ONE_PEM.fullmatch(unquote_to_bytes(value).strip())
    if pem is None:
        raise ValueError("not one certificate")
    return read_certificate(base64.b64decode(b"".join(pem[1].split()), validate=True))
