"""Keys that seal, and the check that a Logboek is sealed by one and whole."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.verification.findings import Finding
from ldv_otel._internal.clickhouse.verification.verify import verify
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.tamper.key_place import seal_key_file
from ldv_otel._internal.tamper.manifest import SEALER_NAME
from ldv_otel._internal.tamper.signing_key import make_signer, read_signer

_VARIABLE = "LDV_SEAL_KEY"


def with_seal_key(settings: Settings, directory: Path) -> Settings:
    """Return settings that seal with a new key in a directory."""
    path = directory / "seal.key"
    make_signer(path, SEALER_NAME, _VARIABLE)
    return msgspec.structs.replace(settings, seal_key=path)


def not_whole(settings: Settings) -> list[Finding]:
    """Return what shows that a record is not sealed by the key of the settings, or was changed, added or removed."""
    path = seal_key_file(settings)
    assert path is not None
    with LogboekClient(settings) as client:
        return verify(client, keys=[read_signer(path, _VARIABLE).key.public]).findings
