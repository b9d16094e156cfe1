"""Manifests and removals as they are stored, after a look at their signatures."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.verification.manifest_sql import MANIFESTS, REMOVAL_NOTES
from ldv_otel._internal.tamper.manifest import Manifest, open_manifest
from ldv_otel._internal.tamper.note import NoteError
from ldv_otel._internal.tamper.removal import Removal, RemovedLeaves, open_removal
from ldv_otel._internal.times.instants import QUERY_TIME_MAX_MS

#: So many rows the engine keeps the leaves of at a time: some 60 MB.
_ROWS_AT_A_TIME: Final = 250_000
_MANIFESTS_AT_A_TIME: Final = 5_000


class StoredManifest(msgspec.Struct, frozen=True):
    """A manifest whose signature is good.

    Attributes:
        salts: As they are stored.
        note: The signed note.
        key: What tells it from other manifests and salts.
        host_ms: Start of the record in whose row it stands.
    """

    manifest: Manifest
    salts: bytes
    note: bytes
    key: str
    host_ms: int

    @property
    def name(self) -> str:
        """How findings name it."""
        return f"{self.manifest.sealer} {self.manifest.number}"


class BadManifest(NamedTuple):
    """Something that is stored as a manifest and is none, or was not signed by whom it names."""

    key: str
    reason: str


class BatchRemoval(NamedTuple):
    """What removals say of one batch.

    Attributes:
        keys: Of who signed them.
        leaves: All that went.
        kept_from: By activity, the last moment from which its records were kept, in ms.
    """

    keys: frozenset[bytes]
    leaves: RemovedLeaves
    kept_from: dict[str, int]


def read_manifests(
    client: LogboekClient,
    *,
    since_ms: int = -1,
    writers: Collection[str] = (),
    hours: Collection[int] = (),
) -> tuple[list[StoredManifest], list[BadManifest]]:
    """Return the manifests in the order of the rows in which they stand, and what is none.

    Args:
        since_ms: Leave out batches whose last record started before; -1 for none.
        writers: Only batches of these; empty for all.
        hours: Only what stands in rows that start in these hours since 1970-01-01 UTC; empty for all.
    """
    good: list[StoredManifest] = []
    bad: list[BadManifest] = []
    seen: set[str] = set()
    parameters = {"since": since_ms, "writers": sorted(writers), "hours": sorted(hours)}
    rows = client.rows(MANIFESTS, parameters, bytes_columns=("manifest", "manifest_salts"))
    for note, salts, host_ms in rows:
        key = hashlib.sha256(note + salts).hexdigest().upper()
        if key in seen:
            continue
        seen.add(key)
        try:
            good.append(StoredManifest(open_manifest(note), salts, note, key, host_ms))
        except NoteError as error:
            bad.append(BadManifest(key, str(error)))
    return good, bad


def read_removals(client: LogboekClient) -> tuple[dict[bytes, BatchRemoval], list[str]]:
    """Return the last removal of each batch by the hash of its manifest, and why others are not good."""
    removals: dict[bytes, BatchRemoval] = {}
    bad: list[str] = []
    for (note,) in client.rows(REMOVAL_NOTES, bytes_columns=("note",)):
        try:
            removal = open_removal(note)
        except NoteError as error:
            bad.append(str(error))
            continue
        for leaves in removal.batches:
            before = removals.get(leaves.manifest)
            removals[leaves.manifest] = _added(before, removal, leaves)
    return removals, bad


def _added(before: BatchRemoval | None, removal: Removal, leaves: RemovedLeaves) -> BatchRemoval:
    """Return what is known of a batch after one removal more."""
    # When their own term was over stood in the records; it cannot be compared any more.
    kept_from = {activity: moment or QUERY_TIME_MAX_MS for activity, moment in removal.kept_from.items()}
    keys = frozenset({removal.key})
    if before is None:
        return BatchRemoval(keys, leaves, kept_from)
    for activity, moment in before.kept_from.items():
        kept_from[activity] = max(moment, kept_from.get(activity, 0))
    # A removal names what went earlier too.
    largest = leaves if leaves.count >= before.leaves.count else before.leaves
    return BatchRemoval(keys | before.keys, largest, kept_from)


def chunks_of(manifests: Sequence[StoredManifest]) -> Iterator[list[StoredManifest]]:
    """Divide manifests, which are in the order of the rows they stand in, without dividing one moment."""
    chunk: list[StoredManifest] = []
    rows = 0
    for stored in manifests:
        full = rows >= _ROWS_AT_A_TIME or len(chunk) >= _MANIFESTS_AT_A_TIME
        if chunk and full and stored.host_ms != chunk[-1].host_ms:
            yield chunk
            chunk, rows = [], 0
        chunk.append(stored)
        rows += stored.manifest.count
    if chunk:
        yield chunk


def chunk_parameters(chunk: Sequence[StoredManifest]) -> dict[str, object]:
    """Return the parameters of a query over the rows that the manifests of a chunk list."""
    return {
        "from": chunk[0].host_ms,
        "to": chunk[-1].host_ms,
        "first": min(each.manifest.first_start_ms for each in chunk),
        "last": max(each.manifest.last_start_ms for each in chunk),
        "key": "",
    }
