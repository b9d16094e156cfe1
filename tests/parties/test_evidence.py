from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ldv_otel._internal.api.auth.clients import read_clients
from ldv_otel._internal.config.networks import Networks
from ldv_otel._internal.parties.evidence import CertificateMatch, Evidence, Proof, read_certificate
from ldv_otel._internal.parties.parties import read_parties
from ldv_otel.errors import ConfigurationError

OIN = "00000001821002198000"


def certificate(serials: Sequence[str] = (OIN,), names: x509.GeneralNames | None = None) -> x509.Certificate:
    """Make a certificate with these serial numbers in its subject, and these alternative names."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Gemeente Voorbeeld"),
            *(x509.NameAttribute(NameOID.SERIAL_NUMBER, serial) for serial in serials),
        ]
    )
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), 7, now, now + timedelta(days=1))
    if names is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, SHA256())


NAMED = certificate(names=x509.GeneralNames([x509.DNSName("a.example"), x509.RFC822Name("b@example")]))
FINGERPRINT = NAMED.fingerprint(SHA256())


@pytest.mark.parametrize("encoding", [Encoding.DER, Encoding.PEM])
def test_what_a_certificate_says(encoding: Encoding) -> None:
    """The same in both encodings."""
    read = read_certificate(NAMED.public_bytes(encoding))
    assert read.fingerprint == FINGERPRINT.hex()
    assert read.oin == OIN
    assert read.dns_names == {"a.example"}
    assert read.subject == {("2.5.4.10", "Gemeente Voorbeeld"), ("2.5.4.5", OIN)}


@pytest.mark.parametrize("encoded", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAA\n"])
def test_bytes_that_are_no_certificate(encoded: bytes) -> None:
    """One kind of error for all of them."""
    with pytest.raises(ValueError, match=r"."):
        read_certificate(encoded)


def test_of_two_serial_numbers_none_is_the_oin() -> None:
    """Which of them is meant, nobody could tell."""
    read = read_certificate(certificate([OIN, "0" * 20]).public_bytes(Encoding.DER))
    assert read.oin == ""
    assert read.serial_numbers == {OIN, "0" * 20}
    assert not CertificateMatch(oin=OIN).matches(read)
    assert read_certificate(certificate([]).public_bytes(Encoding.DER)).oin == ""


WORDS = [
    ({"fingerprint": FINGERPRINT.hex()}, True),
    ({"fingerprint": FINGERPRINT.hex(":").upper()}, True),
    ({"fingerprint": "00" * 32}, False),
    ({"oin": OIN}, True),
    ({"oin": "0" * 20}, False),
    ({"dns": "a.example"}, True),
    ({"dns": "b.example"}, False),
    ({"subject": f"serialNumber={OIN}"}, True),
    ({"subject": f"O=Gemeente Voorbeeld,serialNumber={OIN}"}, True),
    ({"subject": f"O=Gemeente Anders,serialNumber={OIN}"}, False),
]


def in_parties(path: Path, words: object) -> Callable[[Evidence], bool]:
    """Write the words into a file of `LDV_PARTIES`, and return whether it knows the caller."""
    caller = {"name": "a", "processor": "https://a.example", "proven_by": [{"certificate": words}]}
    path.write_text(json.dumps({"callers": [caller]}), encoding="utf-8")
    parties = read_parties(path, None)
    return lambda evidence: parties.caller(evidence) is not None


def in_clients(path: Path, words: object) -> Callable[[Evidence], bool]:
    """Write the words into a file of `LDV_SERVE_CLIENTS`, and return whether it knows the client."""
    path.write_text(json.dumps({"clients": [{"id": "a", "certificate": words}]}), encoding="utf-8")
    clients = read_clients(path)
    return lambda evidence: (
        evidence.certificate is not None and clients.by_certificate(evidence.certificate) is not None
    )


@pytest.mark.parametrize("file", [in_parties, in_clients])
@pytest.mark.parametrize(("words", "matches"), WORDS)
def test_both_files_have_the_same_words(
    tmp_path: Path, file: Callable[[Path, object], Callable[[Evidence], bool]], words: object, *, matches: bool
) -> None:
    """What identifies a certificate in one file can be copied into the other."""
    identifies = file(tmp_path / "file.json", words)
    assert identifies(Evidence(certificate=read_certificate(NAMED.public_bytes(Encoding.DER)))) is matches
    assert not identifies(Evidence())


@pytest.mark.parametrize("file", [in_parties, in_clients])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({}, "exactly one of fingerprint, oin, dns and subject"),
        ({"oin": OIN, "dns": "a.example"}, "exactly one of fingerprint, oin, dns and subject"),
        ({"fingerprint": "ab:cd"}, "fingerprint is not 64 hexadecimal digits"),
        ({"subject": "Gemeente Voorbeeld"}, "subject is not like"),
        ({"sha256": FINGERPRINT.hex()}, "unknown field `sha256`"),
    ],
)
def test_words_that_identify_nothing_stop_the_start(
    tmp_path: Path, file: Callable[[Path, object], Any], words: object, message: str
) -> None:
    """In both files, with the same sentence."""
    with pytest.raises(ConfigurationError, match=message):
        file(tmp_path / "file.json", words)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (f"certificate_sha256: {FINGERPRINT.hex()}", "certificate: {fingerprint: ...}"),
        (f"certificate_subject: serialNumber={OIN}", "certificate: {subject: ...}"),
    ],
    ids=["fingerprint", "subject"],  # the certificate is another one in each process
)
def test_an_old_spelling_is_refused_with_the_new(tmp_path: Path, old: str, new: str) -> None:
    """So that nobody has to look for it."""
    path = tmp_path / "parties.yaml"
    path.write_text(f"callers:\n- name: a\n  processor: https://a.example\n  proven_by:\n  - {old}\n", encoding="utf-8")
    with pytest.raises(ConfigurationError) as raised:
        read_parties(path, None)
    assert f"parties.yaml:5: {old.partition(':')[0]} is now written as {new}" in str(raised.value)


def test_a_proof_is_one_thing() -> None:
    """Two in one could be meant as both or as either."""
    for words in (
        {},
        {"claim": "a", "header": "X-A", "value": "b"},
        {"certificate": CertificateMatch(oin=OIN), "claim": "a"},
    ):
        with pytest.raises(ValueError, match="exactly one of certificate, header and claim"):
            Proof(**words)
    assert Proof(claim="a").holds(Evidence(claim="a"), Networks())
