"""Sealing rows that are stored and that no manifest lists: of before sealing, or of a Collector.

Their manifests stand in `ldv_manifest`, because a row that is stored is never changed. They say that the rows were as
they are when they were adopted, and nothing of what was before.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from operator import itemgetter
from typing import Any, Final

import msgspec

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.tables import Table
from ldv_otel._internal.clickhouse.verification.manifest_sql import ADOPTABLE, ADOPTABLE_HOURS
from ldv_otel._internal.tamper.manifest import SealedBatch, Sealer, UnsealedRow
from ldv_otel._internal.tamper.note import NoteSigner
from ldv_otel._internal.times.instants import QUERY_TIME_MAX_MS, now_ms

#: Rows that are read at a time; a record of the largest size has 2 MB, most have less than one kB.
_ROWS_AT_A_TIME: Final = 20_000
_BATCH_ROWS: Final = 5_000
_HOUR_MS: Final = 3_600_000
_INSERTED: Final = {"async_insert": 0}


class Adoption(msgspec.Struct, frozen=True):
    """What an adoption came to.

    Attributes:
        records: How many records were sealed.
        manifests: In how many batches.
        left: How many were not: they lie between sealed ones, as only somebody who added them would put them, or
            several stand under one number.
    """

    records: int = 0
    manifests: int = 0
    left: int = 0


def adopt(
    client: LogboekClient, signer: NoteSigner, progress: Callable[[int, int], None] = lambda _done, _all: None
) -> Adoption:
    """Seal all rows that no manifest lists, as they are now.

    Args:
        progress: Called with how many of all such rows were looked at.
    """
    sealer = Sealer(signer)
    hours = client.rows(ADOPTABLE_HOURS, _parameters(0, QUERY_TIME_MAX_MS))
    total, done = sum(count for _, count, _ in hours), 0
    records = manifests = 0
    left = sum(between for _, _, between in hours)
    for first_ms, last_ms, count in _windows([(hour, count) for hour, count, _ in hours if count]):
        for rows in _pages(client, first_ms, last_ms + _HOUR_MS):
            batches = []
            for writer, of_writer in itertools.groupby(rows, itemgetter(0)):
                adoptable, several = _one_each(of_writer)
                left += several
                batches += [
                    sealer.seal_rows(writer, adoptable[at : at + _BATCH_ROWS], now_ms(), adopted=True)
                    for at in range(0, len(adoptable), _BATCH_ROWS)
                ]
            if batches:
                _store(client, batches)
                sealer.confirm(batches[-1].manifest)
            records += sum(each.manifest.count for each in batches)
            manifests += len(batches)
        done += count
        progress(done, total)
    return Adoption(records, manifests, left)


def _pages(client: LogboekClient, since_ms: int, until_ms: int) -> Iterator[list[tuple[Any, ...]]]:
    """Give adoptable rows by writer and number, those under one number on one page."""
    writer, number = "", 0
    while True:
        after = {"most": _ROWS_AT_A_TIME, "writer": writer, "number": number}
        rows = client.rows(ADOPTABLE, _parameters(since_ms, until_ms) | after, bytes_columns=("activity",))
        yield rows
        if len(rows) < _ROWS_AT_A_TIME:
            return
        writer, number, *_ = rows[-1]


def _parameters(since_ms: int, until_ms: int) -> dict[str, Any]:
    return {
        "from": 0, "to": QUERY_TIME_MAX_MS, "key": "", "refused": [], "since": since_ms,
        "until": min(until_ms, QUERY_TIME_MAX_MS),
    }  # fmt: skip


def _windows(hours: list[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """Give hours together that have few rows: the first, the last, and how many rows they have."""
    first = last = rows = 0
    for hour, count in hours:
        if rows and rows + count > _ROWS_AT_A_TIME:
            yield first, last, rows
            rows = 0
        if not rows:
            first = hour
        last, rows = hour, rows + count
    if rows:
        yield first, last, rows


def _one_each(rows: Iterator[tuple[Any, ...]]) -> tuple[list[UnsealedRow], int]:
    """Return the rows of a writer, and how many are left out: nothing tells which of several of a number is right."""
    adoptable, several = [], 0
    for number, group in itertools.groupby(rows, itemgetter(1)):
        same = list(group)
        if len(same) > 1:
            several += len(same)
            continue
        _, _, activity, content, start_ms = same[0]
        adoptable.append(UnsealedRow(activity.decode(), number, bytes.fromhex(content), start_ms))
    return adoptable, several


def _store(client: LogboekClient, batches: list[SealedBatch]) -> None:
    salts = [each.salts for each in batches]
    columns: Mapping[str, Any] = {
        "start_time": ("DateTime64(3, 'UTC')", [each.manifest.first_start_ms for each in batches]),
        "manifest": ("String", [each.note.encode() for each in batches]),
        "manifest_salts": ("String", salts),
        "salts_left": ("String", salts),
    }
    client.insert(Table.LDV_MANIFEST, columns, _INSERTED)
