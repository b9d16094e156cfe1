"""Client certificates: from the TLS connection, or from the header of a proxy that ended it."""

from __future__ import annotations

import base64
import binascii
from typing import Final
from urllib.parse import unquote_to_bytes

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID
from starlette.requests import Request

from ldv_otel._internal.config.networks import Networks, asgi_peer

#: Where the server puts the DER bytes of the certificate that the TLS handshake proved.
SCOPE_EXTENSION: Final = "ldv.client_certificate"
_MAX_HEADER: Final = 16_384


class ClientCertificate(msgspec.Struct, frozen=True):
    """What is known by a certificate.

    Attributes:
        fingerprint: SHA-256, in lower-case hex.
        oin: Serial number in the subject; empty when there is none.
    """

    fingerprint: str
    oin: str
    dns_names: frozenset[str]

    @classmethod
    def from_der(cls, der: bytes) -> ClientCertificate:
        """Read a certificate.

        Raises:
            ValueError: It is none.
        """
        return _read(x509.load_der_x509_certificate(der))

    @classmethod
    def from_header(cls, value: str) -> ClientCertificate:
        """Read the header of a proxy: base64 of DER between colons (RFC 9440), or URL-encoded PEM (nginx, Envoy).

        Raises:
            ValueError: It is neither.
        """
        value = value.strip()
        if len(value) > _MAX_HEADER:
            raise ValueError("too long")
        if value.startswith(":") and value.endswith(":"):
            try:
                return cls.from_der(base64.b64decode(value[1:-1], validate=True))
            except binascii.Error as error:
                raise ValueError("no base64") from error
        return _read(x509.load_pem_x509_certificate(unquote_to_bytes(value)))


def _read(certificate: x509.Certificate) -> ClientCertificate:
    serials = certificate.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        dns_names = frozenset(names.get_values_for_type(x509.DNSName))
    except x509.ExtensionNotFound:
        dns_names = frozenset()
    return ClientCertificate(
        certificate.fingerprint(SHA256()).hex(), str(serials[0].value) if len(serials) == 1 else "", dns_names
    )


def certificate_of(request: Request, *, proxies: Networks, header: str) -> ClientCertificate | None:
    """Return the certificate that the client proved to have, to this server or to a proxy that is believed.

    A connection from one of `proxies` is the proxy's, so there only the header counts, if it is there exactly once; on
    any other connection the header means nothing.
    """
    try:
        if asgi_peer(request.scope) in proxies:
            values = request.headers.getlist(header)
            return ClientCertificate.from_header(values[0]) if len(values) == 1 else None
        der = request.scope.get("extensions", {}).get(SCOPE_EXTENSION)
        return ClientCertificate.from_der(der) if der is not None else None
    except ValueError:
        return None
