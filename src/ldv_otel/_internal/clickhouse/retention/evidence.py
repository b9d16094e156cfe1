"""What a removal leaves behind of sealed batches, so that the records that stay can still be checked (docs/tamper.md).

Before records go, a signed note names their batches and has hashes in their place, and the manifests of these batches
are copied to a table of their own. After they went, the salts of activities of which nothing is left are destroyed
there: from then on the hashes say nothing of the records that they stand for.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.clickhouse.tables import Table
from ldv_otel._internal.clickhouse.verification.manifest_sql import leaves_of
from ldv_otel._internal.clickhouse.verification.record_sql import NUMBER
from ldv_otel._internal.clickhouse.verification.stored import (
    StoredManifest,
    chunk_parameters,
    chunks_of,
    read_manifests,
    read_removals,
)
from ldv_otel._internal.tamper.manifest import SALT_BYTES, Manifest
from ldv_otel._internal.tamper.note import NoteSigner
from ldv_otel._internal.tamper.removal import Removal, RemovedLeaves, manifest_hash, removed_leaves
from ldv_otel._internal.tamper.tree import ProofError, root_with_subtrees
from ldv_otel._internal.times.instants import now_ms

_logger = logging.getLogger(__name__)

_INSERTED: Final = {"async_insert": 0}

_SALTS_TO_DESTROY: Final = Sql("SELECT count() FROM ldv_manifest WHERE manifest_salts != salts_left")
#: A copy with the salts that are left counts from then on; then the others go. So nobody needs a right to change.
_LEAVE_SALTS: Final = Sql("""
INSERT INTO ldv_manifest (start_time, manifest, manifest_salts, salts_left)
SELECT start_time, manifest, argMax(ldv_manifest.salts_left, kept) AS left, left FROM ldv_manifest
GROUP BY start_time, manifest
""")
_FORGET_COPIES: Final = Sql("""
ALTER TABLE ldv_manifest DELETE WHERE (SHA256(manifest), kept) NOT IN
    (SELECT SHA256(manifest), max(kept) FROM ldv_manifest GROUP BY SHA256(manifest)) SETTINGS mutations_sync = 1
""")


class _SealedRow(NamedTuple):
    activity: bytes
    seq: int
    leaf: bytes
    goes: bool


class BegunRemoval(NamedTuple):
    """A removal that is on record, and has not removed anything yet.

    Attributes:
        signer: The key of who removes; None leaves nothing behind, so that what goes shows as removed.
        removal_id: As in `ldv_removal`.
        kept_from: By activity, from when on its records are kept, in ms; what started earlier goes.
    """

    signer: NoteSigner | None
    removal_id: str
    kept_from: Mapping[str, int]


def leave_evidence(client: LogboekClient, removal: BegunRemoval, goes: Sql, parameters: Mapping[str, Any]) -> None:
    """Write down what is about to go of sealed batches.

    Args:
        goes: The condition on rows.
    """
    touched = _touched(client, goes, parameters)
    if not touched:
        return
    if removal.signer is None:
        _logger.error(
            "Records of %d sealed batches are removed without a key, so that `ldv verify` cannot tell it from "
            "tampering. Let LDV_SEAL_KEY name a key where `ldv retention apply` runs.",
            len(touched),
        )
        return
    earlier, _ = read_removals(client)
    for chunk in chunks_of(touched):
        batches: list[tuple[StoredManifest, RemovedLeaves]] = []
        for stored, rows in _rows_of(client, chunk, goes, parameters):
            before = earlier.get(manifest_hash(stored.manifest))
            left = _left_behind(stored.manifest, rows, before.leaves if before else None)
            if left is not None:
                batches.append((stored, left))
        if batches:
            _write(client, removal.signer, removal, batches)


def finish_evidence(client: LogboekClient, *, cluster: str) -> None:
    """Destroy the salts of activities of which a batch has no record left, after the records went.

    Where the row in which the manifest stands is still there, its salts are too, until it goes.

    Args:
        cluster: Name of the cluster that the tables are on; there the salts stay, as a mutation with a subquery is not
            the same on each replica.
    """
    if not cluster and client.rows(_SALTS_TO_DESTROY) != [(0,)]:
        client.command(_LEAVE_SALTS)
        client.command(_FORGET_COPIES)


def _touched(client: LogboekClient, goes: Sql, parameters: Mapping[str, Any]) -> list[StoredManifest]:
    """Return the manifests that may list rows that go."""
    query = Sql(
        "SELECT toString(writer_id) AS writer, min($number), max($number) FROM logregel WHERE $goes GROUP BY writer",
        goes=goes,
        number=NUMBER,
    )
    spans = {writer: (first, last) for writer, first, last in client.rows(query, parameters)}
    if not spans:
        return []
    stored, _ = read_manifests(client)
    return [each for each in stored if _overlaps(each.manifest, spans.get(each.manifest.writer_id))]


def _overlaps(manifest: Manifest, span: tuple[int, int] | None) -> bool:
    return span is not None and manifest.seqs[0].first <= span[1] and manifest.seqs[-1].last >= span[0]


def _rows_of(
    client: LogboekClient, chunk: Sequence[StoredManifest], goes: Sql, parameters: Mapping[str, Any]
) -> Iterator[tuple[StoredManifest, list[_SealedRow]]]:
    """Give each manifest of a chunk with its rows, in the order of their leaves, where some of them go."""
    query = Sql("SELECT key, activity, leaf_seq, leaf, goes FROM ($leaves) ORDER BY key, activity, leaf_seq, leaf",
                leaves=leaves_of(goes))  # fmt: skip
    answer = client.rows(query, {**parameters, **chunk_parameters(chunk)}, bytes_columns=("activity",))
    rows = {
        key: list(dict.fromkeys(_SealedRow(row[1], row[2], bytes(row[3]), bool(row[4])) for row in group))
        for key, group in itertools.groupby(answer, itemgetter(0))
    }
    for stored in chunk:
        batch = rows.get(stored.key, [])
        if any(row.goes for row in batch):
            yield stored, batch


def _left_behind(manifest: Manifest, rows: Sequence[_SealedRow], before: RemovedLeaves | None) -> RemovedLeaves | None:
    """Return what is left behind of a batch; None when it is not what was sealed, which a removal must not hide."""
    gone: set[int] = set()
    subtrees: dict[tuple[int, int], bytes] = {}
    if before is not None and len(rows) < manifest.count:
        gone, subtrees = before.indexes, before.nodes
    there = [index for index in range(manifest.count) if index not in gone]
    if len(there) != len(rows):
        return None
    leaves = {index: row.leaf for index, row in zip(there, rows, strict=True)}
    try:
        if root_with_subtrees(manifest.count, leaves, subtrees) != manifest.root:
            return None
    except ProofError:
        return None
    going = [index for index, row in zip(there, rows, strict=True) if row.goes]
    return removed_leaves(manifest, going, leaves, before)


def _write(
    client: LogboekClient,
    signer: NoteSigner,
    begun: BegunRemoval,
    batches: Sequence[tuple[StoredManifest, RemovedLeaves]],
) -> None:
    activities = {name for stored, _ in batches for name, _ in stored.manifest.activities}
    removal = Removal(
        removal_id=begun.removal_id,
        key=signer.key.public,
        time_ms=now_ms(),
        kept_from={activity: moment for activity, moment in begun.kept_from.items() if activity in activities},
        batches=tuple(left for _, left in batches),
    )
    note = str(signer.sign(removal.text)).encode()
    manifests = [stored for stored, _ in batches]
    # The manifests first: a note without them would stand for nothing that is known.
    client.insert(
        Table.LDV_MANIFEST,
        {
            "start_time": ("DateTime64(3, 'UTC')", [stored.manifest.first_start_ms for stored in manifests]),
            "manifest": ("String", [stored.note for stored in manifests]),
            "manifest_salts": ("String", [stored.salts for stored in manifests]),
            "salts_left": ("String", [_salts_left(stored, left) for stored, left in batches]),
        },
        _INSERTED,
    )
    client.insert(
        Table.LDV_REMOVAL_NOTE, {"removal_id": ("UUID", [begun.removal_id]), "note": ("String", [note])}, _INSERTED
    )


def _salts_left(stored: StoredManifest, left: RemovedLeaves) -> bytes:
    """Return the salts with zeros for the activities of which nothing is left."""
    gone = left.indexes
    salts, first = [], 0
    for at, (_, count) in enumerate(stored.manifest.activities):
        salt = stored.salts[at * SALT_BYTES : (at + 1) * SALT_BYTES]
        salts.append(bytes(SALT_BYTES) if gone.issuperset(range(first, first + count)) else salt)
        first += count
    return b"".join(salts)
