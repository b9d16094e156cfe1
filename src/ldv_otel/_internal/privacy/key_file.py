"""The key ring's file: the one place that reads, checks and makes it.

JSON: `{"active": "2026-11", "keys": [{"id": "2026-11", "secret": "...", "seal": ""}]}`. The file is the secret that
turns pseudonyms back into guesses, so group and others may not read it.
"""

from __future__ import annotations

import logging
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.privacy.pseudonyms import Key, KeyRing, new_key
from ldv_otel.errors import ConfigurationError

_logger = logging.getLogger(__name__)

_OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class _Ring(msgspec.Struct, forbid_unknown_fields=True):
    active: str
    keys: list[Key]


def read_keys(path: Path) -> KeyRing:
    """Read a key ring from a file that only its owner may read.

    Raises:
        ConfigurationError: The file is missing, readable by others, or not a key ring; it names the way out.
    """
    try:
        mode = path.stat().st_mode
        content = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"LDV_KEYS: the key file {path} cannot be read ({error.strerror}). "
            "Make one with `ldv key new`, or let LDV_KEYS name the right file."
        ) from error
    if mode & _OPEN_TO_OTHERS:
        raise ConfigurationError(
            f"LDV_KEYS: others may read the key file {path} (mode {stat.S_IMODE(mode):04o}). Run `chmod 600 {path}`."
        )
    try:
        ring = msgspec.json.decode(content, type=_Ring)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # msgspec names the place, never the value: safe to show.
        raise ConfigurationError(f"LDV_KEYS: the key file {path} is not a key ring ({error}).") from error
    return KeyRing(ring.keys, active=ring.active)


def keys_for(settings: Settings) -> KeyRing:
    """Return the key ring of a Logboek; an embedded one without `LDV_KEYS` gets a key file beside its directory.

    Raises:
        ConfigurationError: A server Logboek without keys, or a key file that cannot be used.
    """
    if settings.keys is not None:
        return read_keys(settings.keys)
    if not settings.logboek.embedded:
        raise ConfigurationError(
            "LDV_KEYS is not set, and a Logboek on a server needs a key for pseudonyms. Logging did not start. "
            "Make one with `ldv key new --file FILE`, keep a copy in a safe place, and let LDV_KEYS name the file."
        )
    path = Path(f"{settings.logboek.path}.keys.json")
    if not path.exists():
        try:
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


def add_key(path: Path, *, key_id: str = "", sealing: bool = False) -> Key:
    """Add a fresh key to the ring at `path` and make it the active one; older keys stay for reading.

    A new file gets mode 0600, and the change is atomic: a reader sees the old ring or the new one.

    Raises:
        ConfigurationError: The id exists already, or the existing file cannot be used.
    """
    old = tuple(read_keys(path).keys.values()) if path.exists() else ()
    key = new_key(key_id or _free_id({key.id for key in old}), sealing=sealing)
    KeyRing([*old, key], active=key.id)
    content = msgspec.json.format(msgspec.json.encode(_Ring(active=key.id, keys=[*old, key])), indent=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content + b"\n")
        file.flush()
        os.fsync(file.fileno())
    if old:
        draft.replace(path)
    else:
        _publish(draft, path)
    return key


def _publish(draft: Path, path: Path) -> None:
    """Put a first key file in place unless another process was quicker: two rings would split the Logboek."""
    try:
        os.link(draft, path)
    except FileExistsError as error:
        raise ConfigurationError(
            f"The key file {path} was made by another process just now. Run the command again."
        ) from error
    finally:
        draft.unlink()


def _free_id(taken: set[str]) -> str:
    today = datetime.now(UTC).date().isoformat()
    if today not in taken:
        return today
    return next(f"{today}.{number}" for number in range(2, len(taken) + 3) if f"{today}.{number}" not in taken)
