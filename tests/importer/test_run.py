from __future__ import annotations

import gzip
import logging
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ldv_otel._internal.delivery.batch import Batch
from ldv_otel._internal.delivery.sink import SinkTraits
from ldv_otel._internal.importer.run import ImportReport, import_files
from ldv_otel._internal.importer.spans import ImportProblem
from ldv_otel._internal.record.logregel import Logregel, encode_logregel
from ldv_otel._internal.record.overlooked import OverlookedAttribute
from ldv_otel.attributes import Flag
from ldv_otel.errors import BatchRefused, ConfigurationError, LogboekUnavailable
from ldv_otel.testing import InMemoryLogboek
from tests.importer.spelling import ACTIVITY, MAKER, GivenSpan, Spelling, written

DATA = Path(__file__).parent.parent / "data"
BSN = "123456782"


class Logboek(InMemoryLogboek):
    """A Logboek that can be asked what it has, and may refuse what is called `refused`."""

    def __init__(self, *, batch_records: int = 5_000) -> None:
        super().__init__(traits=SinkTraits(batch_records=batch_records))
        self.asked: list[int] = []
        self.sizes: list[int] = []
        self.open()

    def send(self, batch: Batch) -> None:
        """Store, or refuse the whole batch because of one record, quoting it as servers do."""
        for record in batch.logregels:
            if record.name == "refused":
                raise BatchRefused(f"Cannot parse {record.name!r} for {BSN}", code=27)
        super().send(batch)
        self.sizes.append(len(batch.seqs))

    def existing(self, trace_ids: Collection[bytes]) -> dict[tuple[bytes, bytes], list[Logregel]]:
        """All records of these traces, by trace and span id."""
        self.asked.append(len(trace_ids))
        stored: dict[tuple[bytes, bytes], list[Logregel]] = {}
        for record in self.logregels:
            if record.trace_id in trace_ids:
                stored.setdefault((record.trace_id, record.span_id), []).append(record)
        return stored


def run(logboek: Logboek, *paths: str | Path, **more: Any) -> ImportReport:
    """Import into this Logboek without waiting."""
    given: dict[str, Any] = {"maker": MAKER, "sink": logboek, "existing": logboek.existing}
    return import_files(paths, **(given | {"wait": lambda _: True} | more))


def actie(number: int, **more: Any) -> GivenSpan:
    """An Actie with a number for an id."""
    attributes = {
        "dpl.core.processing_activity_id": ACTIVITY,
        "dpl.core.data_subject_id": BSN,
        "dpl.core.data_subject_id_type": "BSN",
    }
    return GivenSpan(**({"span_id": number.to_bytes(8, "big"), "attributes": attributes} | more))


def file(tmp_path: Path, *spans: GivenSpan, name: str = "spans.json", **spelling: Any) -> Path:
    """A file with these spans."""
    path = tmp_path / name
    path.write_bytes(written(spans, Spelling(**spelling)))
    return path


def test_a_file_is_stored_and_a_second_import_stores_nothing(tmp_path: Path) -> None:
    """Importing again is how one makes sure; it may never double a record."""
    logboek = Logboek()
    technical = GivenSpan(span_id=bytes([9] * 8))
    path = file(tmp_path, actie(2, parent_id=bytes([9] * 8)), technical, actie(1))
    report = run(logboek, path)
    expected = {"stored": 2, "left_out": {"technical span, no processing activity": 1}, "files": 1, "problems": []}
    assert {name: getattr(report, name) for name in expected} == expected
    assert report.complete
    assert len(logboek.logregels) == 2
    again = run(logboek, path)
    assert (again.stored, again.already_there, len(logboek.logregels)) == (0, 2, 2)
    assert again.complete


def test_attributes_that_make_no_record_are_named(tmp_path: Path) -> None:
    """Nobody loses a Logregel to a misspelling without being told (LDV-N9); a repeated span counts once."""
    misspelled = GivenSpan(span_id=b"12345678", attributes={"dpl.core.processing_activity": BSN})
    paths = [file(tmp_path, actie(1), misspelled, name=name) for name in ("a.json", "b.json")]
    report = run(Logboek(), *paths)
    assert report.overlooked == (
        OverlookedAttribute("dpl.core.processing_activity", 1, "dpl.core.processing_activity_id"),
    )
    assert BSN not in str(report)
    assert report.complete


def test_what_is_not_kept_of_a_resource_is_named(tmp_path: Path) -> None:
    """Records keep what names the system (LDV-N8)."""
    logboek = Logboek()
    acties = [actie(number, resource={"service.name": "balie", "process.owner": "jan"}) for number in (1, 2)]
    report = run(logboek, file(tmp_path, *acties, actie(3)))
    assert report.resource_left_out == {"process.owner": 2}
    assert {record.resource for record in logboek.logregels} == {
        '{"ldv.left_out":"process.owner","service.name":"balie"}',
        '{"service.name":"parkeren"}',
    }


def test_the_caller_is_read_without_its_namespace(tmp_path: Path) -> None:
    """LDV-N9: a bare `foreign_operation.*` beside the marks of an Actie."""
    logboek = Logboek()
    run(
        logboek,
        file(tmp_path, actie(1, attributes={"dpl.objects.dataset": "x", "foreign_operation.span_id": "ab" * 8})),
    )
    (record,) = logboek.logregels
    assert record.foreign_operation_span_id == b"\xab" * 8


def test_the_same_spans_in_another_spelling_are_stored_once(tmp_path: Path) -> None:
    """What one tool exported and another exported too is still one record."""
    logboek = Logboek()
    one = file(tmp_path, actie(1), name="collector.json")
    other = file(tmp_path, actie(1), name="tempo.json", ids="base64", holder="batches", times="us")
    report = run(logboek, one, other)
    assert (report.stored, report.left_out) == (1, {"span that occurs more than once in the files": 1})
    assert run(logboek, other, one).already_there == 1
    assert len(logboek.logregels) == 1


def test_two_acties_with_the_same_ids_are_both_stored(tmp_path: Path) -> None:
    """Some tools use constant ids: no record is lost by that, nor doubled without a sign (LDV-N17)."""
    logboek = Logboek()
    path = file(tmp_path, actie(1), actie(1, start_ms=1_750_000_000_125), actie(1), actie(1, name="Iets anders"))
    report = run(logboek, path)
    assert (report.stored, report.left_out) == (3, {"span that occurs more than once in the files": 1})
    assert [problem.location for problem in report.problems] == [
        "trace 0102030405060708090a0b0c0d0e0f10, span 0000000000000001"
    ] * 2
    assert {problem.reason for problem in report.problems} == {
        "another record has the same ids; this one is stored beside it and flagged"
    }
    assert [Flag.IDENTITY_TAKEN in record.flags for record in logboek.logregels].count(True) == 2
    assert run(logboek, path).already_there == 3
    assert len(logboek.logregels) == 3


#: What makes a record another one, where its ids are the same.
OTHER_RECORDS: list[dict[str, Any]] = [
    {"name": "Iets anders"},
    {"start_ms": 1_750_000_000_125},
    {"end_ms": 1_750_000_002_000},
    {"status": "ERROR"},
    {"attributes": {"dpl.core.processing_activity_id": "https://register.example/anders"}},
    {"attributes": {"dpl.core.processing_activity_id": ACTIVITY, "dpl.objects.dataset": "kentekens"}},
    {
        "attributes": {
            "dpl.core.processing_activity_id": ACTIVITY,
            "dpl.core.data_subject_id": "999990019",
            "dpl.core.data_subject_id_type": "BSN",
        }
    },
]


@pytest.mark.parametrize("other", OTHER_RECORDS, ids=str)
@pytest.mark.parametrize("together", [True, False])
def test_another_record_under_taken_ids_is_never_dropped(
    tmp_path: Path, other: dict[str, Any], *, together: bool
) -> None:
    """Whether it comes with the first or in a later import; and a third time it is nothing new."""
    logboek = Logboek()
    first, second = actie(1), actie(1, **other)
    if together:
        report = run(logboek, file(tmp_path, first, second))
    else:
        assert run(logboek, file(tmp_path, first)).complete
        report = run(logboek, file(tmp_path, second, name="later.json"))
    assert not report.complete
    assert len(logboek.logregels) == 2
    assert [Flag.IDENTITY_TAKEN in record.flags for record in logboek.logregels] == [False, True]
    again = run(logboek, file(tmp_path, first, second, name="again.json"))
    assert (again.stored, again.already_there, again.problems) == (0, 2, [])


def test_a_half_stored_file_is_completed(tmp_path: Path) -> None:
    """After an interruption the same command stores what is missing, the children of one Actie included (LDV-A4)."""
    logboek = Logboek()
    several = actie(2, attributes={"dpl.core.data_subject_id": ["1", "2", "3"], "dpl.core.data_subject_id_type": "BSN"})
    run(logboek, file(tmp_path, actie(1)))
    report = run(logboek, file(tmp_path, actie(1), several))
    assert (report.stored, report.already_there) == (3, 1)
    assert len({record.span_id for record in logboek.logregels}) == 4


def test_parents_may_be_in_another_file(tmp_path: Path) -> None:
    """All files of one import are one set of spans; of a later import, the Logboek knows the parents."""
    child = file(tmp_path, actie(2, parent_id=(1).to_bytes(8, "big")), name="child.json")
    parent = file(tmp_path, actie(1), name="parent.json")
    together, apart = Logboek(), Logboek()
    run(together, child, parent)
    run(apart, parent)
    run(apart, child)
    for logboek in (together, apart):
        record = next(record for record in logboek.logregels if record.span_id[-1] == 2)
        assert record.parent_span_id[-1] == 1
        assert record.foreign_operation_span_id == b""


def test_the_file_of_geonovum() -> None:
    """The real thing, end to end."""
    logboek = Logboek()
    report = run(logboek, DATA / "otlp-geonovum-kapvergunning.json")
    assert (report.stored, report.flags) == (1, {"activity_not_uri": 1})
    assert run(logboek, DATA / "otlp-geonovum-kapvergunning.json").already_there == 1


def test_raw_subjects_are_in_no_record_and_no_report(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A raw identifier reaches neither the Logboek, nor the terminal, nor a log."""
    caplog.set_level(logging.DEBUG)
    logboek = Logboek()
    numeric = actie(2, attributes={"dpl.core.data_subject_id": int(BSN), "dpl.core.data_subject_id_type": "BSN"})
    good = file(tmp_path, actie(1), numeric, actie(3, name="refused"))
    broken = tmp_path / "broken.json"
    content = written([actie(4)])
    broken.write_bytes(
        content[: content.index(BSN.encode()) + 9]
        + b"\n"
        + b'{"spans": ["%b"], "%b": 1}\n' % (BSN.encode(), BSN.encode())
    )
    report = run(logboek, good, broken)
    assert report.stored == 2
    assert len(report.problems) == 3
    assert {record.data_subject_id for record in logboek.logregels} == {MAKER.pseudonymise(BSN, "BSN").pseudonym}
    assert BSN.encode() not in b"".join(map(encode_logregel, logboek.logregels))
    assert BSN not in repr(report) + caplog.text
    assert BSN.encode() not in msgspec.json.encode(report)


def test_problems_name_file_place_and_reason_and_the_rest_is_stored(tmp_path: Path) -> None:
    """One cut line, one missing file and one directory do not keep the others out."""
    logboek = Logboek()
    cut = tmp_path / "cut.json"
    cut.write_bytes(written([actie(1)]) + b"\n" + written([actie(2)])[:-9])
    report = run(logboek, cut, tmp_path / "missing.json", tmp_path, file(tmp_path, actie(3)))
    assert report.stored == 2
    assert report.problems == [
        ImportProblem(str(cut), "line 2", "cut off: the file ends inside this value"),
        ImportProblem(str(tmp_path / "missing.json"), "", "cannot be opened: No such file or directory"),
        ImportProblem(str(tmp_path), "", "cannot be opened: Is a directory"),
    ]
    assert not report.complete
    assert report.files == 4


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (written([GivenSpan()]), "no records in it: none of its 1 spans names a processing activity or a data subject"),
        (b'{"resourceSpans": []}', "no spans in it"),
        (b'{"resourceMetrics": []}', "no spans in it"),
        (b"\x00\x01\x02", "not a JSON object"),
        (b"\x1f\x8b\x00", "the gzip stream is cut off"),
    ],
)
def test_a_file_with_content_and_no_records_is_a_problem(tmp_path: Path, content: bytes, reason: str) -> None:
    """Somebody meant to import something."""
    path = tmp_path / "f"
    path.write_bytes(content)
    report = run(Logboek(), path)
    assert [problem.reason for problem in report.problems] == [reason]
    assert (report.stored, report.empty_files) == (0, [])


def test_empty_files_are_named_and_no_problem(tmp_path: Path) -> None:
    """A service that did nothing."""
    empty, packed = tmp_path / "empty.json", tmp_path / "empty.json.gz"
    empty.touch()
    packed.write_bytes(gzip.compress(b"\n"))
    report = run(Logboek(), empty, packed)
    assert report.complete
    assert report.empty_files == [str(empty), str(packed)]


def test_a_file_name_that_is_no_text(tmp_path: Path) -> None:
    """File systems allow any bytes, and the report is printed as JSON all the same."""
    path = tmp_path / os.fsdecode(b"caf\xe9.json")
    report = run(Logboek(), path)
    assert report.problems[0].file.endswith("caf\\xe9.json")
    assert msgspec.json.encode(report)


def test_packed_files_are_read(tmp_path: Path) -> None:
    """By their content, whatever they are called."""
    path = tmp_path / "spans"
    path.write_bytes(gzip.compress(written([actie(1)])))
    assert run(Logboek(), path).stored == 1


def test_batches_of_five_thousand_in_time_order(tmp_path: Path) -> None:
    """ClickHouse is happiest with thousands, and the table is in time order."""
    logboek = Logboek()
    spans = [
        actie(
            number + 1,
            start_ms=1_750_000_000_000 - number,
            end_ms=1_750_000_000_000,
            trace_id=number.to_bytes(16, "little"),
        )
        for number in range(1, 10_002)
    ]
    seen: list[int] = []
    report = run(logboek, file(tmp_path, *spans), progress=seen.append)
    assert report.stored == 10_001
    assert logboek.sizes == seen == [5_000, 5_000, 1]
    times = [record.start_time_ms for record in logboek.logregels]
    assert times == sorted(times)
    assert max(logboek.asked) <= 500
    assert sum(logboek.asked) == 10_001


def test_one_refused_record_does_not_keep_its_neighbours_out(tmp_path: Path) -> None:
    """The batch is halved until the record at fault is alone; its number stays unused, so that the gap shows."""
    logboek = Logboek()
    spans = [actie(number, name="refused" if number in (3, 40) else "x") for number in range(1, 100)]
    report = run(logboek, file(tmp_path, *spans))
    assert report.stored == 97
    assert [problem.location[-16:] for problem in report.problems] == [f"{3:016x}", f"{40:016x}"]
    assert {problem.reason for problem in report.problems} == {
        "the Logboek refuses this record as it is (error code 27)"
    }
    batches = list(logboek._batches.values())
    assert sorted(seq for batch in batches for seq in batch.seqs) == [n for n in range(99) if n not in (2, 39)]
    assert len({batch.writer_id for batch in batches}) == 1


def test_a_doubtful_answer_does_not_double(tmp_path: Path) -> None:
    """The import sends by the same protocol as delivery: read back, send what is missing."""
    logboek = Logboek()
    logboek.failures = [LogboekUnavailable("no answer")]
    report = run(logboek, file(tmp_path, actie(1), actie(2)), wait=lambda _: False)
    assert (report.stored, len(logboek.logregels)) == (2, 2)


def test_a_logboek_that_stays_away_ends_the_import(tmp_path: Path) -> None:
    """It says how many records are not confirmed, and that the same command may be given again."""
    logboek = Logboek()
    logboek.failures = [LogboekUnavailable("no answer")] * 9
    report = run(logboek, file(tmp_path, actie(1), actie(2)))
    assert (report.stored, report.unconfirmed) == (0, 2)
    (problem,) = report.problems
    assert problem.reason == (
        "2 records were not confirmed. The Logboek did not answer in time. "
        "Import the same files again later: what is stored by then is skipped."
    )


def test_a_logboek_that_changes_under_way_ends_the_import(tmp_path: Path) -> None:
    """What was stored before is reported all the same."""

    class Closing(Logboek):
        def send(self, batch: Batch) -> None:
            if self.sizes:
                raise ConfigurationError("The account may no longer write.")
            super().send(batch)

    logboek = Closing(batch_records=2)
    report = run(logboek, file(tmp_path, *(actie(number) for number in range(1, 6))))
    assert (report.stored, report.unconfirmed) == (2, 3)
    assert "The account may no longer write." in report.problems[0].reason


def test_nothing_is_stored_when_the_logboek_cannot_be_asked(tmp_path: Path) -> None:
    """Storing without knowing what is there would double records."""
    logboek = Logboek()

    def existing(trace_ids: Collection[bytes]) -> set[tuple[bytes, bytes]]:
        raise LogboekUnavailable(f"no answer about {len(trace_ids)} traces")

    with pytest.raises(LogboekUnavailable):
        run(logboek, file(tmp_path, actie(1)), existing=existing)
    assert logboek.logregels == []
