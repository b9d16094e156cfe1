"""The key with which this machine seals records: found, or made for a Logboek that was never sealed.

A Logboek that was sealed before and a key file that is not there: either the key was lost, or this is another machine.
Nothing tells the two apart, so no key is made then. Whoever lost one has to hear of it, because verifiers will not take
another one for it; and a machine that comes new gets its key by a person (`ldv seal --new-key`).
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

import msgspec

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.tamper.key_place import VARIABLE, seal_key_file
from ldv_otel._internal.tamper.manifest import SEALER_NAME
from ldv_otel._internal.tamper.note import NoteSigner
from ldv_otel._internal.tamper.signing_key import make_signer, read_signer
from ldv_otel.errors import ConfigurationError, LdvError

_logger = logging.getLogger(__name__)

#: One key that sealed records here. Services may read that of manifests, and no salts.
_SEALED_WITH: Final = Sql("""
SELECT extract(manifest, '\\nkey ([^\\n]*)\\n') FROM
(
    SELECT manifest FROM logregel WHERE manifest != '' LIMIT 1
    UNION ALL
    SELECT manifest FROM ldv_manifest LIMIT 1
) LIMIT 1
""")


class SealStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Whether services on this machine seal what they store, for `ldv status`.

    Attributes:
        on: Whether they should (`LDV_SEAL`).
        key_file: Of the key; empty where nothing says where it should be.
        key: Its public key, as a `vkey`; empty when there is none yet, or none that can be used.
        problem: Why they cannot seal, and what to do; empty for no such reason.
    """

    on: bool
    key_file: str = ""
    key: str = ""
    problem: str = ""


def seal_status(settings: Settings, client: LogboekClient | None) -> SealStatus:
    """Return whether services on this machine seal what they store; nothing is made.

    Args:
        client: Tells whether a key was lost; None leaves that out.
    """
    path = seal_key_file(settings)
    status = SealStatus(on=settings.seal, key_file=str(path or ""))
    if not settings.seal:
        return status
    try:
        place = _place(settings)
        if is_there(place):
            return msgspec.structs.replace(status, key=str(read_signer(place, VARIABLE).key))
        if client is not None and (key := sealed_with(client)):
            raise _lost(place, key)
    except LdvError as error:
        return msgspec.structs.replace(status, problem=str(error))
    return status


def signer_for(settings: Settings, client: LogboekClient) -> NoteSigner | None:
    """Return the key with which this machine seals records; None when nothing is sealed (`LDV_SEAL=0`).

    In a Logboek that was never sealed a key is made when there is none, and its public key is logged once.

    Raises:
        ConfigurationError: There is no key that can be used; what to do about it.
        LogboekUnavailable: Whether the Logboek was sealed before cannot be asked now.
    """
    if not settings.seal:
        return None
    path = _place(settings)
    if is_there(path):
        return read_signer(path, VARIABLE)
    key = sealed_with(client)
    # Another process may have made the key and stored with it since we looked.
    if not key or is_there(path):
        return made_signer(path)
    raise _lost(path, key)


def _lost(path: Path, key: str) -> ConfigurationError:
    return ConfigurationError(
        f"{VARIABLE}: the key {path} is not there, and this Logboek was sealed before (with {key}, or others too). No "
        "new key was made, because nobody who verifies would know it. Put the key back from the copy that you keep. On "
        "a machine that is new, or if the key is lost for good, run `ldv seal --new-key`, and give its public key to "
        "who verifies."
    )


def new_signer(settings: Settings) -> NoteSigner:
    """Make a key where there is none, whatever the Logboek was sealed with.

    Raises:
        ConfigurationError: There is one, nothing says where it should be, or it cannot be made.
    """
    path = _place(settings)
    if is_there(path):
        raise ConfigurationError(f"{VARIABLE}: there is a key in {path}. No new one was made; move it away first.")
    return made_signer(path)


def sealed_with(client: LogboekClient) -> str:
    """Return one public key that sealed records of a Logboek, in base64; empty when none are sealed.

    Raises:
        ConfigurationError: This account may not read that; it names the way out.
        LogboekUnavailable: No answer.
    """
    try:
        rows = client.rows(_SEALED_WITH)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"Whether the Logboek was sealed before cannot be read, so no key was made. {error} If it is about rights, "
            "run `ldv schema roles --apply` again."
        ) from error
    return str(rows[0][0]) if rows else ""


def is_there(path: Path) -> bool:
    """Whether something is at a path, also when it cannot be read."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except OSError:  # what is wrong with it shows when it is read
        return True
    return True


def made_signer(path: Path) -> NoteSigner:
    """Make a key, or take that of a process that was quicker."""
    signer = make_signer(path, SEALER_NAME, VARIABLE)
    _logger.warning(
        "A new key that seals records was made in %s. Keep a copy, and give its public key to who verifies: %s",
        path,
        str(signer.key),
    )
    return signer


def _place(settings: Settings) -> Path:
    path = seal_key_file(settings)
    if path is None:
        raise ConfigurationError(
            f"{VARIABLE} is not set, and neither is LDV_KEYS, so there is no place for a key that seals records. Set "
            "one of them, or LDV_SEAL=0 to go without."
        )
    return path
