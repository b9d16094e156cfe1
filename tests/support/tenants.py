"""Files of Logboeken for tests: tenants with keys of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from ldv_otel._internal.privacy.key_file import add_key

#: Addresses are never asked where a test only reads the file.
NOWHERE = "clickhouse+https://ldv@{}.invalid/ldv"


def write_logboeken(
    directory: Path,
    ids: Iterable[str],
    *,
    address_of: Callable[[str], str] = NOWHERE.format,
    fields: Mapping[str, Mapping[str, Any]] | None = None,
    default: str = "",
    rules: Mapping[str, str] | None = None,
    with_keys: bool = True,
) -> Path:
    """Write a file of Logboeken, and a key file for each; return where it is.

    Args:
        fields: More about a tenant, by its id.
    """
    entries: dict[str, dict[str, Any]] = {
        name: {"logboek": address_of(name), "keys": f"{name}.json"} for name in ("quarantine", *ids)
    }
    for name, entry in entries.items():
        if with_keys:
            add_key(directory / entry["keys"], name=name)
        entry.update((fields or {}).get(name, {}))
    quarantine = entries.pop("quarantine")
    content = {
        "default": default,
        "quarantine": quarantine,
        "rules": dict(rules or {}),
        "tenants": [{"id": name, **entry} for name, entry in entries.items()],
    }
    path = directory / "logboeken.yaml"
    path.write_bytes(msgspec.yaml.encode(content))
    return path
