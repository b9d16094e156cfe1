"""A key file whose keys have ids of a test's own choice, as those of before fingerprints; the last one is active."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from ldv_otel._internal.privacy.pseudonyms import new_key


def write_ring(path: Path, *ids: str, sealing: bool = False) -> None:
    """Make the file, as `ldv key new` makes one."""
    keys = [msgspec.to_builtins(new_key(each, sealing=sealing)) for each in ids]
    path.touch(0o600)
    path.write_text(json.dumps({"active": ids[-1], "keys": keys}), encoding="utf-8")
