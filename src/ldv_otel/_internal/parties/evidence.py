"""Evidence of a connection, and the proofs by which it identifies a caller.

The file of `LDV_PARTIES` (`proven_by`) and that of `LDV_SERVE_CLIENTS` (`certificate`) identify a client certificate in
the same words: `fingerprint`, `oin`, `dns` or `subject`.

Source: LDV-X2, LDV-X4.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from ldv_otel._internal.config.networks import Networks
from ldv_otel._internal.parties.tracestate import CLAIM

if TYPE_CHECKING:
    from cryptography import x509

_HEADER: Final = re.compile(r"[A-Za-z0-9-]{1,100}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_PEM: Final = b"-----BEGIN"
#: The part of a subject in which PKIoverheid has the OIN, by its dotted number.
_SERIAL_NUMBER: Final = "2.5.4.5"

SubjectParts = frozenset[tuple[str, str]]


class Certificate(msgspec.Struct, frozen=True):
    """A client certificate that the server, or a gateway before it, has verified.

    Attributes:
        subject: Object identifier (dotted) and value of each part of its subject.
        fingerprint: SHA-256 of the certificate, 64 lower-case hex digits.
        dns_names: DNS names among its alternative names.
    """

    subject: SubjectParts
    fingerprint: str
    dns_names: frozenset[str] = frozenset()

    @property
    def serial_numbers(self) -> frozenset[str]:
        """Return the serial numbers in the subject; there is nearly always one or none."""
        return frozenset(value for part, value in self.subject if part == _SERIAL_NUMBER)

    @property
    def oin(self) -> str:
        """Return the serial number in the subject; empty when there is none, or more than one."""
        numbers = self.serial_numbers
        return next(iter(numbers)) if len(numbers) == 1 else ""


class CertificateMatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a file identifies a client certificate: by exactly one of the four.

    Attributes:
        fingerprint: SHA-256 of the certificate, in hex, with or without colons.
        oin: The serial number in its subject, where PKIoverheid has the OIN.
        dns: A DNS name among its alternative names.
        subject: RFC 4514, such as `serialNumber=00000001821002198000,O=Gemeente Voorbeeld`: its subject has all of
            these parts, in any order. Its other parts may change with the next certificate.
    """

    fingerprint: str = ""
    oin: str = ""
    dns: str = ""
    subject: str = ""

    def __post_init__(self) -> None:
        """Refuse what matches no certificate, or does not say how it should match."""
        if len([text for text in (self.fingerprint, self.oin, self.dns, self.subject) if text]) != 1:
            raise ValueError("A certificate is identified by exactly one of fingerprint, oin, dns and subject")
        if self.fingerprint and not _SHA256.fullmatch(_without_colons(self.fingerprint)):
            raise ValueError("fingerprint is not 64 hexadecimal digits, with or without colons")
        if self.subject:
            parse_subject(self.subject)

    def matches(self, certificate: Certificate) -> bool:
        """Say whether a certificate is the one that is meant."""
        if self.fingerprint:
            return _without_colons(self.fingerprint) == certificate.fingerprint
        if self.subject:
            return parse_subject(self.subject) <= certificate.subject
        return self.oin == certificate.oin if self.oin else self.dns in certificate.dns_names


class Evidence(msgspec.Struct, frozen=True):
    """What a server knows of a call: its connection, its certificate and its headers.

    Attributes:
        peer_address: Address of the other end of the connection, `unix` for a Unix socket; empty when unknown.
        header: Gives all values of a request header.
        claim: The name under which the caller presents itself in `tracestate`.
    """

    peer_address: str = ""
    certificate: Certificate | None = None
    header: Callable[[str], Sequence[str]] = lambda _: ()
    claim: str = ""


class Proof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A property of the evidence that identifies a caller: exactly one of the three.

    Attributes:
        certificate: The client certificate.
        header: A header with this `value`, believed only from a gateway.
        claim: The claim in `tracestate`; it proves nothing, and is for networks in which nobody lies.
        certificate_sha256: An old spelling, refused.
        certificate_subject: As `certificate_sha256`.
    """

    certificate: CertificateMatch | None = None
    header: str = ""
    value: str = ""
    claim: str = ""
    certificate_sha256: str = ""
    certificate_subject: str = ""

    def __post_init__(self) -> None:
        """Refuse a proof that could never hold, or always."""
        if self.certificate_sha256:
            raise ValueError("certificate_sha256 is now written as certificate: {fingerprint: ...}")
        if self.certificate_subject:
            raise ValueError("certificate_subject is now written as certificate: {subject: ...}")
        if len([proof for proof in (self.certificate, self.header, self.claim) if proof]) != 1:
            raise ValueError("A proof is exactly one of certificate, header and claim")
        if bool(self.header) != bool(self.value):
            raise ValueError("A header proves something together with its value; give both")
        if self.header and not _HEADER.fullmatch(self.header):
            raise ValueError("The header is no header name of letters, digits and hyphens")
        if self.claim and not CLAIM.fullmatch(self.claim):
            raise ValueError("The claim is not 1 to 64 letters, digits, dots, hyphens and underscores")

    def holds(self, evidence: Evidence, gateways: Networks) -> bool:
        """Say whether the evidence of a call has this property.

        Args:
            gateways: The peers whose headers are believed.
        """
        if self.certificate is not None:
            return evidence.certificate is not None and self.certificate.matches(evidence.certificate)
        if self.header:
            # Of two values one was added by somebody who is not the gateway.
            return evidence.peer_address in gateways and list(evidence.header(self.header)) == [self.value]
        return self.claim == evidence.claim


@functools.lru_cache(maxsize=256)  # a caller has the same certificate for months, and reading it costs 100 us
def read_certificate(encoded: bytes) -> Certificate:
    """Return the properties of a certificate in PEM or DER.

    Raises:
        ValueError: The bytes are no certificate.
    """
    from cryptography import x509  # heavy, and only for those whose callers have certificates
    from cryptography.hazmat.primitives.hashes import SHA256

    is_pem = encoded.lstrip().startswith(_PEM)
    certificate = x509.load_pem_x509_certificate(encoded) if is_pem else x509.load_der_x509_certificate(encoded)
    return Certificate(
        _subject_parts(certificate.subject), certificate.fingerprint(SHA256()).hex(), _dns_names(certificate)
    )


@functools.lru_cache(maxsize=256)  # asked at every call, for the few subjects that the files name
def parse_subject(text: str) -> SubjectParts:
    """Return the parts of a certificate's subject in the notation of RFC 4514.

    Raises:
        ValueError: It is not in that notation, or uses a name that is not known.
    """
    from cryptography.x509 import Name, NameOID  # heavy, as above

    more = {"serialNumber": NameOID.SERIAL_NUMBER, "organizationIdentifier": NameOID.ORGANIZATION_IDENTIFIER}
    try:
        return _subject_parts(Name.from_rfc4514_string(text, more))
    except ValueError:
        raise ValueError(
            "subject is not like 'serialNumber=00000001821002198000,O=Gemeente Voorbeeld' (RFC 4514; other attributes "
            "by their dotted number)"
        ) from None


def _subject_parts(name: x509.Name) -> SubjectParts:
    return frozenset((part.oid.dotted_string, str(part.value)) for part in name)


def _dns_names(certificate: x509.Certificate) -> frozenset[str]:
    """Return the DNS names of a certificate; none where its extensions cannot be read.

    The handshake has accepted the certificate all the same, and its fingerprint and subject hold.
    """
    from cryptography import x509  # heavy, as above

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, ValueError):
        return frozenset()
    return frozenset(names.get_values_for_type(x509.DNSName))


def _without_colons(fingerprint: str) -> str:
    return fingerprint.replace(":", "").lower()
