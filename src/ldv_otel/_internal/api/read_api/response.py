"""Answers of the lezen API: as many records as fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from ldv_otel._internal.clickhouse.columns import StoredLogregel
from ldv_otel._internal.record.logregel import Logregel


def within_bytes(
    records: Iterable[StoredLogregel], limit: int, as_json: Callable[[Logregel], dict[str, Any]]
) -> list[bytes]:
    """Return the first records as JSON, up to so many bytes; at least one, so that reading pages comes to an end."""
    encoded_records: list[bytes] = []
    for record in records:
        encoded = msgspec.json.encode(as_json(record.logregel))
        limit -= len(encoded)
        if limit < 0 and encoded_records:
            break
        encoded_records.append(encoded)
    return encoded_records
