"""TLS in front of a plain server on loopback: a certificate authority of its own, and a relay."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import threading
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    """A certificate authority of a test's own; what it signs is good for an hour.

    Attributes:
        file: PEM file of its certificate.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("test authority")
        certificate = (
            self._builder(self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=True,
                    key_cert_sign=True,
                    crl_sign=True,
                    content_commitment=False,
                    key_encipherment=False,
                    data_encipherment=False,
                    key_agreement=False,
                    encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
            .sign(self._key, hashes.SHA256())
        )
        self.file = directory / "authority.pem"
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def server(self) -> Path:
        """Return a PEM file with key and certificate for 127.0.0.1."""
        return self._signed("server", _name("127.0.0.1"), x509.IPAddress(ipaddress.ip_address("127.0.0.1")))

    def client(self, name: str, *, oin: str = "") -> Path:
        """Return a PEM file with key and certificate for a client: its DNS name, and the OIN in its subject."""
        return self._signed(name, _name(name, oin), x509.DNSName(name))

    def _signed(self, stem: str, subject: x509.Name, alternative: x509.GeneralName) -> Path:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            self._builder(subject, key)
            .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        file = self._directory / f"{stem}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        return file

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(hours=1))
        )


def _name(common_name: str, oin: str = "") -> x509.Name:
    serial = [x509.NameAttribute(NameOID.SERIAL_NUMBER, oin)] if oin else []
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name), *serial])


def make_certificates(directory: Path) -> tuple[Path, Path]:
    """Make an authority and a certificate of it for 127.0.0.1; return the authority's and the server's PEM file."""
    authority = Authority(directory)
    return authority.file, authority.server()


class TlsRelay:
    """Takes TLS connections on loopback and passes them on in the clear.

    Args:
        certificate: PEM file with key and certificate.
        backend_port: Where to on loopback.
        client_authority: PEM file of the authority that must have signed the certificate of a client; None to ask for
            none.

    Attributes:
        port: Where it listens.
        seen: What clients sent, decrypted.
    """

    def __init__(self, certificate: Path, backend_port: int, client_authority: Path | None = None) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        if client_authority is not None:
            context.load_verify_locations(client_authority)
            context.verify_mode = ssl.CERT_REQUIRED
        self._backend_port = backend_port
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.seen = bytearray()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        """Return the relay itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, plain: socket.socket) -> None:
        try:
            client = self._context.wrap_socket(plain, server_side=True)
        except OSError:  # the client does not trust us, which is what some tests are about
            plain.close()
            return
        backend = socket.create_connection(("127.0.0.1", self._backend_port))
        back = threading.Thread(target=_copy, args=(backend, client, bytearray()), daemon=True)
        back.start()
        _copy(client, backend, self.seen)
        back.join()
        client.close()
        backend.close()


def _copy(source: socket.socket, target: socket.socket, seen: bytearray) -> None:
    try:
        while data := source.recv(65_536):
            seen += data
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return  # either side went away
