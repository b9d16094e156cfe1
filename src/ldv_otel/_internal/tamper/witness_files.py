"""The files that say whom this machine witnesses (`LDV_WITNESS_LOGS`), and who witnesses its log (`LDV_WITNESSES`)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from ldv_otel._internal.config.address import is_loopback
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.config.yaml_file import read_yaml
from ldv_otel._internal.tamper.note import COSIGNATURE, ED25519, NoteError, NoteKey

_MOST_LOGS: Final = 10_000
_MOST_WITNESSES: Final = 32


class WitnessedLog(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A log of another organisation.

    Attributes:
        key: Its public key, as `ldv seal` shows it.
        origin: Its name, where that is another one than that of its key.
    """

    key: str
    origin: str = ""

    def __post_init__(self) -> None:
        """Refuse what is no key of a log."""
        _key_of(self.key, ED25519)

    @property
    def note_key(self) -> NoteKey:
        """The key."""
        return _key_of(self.key, ED25519)


class WitnessedLogs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file of `LDV_WITNESS_LOGS`."""

    logs: list[WitnessedLog]

    def __post_init__(self) -> None:
        """Refuse more than a witness can have in view."""
        if len(self.logs) > _MOST_LOGS:
            raise ValueError(f"More than {_MOST_LOGS} logs; run several witnesses")

    @property
    def by_origin(self) -> Mapping[str, list[NoteKey]]:
        """The keys of each log."""
        keys = defaultdict(list)
        for log in self.logs:
            keys[log.origin or log.note_key.name].append(log.note_key)
        return dict(keys)


class KnownWitness(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A witness of another organisation.

    Attributes:
        key: Its public key, as `ldv witness` shows it.
        url: Below which it takes checkpoints (the standard's submission prefix).
        ca_file: PEM file of the authority that signed its certificate; empty for the authorities of this machine.
    """

    key: str
    url: str
    ca_file: str = ""

    def __post_init__(self) -> None:
        """Refuse what is no key of a witness, and an address that others could answer at."""
        _key_of(self.key, COSIGNATURE)
        parts = urlsplit(self.url)
        plain = parts.scheme == "http" and is_loopback(parts.hostname or "")
        if not parts.hostname or parts.query or parts.username or not (parts.scheme == "https" or plain):
            raise ValueError("The url of a witness is an address like https://witness.example/witness")

    @property
    def note_key(self) -> NoteKey:
        """The key."""
        return _key_of(self.key, COSIGNATURE)


class KnownWitnesses(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file of `LDV_WITNESSES`.

    Attributes:
        quorum: How many of them have to have cosigned a checkpoint for it to count as witnessed.
    """

    witnesses: list[KnownWitness]
    quorum: int

    def __post_init__(self) -> None:
        """Refuse a quorum that nothing or everything fulfils, and one key that counts twice."""
        if not 1 <= self.quorum <= len(self.witnesses) <= _MOST_WITNESSES:
            raise ValueError(f"quorum lies between 1 and the number of witnesses, at most {_MOST_WITNESSES}")
        if len({each.note_key.public for each in self.witnesses}) < len(self.witnesses):
            raise ValueError("Two witnesses have one key")
        if len({each.note_key.name for each in self.witnesses}) < len(self.witnesses):
            raise ValueError("Two witnesses have one name")


def read_witnessed_logs(path: Path) -> Mapping[str, list[NoteKey]]:
    """Return the keys of the logs that are witnessed here, by the logs' origins.

    Raises:
        ConfigurationError: The file cannot be used.
    """
    return read_yaml(path, "LDV_WITNESS_LOGS", WitnessedLogs).by_origin


def read_known_witnesses(settings: Settings) -> KnownWitnesses | None:
    """Return who witnesses the log of this Logboek; None where nobody does.

    Raises:
        ConfigurationError: The file cannot be used.
    """
    return None if settings.witnesses is None else read_yaml(settings.witnesses, "LDV_WITNESSES", KnownWitnesses)


def _key_of(text: str, algorithm: int) -> NoteKey:
    try:
        key = NoteKey.parse(text)
    except NoteError as error:
        raise ValueError(f"key is no public key: {error}") from None
    if key.algorithm != algorithm:
        kind = "a witness (`ldv witness` shows it)" if algorithm == COSIGNATURE else "a log (`ldv seal` shows it)"
        raise ValueError(f"key is not that of {kind}")
    return key
