"""Where the key that seals records is, when nobody says so: beside the key file for pseudonyms."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ldv_otel._internal.config.settings import Settings

VARIABLE: Final = "LDV_SEAL_KEY"


def seal_key_file(settings: Settings) -> Path | None:
    """Return the file of the key that seals records, whether it is there or not.

    Returns:
        None when nothing is sealed (`LDV_SEAL=0`), or nothing says where a key could be: a server Logboek without
        `LDV_KEYS`.
    """
    if not settings.seal:
        return None
    if settings.seal_key is not None:
        return settings.seal_key
    if settings.keys is not None:
        return Path(f"{settings.keys}.seal.key")
    return Path(f"{settings.logboek.path}.seal.key") if settings.logboek.embedded else None
