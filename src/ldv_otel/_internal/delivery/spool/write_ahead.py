"""Starts of Acties (level `write-ahead`): on disk before the Actie does anything, and what becomes of them.

A start holds the Logregels that are stored if no end follows. Its owner takes starts of running Acties along into each
new segment, so that a long Actie neither keeps old segments on disk nor is lost with them. The process that adopts a
spool writes the Logregels of starts without an end into it; from then on they are records like any other.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ldv_otel._internal.delivery.spool.progress import Progress
from ldv_otel._internal.delivery.spool.reader import OrphanSpool
from ldv_otel._internal.delivery.spool.segment import FIRST_START, StoredRecord, add_segment
from ldv_otel._internal.record.logregel import Logregel, encode_logregel


class ActieStart(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The start of an Actie that runs, or an addition to it: the Logregels it leaves if it is never ended.

    Attributes:
        actie: Trace id and span id of the Actie, see `actie_id`.
        logregels: A later start of the same Actie adds to these, and replaces those with the same span id.
    """

    actie: bytes
    logregels: tuple[Logregel, ...]


class _Ids(msgspec.Struct, array_like=True, gc=False):
    """The first fields of a Logregel; the others are not decoded."""

    trace_id: bytes
    span_id: bytes


_encode = msgspec.msgpack.Encoder().encode
_starts: msgspec.msgpack.Decoder[ActieStart] = msgspec.msgpack.Decoder(ActieStart)
_ids: msgspec.msgpack.Decoder[_Ids] = msgspec.msgpack.Decoder(_Ids)


def encode_start(start: ActieStart) -> bytes:
    """Return the bytes of a start."""
    return _encode(start)


def end_interrupted(orphan: OrphanSpool, progress: Progress) -> int:
    """Write the Logregels of Acties that were never ended into their spool; return how many that were.

    Done twice it changes nothing: they have an end then.

    Raises:
        OSError: The disk refused; some may have been written.
    """
    interrupted = interrupted_acties(orphan)
    records = [logregel for logregels in interrupted for logregel in logregels]
    if records:
        first = max(progress.highest, orphan.last_seq) + 1
        payloads = map(encode_logregel, records)
        add_segment(orphan.directory, orphan.last_segment + 1, orphan.directory.name, list(enumerate(payloads, first)))
    return len(records)


def interrupted_acties(orphan: OrphanSpool) -> list[list[Logregel]]:
    """Return the Logregels of each Actie that has a start and no end in a spool, in the order of their starts.

    Read twice, so that memory holds only what is open at a time, and so that it does not matter where an end stands:
    one that was refused to its caller may lie before a start that was taken along.
    """
    begun: dict[bytes, list[StoredRecord]] = {}
    for record in orphan.everything():
        if record.seq >= FIRST_START:
            if (start := _start(record)) is not None:
                begun.setdefault(start.actie, []).append(record)
            else:
                orphan.keep_segment()
        elif begun:
            begun.pop(_ended(record), None)
    if begun:
        for record in orphan.records():
            begun.pop(_ended(record), None)
    return [_merged(records) for records in begun.values()]


def _start(record: StoredRecord) -> ActieStart | None:
    """Return the start that a record holds; None for what cannot be decoded."""
    try:
        return _starts.decode(record.payload)
    except msgspec.DecodeError:
        return None


def _ended(record: StoredRecord) -> bytes:
    try:
        ids = _ids.decode(record.payload)
    except msgspec.DecodeError:
        return b""  # it is quarantined when it is its turn to be sent
    return ids.trace_id + ids.span_id


def _merged(records: Iterable[StoredRecord]) -> list[Logregel]:
    """Return an Actie's Logregels: the starts of one Actie are in order, also where they were taken along."""
    logregels = {}
    for record in records:
        for logregel in _starts.decode(record.payload).logregels:
            logregels[logregel.span_id] = logregel
    return list(logregels.values())
