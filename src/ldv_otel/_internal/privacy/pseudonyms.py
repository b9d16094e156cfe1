"""Pseudonyms, and sealed identifiers: the only forms in which a data subject goes to a disk, a network or a log.

The identifier itself stays in memory, where the privacy shield (`sdk/span_subjects.py`) keeps it as long as spans of
its trace live: it could not take it out of them otherwise.

The pseudonym is HMAC-SHA256 over the UTF-8 bytes of `ldv/v1|TYPE|identifier`, of which the first 16 bytes are kept and
shown as 32 lower-case hex digits. Type and identifier are normalised first, so that `123.456.782` and `123456782` are
one person. A plain hash would not do: all 90.9 million BSNs can be hashed in under a minute.

The HMAC key is the UTF-8 text of the secret as it stands in the key file, because that is what an OpenTelemetry
Collector can use too (its redaction processor takes the key as a string).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import msgspec

from ldv_otel._internal.privacy.identifiers import read_identifier
from ldv_otel.attributes import Flag
from ldv_otel.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV
    from cryptography.hazmat.primitives.hmac import HMAC

PSEUDONYM_BYTES: Final = 16
MINIMUM_SECRET_BYTES: Final = 32
SEALED_PREFIX: Final = "siv1."

_DOMAIN: Final = "ldv/v1"
_SEALING_KEY_BYTES: Final = 64
_FINGERPRINT_BYTES: Final = 4
_FINGERPRINT_DOMAIN: Final = b"ldv/v1/key"
#: In letters: digits would be looked at as somebody's number.
_NIBBLES: Final = bytes.maketrans(b"0123456789abcdef", b"abcdefghijklmnop")
_FINGERPRINT: Final = re.compile(rf"\.fp-([a-p]{{{2 * _FINGERPRINT_BYTES}}})\Z")

#: Types whose identifiers are digits, with their length: separators go, leading zeros come back.
_DIGITS: Final = {"BSN": 9, "RSIN": 9, "KVK": 8, "vestigingsnummer": 12, "OIN": 20, "A-nummer": 10}
#: Types in their own spelling; any other type is a URI, or unknown.
KNOWN_TYPES: Final = (*_DIGITS, "personeelsnummer")
_KNOWN_TYPES: Final = {name.casefold(): name for name in KNOWN_TYPES}
#: Words for a missing value are no longer; see `identifiers.py`.
_MISSING_MAX_CHARACTERS: Final = 9
_LIKE_A_NUMBER: Final = re.compile(r"\d(?:[ .]?\d){4}")
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One key of the ring.

    Attributes:
        id: Stored beside every pseudonym made with it; not secret.
        secret: At least 32 bytes of text; its UTF-8 bytes are the HMAC key.
        seal: Base64 of 64 random bytes for AES-SIV, or empty when nothing is to be reversible.
    """

    id: str
    secret: str
    seal: str = ""

    def __repr__(self) -> str:
        """Name the key without showing it: keys end up in tracebacks and debuggers."""
        return f"Key(id={self.id!r})"


class DataSubject(msgspec.Struct, frozen=True, gc=False):
    """A Betrokkene as a Logregel may know it.

    Attributes:
        pseudonym: 16 bytes; empty when no usable identifier was given.
        type: Normalised type of the identifier, such as `BSN`, or a URI.
        key_id: Which key made the pseudonym.
        sealed: Reversible form: `siv1.` and base64url of the AES-SIV ciphertext, or, for a type named in
            `LDV_PSEUDONYMOUS_TYPES`, the caller's own pseudonym as given; else empty.
        flags: What was odd about the input.
    """

    pseudonym: bytes
    type: str
    key_id: str
    sealed: str = ""
    flags: tuple[Flag, ...] = ()


class KeyRing:
    """The keys of one Logboek: one that new pseudonyms are made with, older ones that still find old records.

    Args:
        keys: All live keys.
        active: Id of the key for new records.

    Raises:
        ConfigurationError: A key is too short, two keys share an id, or `active` names none of them.
    """

    def __init__(self, keys: Iterable[Key], *, active: str) -> None:
        keys = tuple(keys)
        self.keys = {key.id: key for key in keys}
        if len(self.keys) != len(keys):
            raise ConfigurationError("The key ring names one key id twice. Give every key an id of its own.")
        if active not in self.keys:
            raise ConfigurationError(
                f"The active key {active!r} is not among its keys ({', '.join(sorted(self.keys)) or 'none'}). "
                "Set `active` to one of them, or make a ring with `ldv key new`."
            )
        for key in keys:
            if not key.id or len(key.secret.encode()) < MINIMUM_SECRET_BYTES:
                raise ConfigurationError(
                    f"Key {key.id!r} needs an id and a secret of at least {MINIMUM_SECRET_BYTES} bytes. "
                    "Make one with `ldv key new`."
                )
            if (named := _FINGERPRINT.search(key.id)) is not None and named[1] != fingerprint(key.secret):
                raise ConfigurationError(
                    f"Key {key.id!r} has another secret than the one it was made with: its id ends with that one's "
                    "fingerprint. Nobody of before would be found. Put the right key file back from the copy that you "
                    "keep, or give a key of your own another id."
                )
        self.active = self.keys[active]
        self._keyed = {key.id: _keyed(key.secret.encode()) for key in keys}
        self._active_keyed = self._keyed[active]
        self._sealers = {key.id: _sealer(key) for key in keys if key.seal}
        self.seals = active in self._sealers

    def __repr__(self) -> str:
        """Name the keys without showing them."""
        return f"KeyRing({sorted(self.keys)}, active={self.active.id!r})"

    def pseudonym(self, type_: str, identifier: str, *, key_id: str | None = None) -> bytes:
        """Return the 16-byte lookup pseudonym of a normalised identifier under one key (default: the active one)."""
        message = (self._active_keyed if key_id is None else self._keyed[key_id]).copy()
        message.update(f"{_DOMAIN}|{type_}|{identifier}".encode("utf-8", "replace"))
        return message.finalize()[:PSEUDONYM_BYTES]

    def seal(self, type_: str, identifier: str) -> str:
        """Return the AES-SIV sealed identifier under the active key, or empty text when that key does not seal."""
        sealer = self._sealers.get(self.active.id)
        if sealer is None:
            return ""
        ciphertext = sealer.encrypt(identifier.encode("utf-8", "replace"), [_DOMAIN.encode(), type_.encode()])
        return SEALED_PREFIX + base64.urlsafe_b64encode(ciphertext).rstrip(b"=").decode()

    def unseal(self, subject: DataSubject) -> str:
        """Return the normalised identifier behind a sealed subject.

        Raises:
            ConfigurationError: The subject is not sealed, or its key is not in the ring or does not seal.
        """
        sealer = self._sealers.get(subject.key_id)
        if sealer is None or not subject.sealed.startswith(SEALED_PREFIX):
            raise ConfigurationError(
                f"This data subject was not sealed, or key {subject.key_id!r} cannot open it. "
                "Add the key that sealed it, with its `seal` value, to the key ring."
            )
        text = subject.sealed.removeprefix(SEALED_PREFIX)
        ciphertext = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return sealer.decrypt(ciphertext, [_DOMAIN.encode(), subject.type.encode()]).decode()


class Pseudonymiser:
    """Turns identifiers into data subjects, and questions about a person into pseudonyms to look for.

    Args:
        keys: The key ring of the Logboek.
        pseudonymous_types: Types whose values are pseudonyms already: kept as given beside the lookup pseudonym.
    """

    def __init__(self, keys: KeyRing, pseudonymous_types: Iterable[str] = ()) -> None:
        self.keys = keys
        self._pseudonymous = frozenset(normalise_type(name)[0] for name in pseudonymous_types)

    def subject(self, identifier: object, type_: object = None) -> DataSubject:
        """Return the data subject for an identifier of any type; never raises on odd input (LDV-A8)."""
        type_name, type_flags = normalise_type(type_)
        normal, form_flags = normalise_identifier(type_name, identifier)
        flags = type_flags + form_flags
        if not normal:
            return DataSubject(b"", type_name, "", flags=flags)
        keys = self.keys
        sealed = normal if type_name in self._pseudonymous else keys.seal(type_name, normal) if keys.seals else ""
        return DataSubject(keys.pseudonym(type_name, normal), type_name, keys.active.id, sealed, flags)

    def identifier(self, subject: DataSubject) -> str:
        """Return the normalised identifier behind a stored subject; empty when it cannot be known.

        Raises:
            ConfigurationError: It is sealed, and its key is not in the ring or does not seal.
        """
        if not subject.sealed.startswith(SEALED_PREFIX):
            return subject.sealed if subject.type in self._pseudonymous else ""
        return self.keys.unseal(subject)

    @staticmethod
    def normal_type(type_: str) -> str:
        """Return a type as records have it; empty stays empty."""
        return normalise_type(type_)[0]

    def candidates(self, identifier: object, type_: object) -> list[bytes]:
        """Return the pseudonyms a person may be stored under: one for each live key (LDV-R7)."""
        type_name, _ = normalise_type(type_)
        normal, _ = normalise_identifier(type_name, identifier)
        return [self.keys.pseudonym(type_name, normal, key_id=key_id) for key_id in self.keys.keys] if normal else []


def new_key(key_id: str, *, sealing: bool = False) -> Key:
    """Return a fresh random key: a secret of 43 characters (256 bits), and with `sealing` 64 bytes for AES-SIV."""
    import secrets  # as in `_keyed`

    seal = base64.b64encode(secrets.token_bytes(_SEALING_KEY_BYTES)).decode() if sealing else ""
    return Key(id=key_id, secret=secrets.token_urlsafe(MINIMUM_SECRET_BYTES), seal=seal)


def with_fingerprint(key: Key) -> Key:
    """Return a key whose id says which secret it has, so that another key cannot have the same id."""
    return msgspec.structs.replace(key, id=f"{key.id}.fp-{fingerprint(key.secret)}")


def fingerprint(secret: str) -> str:
    """Return 8 letters that tell keys apart and tell nothing of the secret."""
    message = _keyed(secret.encode())
    message.update(_FINGERPRINT_DOMAIN)
    return message.finalize()[:_FINGERPRINT_BYTES].hex().encode().translate(_NIBBLES).decode()


def normalise_type(type_: object) -> tuple[str, tuple[Flag, ...]]:
    """Return the type as it is stored and hashed: known types in their own spelling, others as given."""
    if type(type_) is str and type_ in _DIGITS:
        return type_, ()
    text = _text(type_).strip()
    if not text:
        return "", (Flag.SUBJECT_TYPE_MISSING,)
    known_type = _KNOWN_TYPES.get(text.casefold())
    if known_type is not None:
        return known_type, ()
    if _URI.fullmatch(text):
        return text, ()
    # A type that reads like a number is most likely the identifier, put in the wrong place: it is not stored.
    return "" if _LIKE_A_NUMBER.search(text) else text, (Flag.SUBJECT_TYPE_UNKNOWN,)


def nearest_type(type_: str) -> str:
    """Return the known type that was probably meant by one that is none; empty for a known one, and for a URI."""
    if not normalise_type(type_)[1]:
        return ""
    import difflib  # only of use to who misspells

    near = difflib.get_close_matches(type_.strip().casefold(), _KNOWN_TYPES, n=1, cutoff=0.6)
    return _KNOWN_TYPES[near[0]] if near else ""


def digits_of(type_: str) -> int | None:
    """Return how many digits an identifier of a type has; None where it may be any text."""
    return _DIGITS.get(type_)


def normalise_identifier(type_: str, identifier: object) -> tuple[str, tuple[Flag, ...]]:
    """Return the identifier as it is hashed, and what was odd about it; see `identifiers.py`.

    Numbers of the known kinds lose separators and get their leading zeros back; anything else is only cleaned, because
    a dot may well tell two people apart elsewhere.
    """
    width = _DIGITS.get(type_)
    if (
        type(identifier) is str
        and identifier.isascii()
        and (
            identifier.isalnum() and (identifier.isdigit() or len(identifier) > _MISSING_MAX_CHARACTERS)
            if width is None
            else len(identifier) == width and identifier.isdigit() and identifier.strip("0")
        )
    ):
        # Nothing to compose or to strip.
        return identifier, ()
    return read_identifier(identifier, width)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "replace")
    try:
        return str(value)
    except Exception:  # a stranger's __str__ may raise anything, and may not stop the application
        return ""


def _keyed(secret: bytes) -> HMAC:
    """Return HMAC-SHA256 with the key taken in; each message goes on from a copy, also in several threads at a time.

    A copy of the standard library's `hmac` object takes 1.5 times as long; this is most of what a data subject costs.
    """
    from cryptography.hazmat.primitives.hashes import SHA256  # 30 ms; only who has keys needs it
    from cryptography.hazmat.primitives.hmac import HMAC

    return HMAC(secret, SHA256())


def _sealer(key: Key) -> AESSIV:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV  # only who seals pays for it

    try:
        return AESSIV(base64.b64decode(key.seal, validate=True))
    except ValueError as error:
        raise ConfigurationError(
            f"The `seal` value of key {key.id!r} is not base64 of 64 bytes. Make one with `ldv key new --seal`."
        ) from error
