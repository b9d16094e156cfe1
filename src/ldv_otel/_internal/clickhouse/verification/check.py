"""One check of rows against their manifests: what each difference is.

The engine makes the root of each batch from the rows that are there; this process checks the signatures, and looks
closer at the batches whose root is another. So it believes that the engine computes right, and nothing that is stored.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.verification.findings import Finding, FindingKind
from ldv_otel._internal.clickhouse.verification.manifest_sql import (
    DOUBTFUL,
    LEAVES_OF_KEPT,
    ROOTS,
    ROWS_OF_MANIFEST,
    UNLISTED,
)
from ldv_otel._internal.clickhouse.verification.stored import (
    BatchRemoval,
    StoredManifest,
    chunk_parameters,
    chunks_of,
    read_manifests,
    read_removals,
)
from ldv_otel._internal.tamper.manifest import SALT_BYTES, Manifest, SeqRange, ranges_of
from ldv_otel._internal.tamper.removal import RemovedLeaves, manifest_hash
from ldv_otel._internal.tamper.tree import ProofError, root_of, root_with_subtrees
from ldv_otel._internal.times.instants import QUERY_TIME_MAX_MS

#: Parameters travel in the request line.
_MOST_REFUSED: Final = 200
#: Batches that are looked at row by row; what is wrong with more of them is said without numbers.
_MOST_EXAMINED: Final = 500
#: Rows that are compared with manifests one by one: those of batches that were sealed twice, in part.
_MOST_DOUBTFUL: Final = 100_000
#: Ways to choose between rows under one number, of which one may be the batch that was sealed.
_MOST_CHOICES: Final = 64
#: Ranges of numbers that a finding names.
_NAMED: Final = 10


class _ListedLeaf(NamedTuple):
    activity: bytes
    seq: int
    leaf: bytes
    start_ms: int


class Check:
    """One check under way."""

    def __init__(self, client: LogboekClient, since_ms: int | None, keys: Collection[bytes] | None) -> None:
        self.manifests: list[StoredManifest] = []
        #: Those that an unknown key signed included.
        self.good: list[StoredManifest] = []
        self.findings: list[Finding] = []
        self._client = client
        self._since = -1 if since_ms is None else since_ms
        self._keys = keys
        self._refused: list[str] = []
        self._examined = 0
        self._removals: dict[bytes, BatchRemoval] = {}
        #: How many records went lawfully.
        self.removed = 0
        #: Manifests about whose records something was found.
        self._differing: list[StoredManifest] = []

    def collect(self, writers: Collection[str] = ()) -> None:
        """Read the manifests, and leave those out that nobody of the known sealers signed.

        Args:
            writers: Only batches of these; empty for all.
        """
        good, bad = read_manifests(self._client, since_ms=self._since, writers=writers)
        self.good = good
        for key, reason in bad:
            self._refuse(
                FindingKind.MANIFEST_CHANGED, key, f"What stands as a manifest beside a record is none: {reason}."
            )
        for stored in good:
            public = stored.manifest.key
            if self._keys is not None and public not in self._keys:
                detail = f"It is signed with {public.hex()}, which is no key of a known sealer."
                self._refuse(FindingKind.UNKNOWN_KEY, stored.key, detail, stored)
            else:
                self.manifests.append(stored)
        removals, reasons = read_removals(self._client)
        for reason in reasons:
            detail = f"What stands as the note of a removal is none: {reason}."
            self.findings.append(Finding(kind=FindingKind.MANIFEST_CHANGED, detail=detail))
        self._removals = removals

    def _refuse(self, kind: FindingKind, key: str, detail: str, stored: StoredManifest | None = None) -> None:
        self._refused.append(key)
        self.findings.append(_about(stored, kind, detail) if stored else Finding(kind=kind, detail=detail))

    def numbers(self) -> None:
        """Look for manifests that later ones name and that are not there, and for two under one number."""
        sealers: dict[str, dict[int, StoredManifest]] = defaultdict(dict)
        for stored in self.manifests:
            manifest = stored.manifest
            other = sealers[manifest.sealer].setdefault(manifest.number, stored)
            if other.manifest != manifest:
                self.findings.append(_about(stored, FindingKind.FORKED, "Another one has the same number."))
        for numbers in sealers.values():
            for number, stored in sorted(numbers.items()):
                previous = stored.manifest.previous
                # Of batches that were stored before the period of the check nothing was read.
                if previous is None or previous in numbers or (self._since >= 0 and number == min(numbers)):
                    continue
                sealer = f"{stored.manifest.sealer} {previous}"
                detail = f"Manifest {stored.name}, sealed after it, names it."
                self.findings.append(Finding(kind=FindingKind.MANIFEST_REMOVED, sealer=sealer, detail=detail))

    def roots(
        self, progress: Callable[[int, int], None], among: Callable[[StoredManifest], bool] = lambda _: True
    ) -> None:
        """Compare the roots of batches, and look closer at those that differ."""
        manifests = list(filter(among, self.manifests))
        total, done = sum(each.manifest.count for each in manifests), 0
        for chunk in chunks_of(manifests):
            self._check_chunk(chunk)
            done += sum(each.manifest.count for each in chunk)
            progress(done, total)

    def _check_chunk(self, chunk: Sequence[StoredManifest]) -> None:
        parameters = chunk_parameters(chunk)
        roots = {key: (count, root) for key, count, root in self._client.rows(ROOTS, parameters)}
        kept: dict[str, list[str]] | None = None
        for stored in chunk:
            manifest = stored.manifest
            if roots.get(stored.key) == (manifest.count, manifest.root.hex().upper()):
                continue
            removal = self._removals.get(manifest_hash(manifest))
            if removal is None:
                self._examine(stored)
                continue
            if kept is None:
                kept = dict(self._client.rows(LEAVES_OF_KEPT, parameters))
            self._check_removal(stored, removal, [bytes.fromhex(leaf) for leaf in kept.get(stored.key, [])])

    def _check_removal(self, stored: StoredManifest, removal: BatchRemoval, leaves: Sequence[bytes]) -> None:
        """Check the records that a removal left of a batch, and whether what went was past its term."""
        manifest, gone = stored.manifest, removal.leaves
        indexes = gone.indexes
        there = [index for index in range(manifest.count) if index not in indexes]
        if self._keys is not None and (unknown := removal.keys.difference(self._keys)):
            public = ", ".join(key.hex() for key in sorted(unknown))
            detail = f"They are on record as past their term, signed with {public}, which is no key that is known."
            self._report(stored, FindingKind.REMOVED, detail, gone.count)
        elif len(there) > len(leaves):
            detail = f"Besides, {gone.count} others of their batch were removed by a term."
            self._report(stored, FindingKind.REMOVED, detail, len(there) - len(leaves))
        elif not _is_whole(manifest, gone, dict(zip(there, leaves, strict=False)), len(leaves)):
            detail = f"Of their batch {gone.count} were removed by a term; the others are not what was sealed."
            self._report(stored, FindingKind.CHANGED, detail, len(leaves))
        elif early := [each for each in _activities_of(manifest, indexes) if not _was_due(manifest, each, removal)]:
            detail = f"They are on record as past the term of {', '.join(early)}, and they were not."
            self._report(stored, FindingKind.REMOVED, detail, gone.count)
        else:
            self.removed += gone.count

    def _report(self, stored: StoredManifest, kind: FindingKind, detail: str, records: int) -> None:
        self.findings.append(msgspec.structs.replace(_about(stored, kind, detail), records=records))
        self._differing.append(stored)

    def _examine(self, stored: StoredManifest) -> None:
        """Say what became of a batch whose rows do not give its root."""
        self._examined += 1
        findings = len(self.findings)
        self._look_at_rows(stored)
        if len(self.findings) > findings:
            self._differing.append(stored)

    def _look_at_rows(self, stored: StoredManifest) -> None:
        manifest = stored.manifest
        if self._examined > _MOST_EXAMINED:
            detail = "At least one of them was changed or removed; too many batches differ to look at each."
            self.findings.append(_about(stored, FindingKind.CHANGED, detail))
            return
        rows = self._rows_of(stored)
        by_seq: dict[int, list[_ListedLeaf]] = defaultdict(list)
        for row in rows:
            by_seq[row.seq].append(row)
        missing = [seq for seq in _seqs(manifest.seqs) if seq not in by_seq]
        extra = sum(map(len, by_seq.values())) - len(by_seq)
        if missing:
            others = manifest.count - len(missing)
            rest = f"Without them the other {others} of their batch cannot be checked." if others else ""
            self.findings.append(_about(stored, FindingKind.REMOVED, rest, missing))
        elif extra:
            doubled = [seq for seq, variants in by_seq.items() if len(variants) > 1]
            if _one_choice_is_sealed(by_seq, manifest.root):
                detail = "Beside the record that was sealed another one stands under the same number."
                self.findings.append(_about(stored, FindingKind.ADDED, detail, doubled))
            else:
                detail = "Several records stand under one number, and none of them is the one that was sealed."
                self.findings.append(_about(stored, FindingKind.CHANGED, detail, doubled))
        elif root_of([row.leaf for row in rows]) != manifest.root:
            self._differs(stored)

    def _differs(self, stored: StoredManifest) -> None:
        manifest, salts = stored.manifest, stored.salts
        blocks = {salts[at : at + SALT_BYTES] for at in range(0, len(salts), SALT_BYTES)}
        if len(salts) != SALT_BYTES * len(manifest.activities) or bytes(SALT_BYTES) in blocks:
            detail = "A salt of their manifest is not there."
            self.findings.append(_about(stored, FindingKind.SALT_LOST, detail))
            return
        detail = "At least one of them, or a salt of their manifest, is not what was sealed; a batch shows no more."
        self.findings.append(_about(stored, FindingKind.CHANGED, detail if manifest.count > 1 else ""))

    def _rows_of(self, stored: StoredManifest) -> list[_ListedLeaf]:
        """Return the rows under the numbers that a manifest lists, whenever they started."""
        parameters = {
            "from": stored.host_ms, "to": stored.host_ms, "first": 0, "last": QUERY_TIME_MAX_MS, "key": stored.key
        }  # fmt: skip
        rows = self._client.rows(ROWS_OF_MANIFEST, parameters, bytes_columns=("activity",))
        return [_ListedLeaf(activity, seq, bytes.fromhex(leaf), start_ms) for activity, seq, leaf, start_ms in rows]

    def unlisted(self) -> None:
        """Find the rows that no manifest lists."""
        parameters = {
            "from": 0, "to": QUERY_TIME_MAX_MS, "key": "", "since": max(self._since, 0), "until": QUERY_TIME_MAX_MS,
            "most": _MOST_DOUBTFUL, "refused": self._refused[:_MOST_REFUSED],
        }  # fmt: skip
        self._doubtful(parameters)
        for writer, between, count, seqs, first_ms, last_ms in self._client.rows(UNLISTED, parameters):
            kind = FindingKind.ADDED if between else FindingKind.NOT_SEALED
            detail = "The writer's records around them are sealed, and these are in no manifest." if between else ""
            self.findings.append(
                Finding(
                    kind=kind,
                    records=count,
                    writer_id=writer,
                    seqs=in_words(seqs) + (", ..." if count > len(seqs) else ""),
                    first_start_ms=first_ms,
                    last_start_ms=last_ms,
                    detail=detail,
                )
            )

    def _doubtful(self, parameters: Mapping[str, object]) -> None:
        """Find the rows under a number that a manifest lists, for a record that started at another time."""
        rows = self._client.rows(DOUBTFUL, parameters)
        writers = {writer for writer, _, _ in rows}
        listing = defaultdict(list)
        for stored in self.manifests:
            if stored.manifest.writer_id in writers:
                listing[stored.manifest.writer_id].append(stored)
        for writer, seq, start_ms in rows:
            listed = [stored for stored in listing[writer] if lists(stored.manifest, seq)]
            within = any(each.manifest.first_start_ms <= start_ms <= each.manifest.last_start_ms for each in listed)
            if within or any(stored in self._differing for stored in listed):
                continue
            detail = "A record with this number was sealed, and it started at another time."
            finding = Finding(
                kind=FindingKind.ADDED, records=1, writer_id=writer, seqs=str(seq), first_start_ms=start_ms,
                last_start_ms=start_ms, detail=detail,
            )  # fmt: skip
            self.findings.append(finding)


def _is_whole(manifest: Manifest, gone: RemovedLeaves, leaves: dict[int, bytes], count: int) -> bool:
    """Whether the leaves that are there, and hashes in place of those that went, give the root."""
    try:
        root = root_with_subtrees(manifest.count, leaves, gone.nodes)
    except ProofError:
        return False
    return root == manifest.root and len(leaves) == count


def _activities_of(manifest: Manifest, indexes: Collection[int]) -> Iterator[str]:
    """Give the activities of leaves."""
    first = 0
    for activity, count in manifest.activities:
        if any(index in indexes for index in range(first, first + count)):
            yield activity
        first += count


def _was_due(manifest: Manifest, activity: str, removal: BatchRemoval) -> bool:
    """Whether a removal names the activity, and a moment after the first record of the batch."""
    return manifest.first_start_ms < removal.kept_from.get(activity, 0)


def lists(manifest: Manifest, seq: int) -> bool:
    """Whether a manifest lists a number."""
    return any(first <= seq <= last for first, last in manifest.seqs)


def _about(stored: StoredManifest, kind: FindingKind, detail: str, seqs: Sequence[int] | None = None) -> Finding:
    manifest = stored.manifest
    return Finding(
        kind=kind,
        records=manifest.count if seqs is None else len(seqs),
        writer_id=manifest.writer_id,
        seqs=in_words(_seqs(manifest.seqs) if seqs is None else seqs),
        sealer=stored.name,
        first_start_ms=manifest.first_start_ms,
        last_start_ms=manifest.last_start_ms,
        detail=detail,
    )


def _seqs(ranges: Sequence[SeqRange]) -> Iterator[int]:
    for first, last in ranges:
        yield from range(first, last + 1)


def in_words(seqs: Collection[int] | Iterator[int]) -> str:
    """Return numbers as ranges in words; many are cut off."""
    ranges = list(itertools.islice(ranges_of(sorted(seqs)), _NAMED + 1))
    words = [str(first) if first == last else f"{first}-{last}" for first, last in ranges[:_NAMED]]
    return ", ".join([*words, "..."] if len(ranges) > _NAMED else words)


def _one_choice_is_sealed(by_seq: dict[int, list[_ListedLeaf]], root: bytes) -> bool:
    """Whether of several rows under one number one gives the root, with the others as they are."""
    variants = [rows for _, rows in sorted(by_seq.items())]
    if math.prod(map(len, variants)) > _MOST_CHOICES:
        return False
    return any(root_of([row.leaf for row in sorted(rows)]) == root for rows in itertools.product(*variants))
