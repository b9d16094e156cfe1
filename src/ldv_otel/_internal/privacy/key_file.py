"""The key ring's file: the one place that reads, checks and makes it.

JSON: `{"active": "2026.fp-abcdefgh", "keys": [{"id": "2026.fp-abcdefgh", "secret": "...", "seal": ""}]}`. An id ends
with the fingerprint of its secret, unless somebody chose it. The file is the secret that turns pseudonyms back into
guesses, so group and others may not read it.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from ldv_otel._internal.config.embedded_directory import has_records
from ldv_otel._internal.config.private_directories import trusted_path
from ldv_otel._internal.config.private_files import make_private_file, read_private_file, replace_private_file
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.privacy.pseudonyms import Key, KeyRing, Pseudonymiser, new_key, with_fingerprint
from ldv_otel.errors import ConfigurationError

_logger = logging.getLogger(__name__)


class _Ring(msgspec.Struct, forbid_unknown_fields=True):
    active: str
    keys: list[Key]


def read_keys(path: Path) -> KeyRing:
    """Read a key ring from a file that only its owner may read.

    Raises:
        ConfigurationError: The file is missing, readable by others, or not a key ring; it names the way out.
    """
    try:
        content = read_private_file(path, "LDV_KEYS")
    except OSError as error:
        raise ConfigurationError(
            f"LDV_KEYS: the key file {path} cannot be read ({error.strerror}). "
            "Make one with `ldv key new`, or let LDV_KEYS name the right file."
        ) from error
    try:
        ring = msgspec.json.decode(content, type=_Ring)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # msgspec names the place, never the value: safe to show.
        raise ConfigurationError(f"LDV_KEYS: the key file {path} is not a key ring ({error}).") from error
    return KeyRing(ring.keys, active=ring.active)


def keys_for(settings: Settings) -> KeyRing:
    """Return the key ring of a Logboek; a new embedded one without `LDV_KEYS` gets a key file beside its directory.

    Raises:
        ConfigurationError: A server Logboek without keys, a key file that cannot be used, or none beside an embedded
            Logboek that has records already: who is in those would not be found under a new key.
    """
    path = place_of_keys(settings)
    if path is None:
        raise ConfigurationError(
            "LDV_KEYS is not set, and a Logboek on a server needs a key for pseudonyms. Logging did not start. "
            "Make one with `ldv key new --file FILE`, keep a copy in a safe place, and let LDV_KEYS name the file."
        )
    if settings.keys is None and not path.exists():
        try:
            if has_records(Path(settings.logboek.path), settings.logboek.database):
                raise ConfigurationError(
                    f"LDV_KEYS is not set, the key file {path} is not there, and this Logboek has records, made with "
                    "keys that were there or that LDV_KEYS named. Nothing was made or logged: under a new key nobody "
                    "of before is found. Put the file back from the copy that you keep, or let LDV_KEYS name it. If "
                    f"it is lost for good, `ldv key new --file {path}` begins with a new key."
                )
            add_key(path)
        except OSError as error:
            raise ConfigurationError(
                f"The key file {path} cannot be made ({error.strerror}). Let LDV_KEYS name one made with `ldv key new`."
            ) from error
        _logger.warning(
            "A new key for pseudonyms was made in %s. Without it nobody is found again in this Logboek: keep a copy in "
            "a safe place, or let LDV_KEYS name a key of your own.",
            path,
        )
    return read_keys(path)


def pseudonymiser_for(settings: Settings) -> Pseudonymiser:
    """Return what makes the pseudonyms of a Logboek.

    Raises:
        ConfigurationError: As `keys_for`.
    """
    return Pseudonymiser(keys_for(settings), settings.pseudonymous_types)


def place_of_keys(settings: Settings) -> Path | None:
    """Return where the key file of a Logboek is, or would be made; None where `LDV_KEYS` has to say it."""
    if settings.keys is not None:
        return settings.keys
    return Path(f"{settings.logboek.path}.keys.json") if settings.logboek.embedded else None


def add_key(path: Path, *, name: str = "", sealing: bool = False) -> Key:
    """Add a fresh key to the ring at `path` and make it the active one; older keys stay for reading.

    A new file gets mode 0600, and the change is atomic: a reader sees the old ring or the new one.

    Args:
        name: What its id begins with, before its fingerprint; today's date when left out.

    Raises:
        ConfigurationError: The existing file cannot be used, or others could exchange it.
    """
    trusted_path(path, "LDV_KEYS")
    old = tuple(read_keys(path).keys.values()) if path.exists() else ()
    key = with_fingerprint(new_key(name or datetime.now(UTC).date().isoformat(), sealing=sealing))
    KeyRing([*old, key], active=key.id)
    content = _content(key, [*old, key])
    if old:
        replace_private_file(path, content)
    elif not make_private_file(path, content):
        # Two rings would split the Logboek.
        raise ConfigurationError(f"The key file {path} was made by another process just now. Run the command again.")
    return key


def remove_key(path: Path, key_id: str) -> None:
    """Remove a key that is not the active one from the ring at `path`; the change is atomic.

    Raises:
        ConfigurationError: The file cannot be used.
    """
    trusted_path(path, "LDV_KEYS")
    ring = read_keys(path)
    kept = [key for key in ring.keys.values() if key.id != key_id]
    KeyRing(kept, active=ring.active.id)
    replace_private_file(path, _content(ring.active, kept))


def _content(active: Key, keys: list[Key]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(_Ring(active=active.id, keys=keys)), indent=2) + b"\n"
