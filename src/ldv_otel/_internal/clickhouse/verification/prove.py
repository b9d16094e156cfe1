"""Making proofs of records from what is stored (`tamper/proof.py`)."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Final, NamedTuple, Self

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.columns import StoredLogregel
from ldv_otel._internal.clickhouse.queries.lookups import MOST_HOURS
from ldv_otel._internal.clickhouse.queries.projections import id_prefixes, in_hours_of
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.clickhouse.verification.check import lists
from ldv_otel._internal.clickhouse.verification.manifest_sql import ROWS_OF_MANIFEST
from ldv_otel._internal.clickhouse.verification.record_sql import NUMBER, RECORD_BYTES
from ldv_otel._internal.clickhouse.verification.stored import (
    BatchRemoval,
    StoredManifest,
    read_manifests,
    read_removals,
)
from ldv_otel._internal.clickhouse.verification.stored_log import LogEntry, read_current_log, read_tree
from ldv_otel._internal.tamper.checkpoint import Checkpoint, LogProof
from ldv_otel._internal.tamper.manifest import SALT_BYTES, Manifest, nonce_of
from ldv_otel._internal.tamper.note import NoteError, SignedNote
from ldv_otel._internal.tamper.proof import FORMAT, RecordProof
from ldv_otel._internal.tamper.removal import manifest_hash
from ldv_otel._internal.tamper.tree import ProofError, TreeLevels, path_with_subtrees, root_by_inclusion
from ldv_otel._internal.times.instants import hour_from_ms
from ldv_otel.errors import QueryError

_RECORDS: Final = Sql(
    """
SELECT DISTINCT trace_id, span_id, toString(writer_id), seq, $number AS number, toString(processing_activity_id),
    hex($bytes), toUnixTimestamp64Milli(start_time)
FROM logregel
WHERE has(arrayMap(id -> toFixedString(unhex(id), 16), {traces:Array(String)}), trace_id)
    AND has(arrayMap(id -> toFixedString(unhex(id), 8), {spans:Array(String)}), span_id) AND $hours
ORDER BY number
""",
    bytes=RECORD_BYTES,
    number=NUMBER,
    hours=in_hours_of("trace_id"),
)


class RecordId(NamedTuple):
    """What tells one record from every other, also from one that has the same trace and span id."""

    trace_id: bytes
    span_id: bytes
    writer_id: str
    seq: int

    @classmethod
    def of(cls, stored: StoredLogregel) -> Self:
        """Return that of a record as readers have it."""
        return cls(stored.logregel.trace_id, stored.logregel.span_id, stored.writer_id, stored.seq)


class _Record(NamedTuple):
    writer_id: str
    number: int
    activity: str
    content: bytes
    start_ms: int


def prove(client: LogboekClient, trace_id: bytes, span_id: bytes) -> RecordProof:
    """Return the proof of one record with these ids, with that of its manifest where the log has a checkpoint of it.

    Raises:
        QueryError: There is no such record, it is not sealed, or its batch is not what was sealed.
    """
    records = _records(client, {trace_id}, {span_id})
    if not records:
        raise QueryError("There is no Logregel with this trace and span id.")
    proof = next((proof for proof in _proofs(client, records).values() if proof is not None), None)
    if proof is None:
        raise QueryError("The Logregel is not sealed, or its batch is not what was sealed. Run `ldv verify`.")
    return proof


def prove_records(client: LogboekClient, wanted: Collection[RecordId]) -> dict[RecordId, RecordProof | None]:
    """Return the proofs of records; None of one that is not sealed, or whose batch is not what was sealed.

    Records that are not there are left out.
    """
    records = _records(client, {each.trace_id for each in wanted}, {each.span_id for each in wanted})
    return _proofs(client, {each: record for each, record in records.items() if each in wanted})


def _records(client: LogboekClient, traces: Collection[bytes], spans: Collection[bytes]) -> dict[RecordId, _Record]:
    parameters = {
        "traces": sorted(trace_id.hex() for trace_id in traces),
        "spans": sorted(span_id.hex() for span_id in spans),
        "prefixes": id_prefixes(traces),
    }
    rows = client.rows(_RECORDS, parameters, bytes_columns=("trace_id", "span_id"))
    return {
        RecordId(bytes(trace_id), bytes(span_id), writer_id, seq): _Record(
            writer_id, number, activity, bytes.fromhex(content), start_ms
        )
        for trace_id, span_id, writer_id, seq, number, activity, content, start_ms in rows
    }


def _proofs(client: LogboekClient, records: Mapping[RecordId, _Record]) -> dict[RecordId, RecordProof | None]:
    if not records:
        return {}
    # The row in which a manifest stands is one of the batch, and most batches are of one moment.
    # Around each record, and not from the first to the last: a person's are spread over all the time that there is.
    hours = {max(hour_from_ms(record.start_ms) + step, 0) for record in records.values() for step in (-1, 0, 1)}
    writers = {record.writer_id for record in records.values()}
    prover = _Prover(client, writers, hours if len(hours) <= MOST_HOURS else ())
    proofs = {each: prover.proof_of(record) for each, record in records.items()}
    if all(proofs.values()):
        return proofs
    # A batch of a spool that waited, or of what began long before it ended, has rows of a long time.
    prover = _Prover(client, {records[each].writer_id for each, proof in proofs.items() if proof is None})
    return {each: proof or prover.proof_of(records[each]) for each, proof in proofs.items()}


class _Prover:
    """What proofs that are made together share."""

    def __init__(self, client: LogboekClient, writers: Collection[str], hours: Collection[int] = ()) -> None:
        self._client = client
        self._manifests: dict[str, list[StoredManifest]] = defaultdict(list)
        for stored in read_manifests(client, writers=writers, hours=hours)[0]:
            self._manifests[stored.manifest.writer_id].append(stored)
        #: By key: number and leaf of the rows of a batch, in the order of its tree.
        self._rows: dict[str, list[tuple[int, bytes]]] = {}

    def proof_of(self, record: _Record) -> RecordProof | None:
        for stored in self._manifests[record.writer_id]:
            manifest = stored.manifest
            within = manifest.first_start_ms <= record.start_ms <= manifest.last_start_ms
            if within and lists(manifest, record.number):
                proof = self._proof_in(stored, record)
                if proof is not None:
                    return proof
        return None

    def _proof_in(self, stored: StoredManifest, record: _Record) -> RecordProof | None:
        manifest = stored.manifest
        names = [name for name, _ in manifest.activities]
        rows = self._rows_of(stored)
        places = [at for at, (number, _) in enumerate(rows) if number == record.number]
        if len(places) != 1 or record.activity not in names:
            return None
        try:
            index, path = self._path(manifest, [leaf for _, leaf in rows], places[0])
        except ProofError:
            return None
        at = names.index(record.activity) * SALT_BYTES
        return RecordProof(
            format=FORMAT,
            record=record.content,
            nonce=nonce_of(stored.salts[at : at + SALT_BYTES], record.number),
            index=index,
            path=path,
            manifest=stored.note.decode(),
            log=self._log_proof(manifest),
        )

    def _rows_of(self, stored: StoredManifest) -> list[tuple[int, bytes]]:
        rows = self._rows.get(stored.key)
        if rows is None:
            parameters = {
                "from": stored.host_ms, "to": stored.host_ms, "key": stored.key,
                "first": stored.manifest.first_start_ms, "last": stored.manifest.last_start_ms,
            }  # fmt: skip
            answer = self._client.rows(ROWS_OF_MANIFEST, parameters)
            rows = self._rows[stored.key] = [(number, bytes.fromhex(leaf)) for _, number, leaf, _ in answer]
        return rows

    def _path(self, manifest: Manifest, leaves: list[bytes], place: int) -> tuple[int, tuple[bytes, ...]]:
        """Return the index and the path of a leaf in the tree of its batch, of which records may be past their term.

        Raises:
            ProofError: The batch is not what was sealed.
        """
        removal = self._removals.get(manifest_hash(manifest)) if len(leaves) < manifest.count else None
        gone = removal.leaves.indexes if removal is not None else set()
        there = [index for index in range(manifest.count) if index not in gone]
        if len(there) != len(leaves):
            raise ProofError("its batch has another number of records")
        nodes = removal.leaves.nodes if removal is not None else {}
        path = path_with_subtrees(manifest.count, dict(zip(there, leaves, strict=True)), nodes, there[place])
        if root_by_inclusion(leaves[place], there[place], manifest.count, path) != manifest.root:
            raise ProofError("its batch is not what was sealed")
        return there[place], tuple(path)

    def _log_proof(self, manifest: Manifest) -> str:
        """Return the proof that a manifest is in the log; empty when it is not, or the log is not whole."""
        entry = LogEntry(manifest.sealer, manifest.number)
        for logged in self._logs:
            index = logged.places.get(entry, logged.checkpoint.size)
            if index < logged.checkpoint.size:
                return str(LogProof(index, tuple(logged.levels.path(index)), logged.note))
        return ""

    @cached_property
    def _removals(self) -> Mapping[bytes, BatchRemoval]:
        return read_removals(self._client)[0]

    @cached_property
    def _logs(self) -> list[_ProvingLog]:
        """The log as of each checkpoint that a proof may be of, the best first; no signature is checked.

        Its nodes are kept, as one question may be about many records.
        """
        log = read_current_log(self._client, witnessed=True)
        tree = read_tree(self._client, log) if log.notes else None
        proving = []
        for note in dict.fromkeys((log.witnessed, log.last)):
            if note is None or tree is None:
                continue
            with contextlib.suppress(NoteError):  # `ldv verify` says what stands there
                checkpoint = Checkpoint.parse(note.text)
                levels = TreeLevels(tree.leaves[: checkpoint.size])
                if checkpoint.size <= len(tree.leaves) and levels.root == checkpoint.root:
                    proving.append(_ProvingLog(tree.places, levels, checkpoint, note))
        return proving


class _ProvingLog(NamedTuple):
    """The log as of one of its checkpoints."""

    places: Mapping[LogEntry, int]
    levels: TreeLevels
    checkpoint: Checkpoint
    note: SignedNote
