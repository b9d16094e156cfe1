"""What a machine that verifies remembers of its last check, so that the next one can go on from there.

It is kept there and not in the Logboek: whoever can change records could change that as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.verification.findings import Finding, FindingKind
from ldv_otel._internal.clickhouse.verification.manifest_log import leaf_of_manifest
from ldv_otel._internal.clickhouse.verification.stored import StoredManifest
from ldv_otel._internal.clickhouse.verification.stored_log import LogEntry, read_current_log
from ldv_otel._internal.config.private_files import make_private_file, read_private_file, replace_private_file
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.paths import state_directory
from ldv_otel._internal.tamper.tree import root_of
from ldv_otel._internal.times.instants import rfc3339_from_ms
from ldv_otel.errors import ConfigurationError


class VerifiedLog(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far the log was when everything in it was verified.

    Attributes:
        size: How many manifests it had.
        root: Of these, in hexadecimal digits.
        at_ms: When the check ended, in ms since 1970-01-01 UTC.
    """

    size: int
    root: str
    at_ms: int


def entries_passed(
    client: LogboekClient, manifests: Sequence[StoredManifest], passed: VerifiedLog
) -> tuple[frozenset[LogEntry], list[Finding]]:
    """Return the entries of the log whose records were verified before; none when the log is not the same any more."""
    by_entry = {LogEntry(each.manifest.sealer, each.manifest.number): each.manifest for each in manifests}
    entries = read_current_log(client).entries[: passed.size]
    if len(entries) == passed.size and set(entries) <= by_entry.keys():
        leaves = [leaf_of_manifest(by_entry[entry]) for entry in entries]
        if root_of(leaves).hex() == passed.root:
            return frozenset(entries), []
    detail = (
        f"Its first {passed.size} manifests are not those that were verified at {rfc3339_from_ms(passed.at_ms)}, so "
        "all records were read again."
    )
    return frozenset(), [Finding(kind=FindingKind.LOG_CHANGED, detail=detail)]


def read_verified(settings: Settings) -> VerifiedLog | None:
    """Return what the last check on this machine came to; None when there was none.

    Raises:
        ConfigurationError: The file cannot be read, is open to others, or is none.
    """
    path = _path(settings)
    try:
        return msgspec.json.decode(read_private_file(path, "LDV_STATE"), type=VerifiedLog)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"LDV_STATE: {path}, where the last check is remembered, cannot be read ({type(error).__name__}). Remove "
            "it; then everything is verified anew."
        ) from error


def write_verified(settings: Settings, verified: VerifiedLog) -> None:
    """Remember a check in which everything was in order.

    Raises:
        ConfigurationError: The file cannot be written.
    """
    path, content = _path(settings), msgspec.json.encode(verified)
    try:
        if not make_private_file(path, content):
            replace_private_file(path, content)
    except OSError as error:
        raise ConfigurationError(
            f"LDV_STATE: {path}, where the last check is remembered, cannot be written ({error.strerror}). The check "
            "itself was done."
        ) from error


def _path(settings: Settings) -> Path:
    name = hashlib.sha256(str(settings.logboek).encode()).hexdigest()[:16]
    return state_directory(settings) / "verified" / f"{name}.json"
