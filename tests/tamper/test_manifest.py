"""A manifest commits to its records, and to nothing else."""

from __future__ import annotations

import hashlib
import itertools

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.tamper.manifest import (
    SALT_BYTES,
    SEALER_NAME,
    UNNUMBERED,
    Manifest,
    SealedBatch,
    Sealer,
    SeqRange,
    UnsealedRow,
    leaf_of,
    nonce_of,
    number_of,
    open_manifest,
    ranges_of,
)
from ldv_otel._internal.tamper.note import NoteError, NoteSigner
from ldv_otel._internal.tamper.record_bytes import record_bytes
from ldv_otel._internal.tamper.tree import root_of
from tests.strategies import logregels
from tests.support.chance import examples

WRITER = "0123456789abcdef"
SIGNER = NoteSigner(SEALER_NAME, bytes(range(32)))

batches = st.lists(logregels(), min_size=1, max_size=12).flatmap(
    lambda records: st.tuples(
        st.just(records),
        st.sets(st.integers(0, 40), min_size=len(records), max_size=len(records)).map(lambda seqs: tuple(sorted(seqs))),
    )
)


def root_by_its_parts(sealed: SealedBatch, seqs: tuple[int, ...], records: list[Logregel]) -> bytes:
    """The root as docs/tamper-format.md has it, from a manifest, its salts and the records."""
    salts = {
        activity: sealed.salts[index * SALT_BYTES : (index + 1) * SALT_BYTES]
        for index, (activity, _) in enumerate(sealed.manifest.activities)
    }
    rows = sorted(
        (record.processing_activity_id.encode(), seq, record) for seq, record in zip(seqs, records, strict=True)
    )
    return root_of(
        [
            leaf_of(nonce_of(salts[record.processing_activity_id], seq), record_bytes(record, WRITER, seq))
            for _, seq, record in rows
        ]
    )


@settings(max_examples=examples(200))
@given(batches)
def test_a_manifest_lists_its_records_and_commits_to_them(batch: tuple[list[Logregel], tuple[int, ...]]) -> None:
    """It is read as it was written, whatever activities are called; and its root is that of its records."""
    records, seqs = batch
    sealed = Sealer(SIGNER).seal(WRITER, seqs, records, 1_764_000_000_000)
    manifest = open_manifest(sealed.note)
    assert manifest == sealed.manifest
    assert manifest.writer_id == WRITER
    assert [seq for first, last in manifest.seqs for seq in range(first, last + 1)] == list(seqs)
    assert manifest.first_start_ms == min(record.start_time_ms for record in records)
    assert manifest.last_start_ms == max(record.start_time_ms for record in records)
    assert sum(count for _, count in manifest.activities) == len(records)
    assert manifest.root == root_by_its_parts(sealed, seqs, records)
    changed = msgspec.structs.replace(records[0], name=records[0].name + "x")
    assert manifest.root != root_by_its_parts(sealed, seqs, [changed, *records[1:]])


def test_equal_records_have_leaves_that_differ() -> None:
    """A leaf that could be guessed from a record would itself be personal data."""
    record = Logregel(trace_id=b"t" * 16, span_id=b"s" * 8, name="n", start_time_ms=1, end_time_ms=2)
    sealer = Sealer(SIGNER)
    roots = {sealer.seal(WRITER, (0,), (record,), 5).manifest.root for _ in range(3)}
    assert len(roots) == 3


def test_numbers_follow_and_name_the_last_that_is_stored() -> None:
    """So a number that is not there is either one that the next manifest does not name, or was removed."""
    record = Logregel(trace_id=b"t" * 16, span_id=b"s" * 8, name="n", start_time_ms=1, end_time_ms=2)
    sealer = Sealer(SIGNER)
    first, refused = (sealer.seal(WRITER, (seq,), (record,), 5).manifest for seq in range(2))
    assert (first.number, first.previous, refused.number, refused.previous) == (0, None, 1, None)
    sealer.confirm(first)
    third = sealer.seal(WRITER, (2,), (record,), 5).manifest
    assert (third.number, third.previous) == (2, 0)


@settings(max_examples=examples(200))
@given(st.data())
def test_a_changed_manifest_is_refused(data: st.DataObject) -> None:
    """Whichever character of it is another, but for those of a name in its signature line, which make it nobody's."""
    record = Logregel(trace_id=b"t" * 16, span_id=b"s" * 8, name="n", start_time_ms=1, end_time_ms=2)
    note = Sealer(SIGNER).seal(WRITER, (0, 1, 7), (record,) * 3, 5).note
    at = data.draw(st.integers(0, len(note) - 1))
    other = data.draw(st.characters(exclude_categories=["Cs"]).filter(lambda character: character != note[at]))
    with pytest.raises(NoteError):
        open_manifest(note[:at] + other + note[at + 1 :])


def test_what_is_no_manifest_is_refused() -> None:
    """A note of something else, of another version, and one in another spelling, whoever signed it."""
    record = Logregel(trace_id=b"t" * 16, span_id=b"s" * 8, name="n", start_time_ms=1, end_time_ms=2)
    text = Sealer(SIGNER).seal(WRITER, (0, 1, 7), (record,) * 3, 5).manifest.text
    assert Manifest.parse(text).text == text
    for other in (
        "something else\n",
        text.replace("ldv-manifest/1", "ldv-manifest/2"),
        text.replace("seqs 0-1", "seqs 00-1"),
        text.replace("seqs 0-1", "seqs 0-2"),
        text.replace("activity 3", "activity 03"),
        text.replace("time 5", "time 5 6"),
        text.replace("writer ", "writer %30"),
        text.replace("root", "rood"),
        text.replace("activity", "aktiviteit"),
        text + "more\n",
    ):
        with pytest.raises(NoteError):
            open_manifest(str(SIGNER.sign(other)))


@given(st.sets(st.integers(0, 50)))
def test_ranges_are_those_of_the_numbers(seqs: set[int]) -> None:
    """As few as possible."""
    ranges = list(ranges_of(sorted(seqs)))
    assert [seq for first, last in ranges for seq in range(first, last + 1)] == sorted(seqs)
    assert all(one.last + 1 < following.first for one, following in itertools.pairwise(ranges))
    assert sum(each.size for each in ranges) == len(seqs)
    assert list(ranges_of([])) == []
    assert list(ranges_of([4])) == [SeqRange(4, 4)]


def test_an_adopted_batch_says_so() -> None:
    """In a last line, which is signed with the rest; and a manifest that says something else there is none."""
    row = UnsealedRow("https://register.example/a", 3, b"content", 1_764_000_000_000)
    sealed = Sealer(SIGNER).seal_rows(WRITER, [row], 1_764_000_009_000, adopted=True)
    manifest = open_manifest(sealed.note)
    assert manifest == sealed.manifest
    assert manifest.adopted
    assert manifest.text.endswith("\nadopted\n")
    assert not Manifest.parse(manifest.text.removesuffix("adopted\n")).adopted
    for wrong in ("adopted\nadopted\n", "Adopted\n", "\n"):
        with pytest.raises(NoteError):
            Manifest.parse(manifest.text.removesuffix("adopted\n") + wrong)


def test_what_has_no_number_gets_one_of_its_ids() -> None:
    """The first 8 bytes of their hash without the highest bit; every other writer's number is its own."""
    digest = hashlib.sha256(b"t" * 16 + b"s" * 8).digest()
    assert number_of(UNNUMBERED, 5, b"t" * 16, b"s" * 8) == int.from_bytes(digest[:8], "little") >> 1
    assert number_of(WRITER, 5, b"t" * 16, b"s" * 8) == 5
