"""Signed notes of C2SP (https://c2sp.org/signed-note): a text, and signatures over it by keys with names.

Of kinds of signatures there are two: Ed25519, and the timestamped Ed25519 of cosignatures
(https://c2sp.org/tlog-cosignature), with which a witness says when it saw a checkpoint.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from collections.abc import Iterable
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519: Final = 1
COSIGNATURE: Final = 4

_KEY_BYTES: Final = 32
_KEY_ID_BYTES: Final = 4
_SIGNATURE_BYTES: Final = 64
_TIME: Final = struct.Struct(">Q")
_SIGNATURE_MARK: Final = "\u2014 "
_MOST_SIGNATURES: Final = 100
#: A batch of 5,000 records of which each names an activity of its own, at its longest.
_MOST_CHARACTERS: Final = 64 * 1024 * 1024


class NoteError(ValueError):
    """A text is no signed note, or its signature is not the one it should have."""


class NoteKey(msgspec.Struct, frozen=True):
    """A public key with its name.

    Attributes:
        name: Without spaces and `+`.
        public: 32 bytes.
        algorithm: `ED25519` or `COSIGNATURE`.
    """

    name: str
    public: bytes
    algorithm: int = ED25519

    def __post_init__(self) -> None:
        """Refuse what is no key."""
        if not _is_name(self.name) or len(self.public) != _KEY_BYTES or self.algorithm not in (ED25519, COSIGNATURE):
            raise NoteError(f"{self.name!r} with {len(self.public)} bytes is no key")

    @property
    def key_id(self) -> bytes:
        """The 4 bytes by which a signature names its key."""
        content = self.name.encode() + b"\n" + bytes((self.algorithm,)) + self.public
        return hashlib.sha256(content).digest()[:_KEY_ID_BYTES]

    def __str__(self) -> str:
        """The key as a `vkey`: `name+id+base64`."""
        return f"{self.name}+{self.key_id.hex()}+{base64_of(bytes((self.algorithm,)) + self.public)}"

    @classmethod
    def parse(cls, text: str) -> NoteKey:
        """Return the key of a `vkey`.

        Raises:
            NoteError: It is none.
        """
        name, _, rest = text.strip().partition("+")
        key_id, _, encoded = rest.partition("+")
        content = unbase64(encoded)
        key = cls(name, content[1:], content[0] if content else 0)
        if key.key_id.hex() != key_id:
            raise NoteError("the id of the key is not that of its bytes")
        return key


class NoteSignature(msgspec.Struct, frozen=True):
    """A signature of a note: whose it says to be, and its bytes."""

    name: str
    key_id: bytes
    content: bytes

    def __str__(self) -> str:
        """Its line, without the line end."""
        return f"{_SIGNATURE_MARK}{self.name} {base64_of(self.key_id + self.content)}"


class SignedNote(msgspec.Struct, frozen=True):
    """A text with its signatures; whether they are good is not known yet.

    Attributes:
        text: Ends with a line end.
    """

    text: str
    signatures: tuple[NoteSignature, ...]

    def __str__(self) -> str:
        """The note as it is stored and sent."""
        return self.text + "\n" + "".join(f"{signature}\n" for signature in self.signatures)

    @classmethod
    def parse(cls, note: str | bytes) -> SignedNote:
        """Return the parts of a note, which may be as it is stored: in UTF-8.

        Raises:
            NoteError: It is none.
        """
        if isinstance(note, bytes):
            try:
                note = note.decode()
            except UnicodeDecodeError:
                raise NoteError("it is no text") from None
        if len(note) > _MOST_CHARACTERS or not note.endswith("\n"):
            raise NoteError("it is too long, or breaks off")
        if any(character < " " and character != "\n" for character in note):
            raise NoteError("it has control characters")
        text, separator, lines = note.rpartition("\n\n")
        signatures = tuple(map(_signature, lines[:-1].split("\n"))) if separator else ()
        if not text or not signatures or len(signatures) > _MOST_SIGNATURES:
            raise NoteError("it has no text, or no signatures, or too many")
        return cls(text + "\n", signatures)

    def signature_of(self, key: NoteKey) -> NoteSignature | None:
        """Return the signature that says it is a key's, which is not checked here; None when there is none."""
        return next((each for each in self.signatures if (each.name, each.key_id) == (key.name, key.key_id)), None)

    def signed_by(self, keys: Iterable[NoteKey]) -> list[NoteKey]:
        """Return those of some keys that signed the text; signatures of other keys mean nothing.

        Raises:
            NoteError: A signature of one of these keys is wrong.
        """
        by_id = {(key.name, key.key_id): key for key in keys}
        signers = []
        for signature in self.signatures:
            key = by_id.get((signature.name, signature.key_id))
            if key is not None:
                check_signature(key, self.text, signature)
                signers.append(key)
        return signers


class NoteSigner:
    """A private key with its name.

    Args:
        name: Without spaces and `+`.
        private: 32 bytes.
    """

    def __init__(self, name: str, private: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(private)
        self.key = NoteKey(name, self._key.public_key().public_bytes_raw())

    def renamed(self, name: str) -> NoteSigner:
        """Return the same private key under another name."""
        return NoteSigner(name, self._key.private_bytes_raw())

    def __repr__(self) -> str:
        """Leave the private key out."""
        return f"NoteSigner({self.key})"

    def sign(self, text: str) -> SignedNote:
        """Return a text, which ends with a line end, as a note with our signature."""
        if not text.endswith("\n"):
            raise NoteError("a note ends with a line end")
        return SignedNote(text, (NoteSignature(self.key.name, self.key.key_id, self._key.sign(text.encode())),))

    def cosign(self, text: str, seconds: int) -> NoteSignature:
        """Return the cosignature of a checkpoint: that it was seen, and when.

        Args:
            seconds: Since 1970-01-01 UTC.
        """
        key = cosigner(self.key)
        signature = self._key.sign(_cosigned(text, seconds))
        return NoteSignature(key.name, key.key_id, _TIME.pack(seconds) + signature)


def cosigner(key: NoteKey) -> NoteKey:
    """Return the key with which the holder of another one cosigns."""
    return NoteKey(key.name, key.public, COSIGNATURE)


def cosigned_at(signature: NoteSignature) -> int:
    """Return when a cosignature says that its witness saw the checkpoint, in s since 1970-01-01 UTC.

    Raises:
        NoteError: It is no cosignature.
    """
    if len(signature.content) != _TIME.size + _SIGNATURE_BYTES:
        raise NoteError("it is no cosignature")
    (seconds,) = _TIME.unpack_from(signature.content)
    return int(seconds)


def check_signature(key: NoteKey, text: str, signature: NoteSignature) -> None:
    """Check the signature of a key over a text.

    Raises:
        NoteError: It is not the key's.
    """
    message, content = text.encode(), signature.content
    if key.algorithm == COSIGNATURE:
        message, content = _cosigned(text, cosigned_at(signature)), content[_TIME.size :]
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(content, message)
    except InvalidSignature:
        raise NoteError(f"the signature of {key.name} is wrong") from None


def _cosigned(text: str, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()


def _signature(line: str) -> NoteSignature:
    name, _, encoded = line.removeprefix(_SIGNATURE_MARK).partition(" ")
    content = unbase64(encoded)
    if not line.startswith(_SIGNATURE_MARK) or not _is_name(name) or len(content) <= _KEY_ID_BYTES:
        raise NoteError("a line of it is no signature")
    return NoteSignature(name, content[:_KEY_ID_BYTES], content[_KEY_ID_BYTES:])


def _is_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(character.isspace() for character in name)


def base64_of(content: bytes) -> str:
    """Return bytes in base64."""
    return base64.b64encode(content).decode()


def unbase64(encoded: str) -> bytes:
    """Return what base64 stands for.

    Raises:
        NoteError: It is none, or not in its one usual spelling.
    """
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise NoteError("it has something else than base64 in it") from None
    # One spelling for each value: else the same signature could come in several.
    if base64_of(content) != encoded:
        raise NoteError("its base64 is not the usual one")
    return content
