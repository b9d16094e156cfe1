"""LDV-N18: an Actie that is on record before its effect, and its outcome later."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import ldv_otel as ldv
from ldv_otel import Logregel, Status
from ldv_otel import attributes as names
from ldv_otel._internal.record.outcomes import with_outcomes
from ldv_otel._internal.record.read_form import nested_attributes
from ldv_otel.errors import ConfigurationError
from ldv_otel.testing import InMemoryLogboek
from tests.sdk.conftest import ACTIVITY

BSN, OTHER = "123456782", "999990019"


@pytest.mark.parametrize(
    ("result", "status"),
    [(Status.OK, "Ok"), (Status.UNSET, "Unset"), (Status.ERROR, "Error"), (ValueError(BSN), "Error")],
)
def test_the_outcome_is_a_record_below_the_actie(
    logboek: InMemoryLogboek, backend: InMemorySpanExporter, result: Status | Exception, status: str
) -> None:
    """About the same people, with the status of what came of it; the first record stays as it was."""
    with ldv.processing(ACTIVITY, name="Stuur brief", delivery="durable") as actie:
        actie.data_subject(BSN, type="BSN")
    (before,) = logboek.logregels
    assert before.status is Status.UNSET
    actie.outcome(result)
    first, outcome = logboek.logregels
    assert first == before
    assert (outcome.trace_id, outcome.parent_span_id) == (first.trace_id, first.span_id)
    assert (outcome.name, outcome.processing_activity_id) == ("Stuur brief", ACTIVITY)
    assert outcome.data_subject_id == first.data_subject_id != b""
    assert outcome.status.label == status
    assert outcome.attributes[names.OUTCOME_OF] == actie.span_id
    assert BSN not in str(outcome)
    assert (names.EXCEPTION_TYPE in outcome.attributes) == isinstance(result, Exception)
    assert nested_attributes(outcome)["dpl"]["ldvotel"]["outcomeOf"] == actie.span_id
    assert BSN not in "".join(span.to_json() for span in backend.get_finished_spans())


def test_readers_show_one_step(logboek: InMemoryLogboek) -> None:
    """With the outcome as its status, for every person that it is about."""
    with ldv.processing(ACTIVITY, name="Stuur brief") as actie:
        actie.data_subject(BSN, type="BSN")
        actie.data_subject(OTHER, type="BSN")
        with ldv.processing(ACTIVITY, name="Zoek adres"):
            pass
    actie.outcome(ValueError("x"))
    actie.outcome()
    assert len(logboek.logregels) == 7
    shown = with_outcomes(logboek.logregels)
    assert sorted((record.name, record.status.label) for record in shown) == [
        ("Stuur brief", "Ok"),
        ("Stuur brief", "Ok"),
        ("Zoek adres", "Unset"),
    ]
    assert len({record.data_subject_id for record in shown if record.name == "Stuur brief"}) == 2
    # What somebody sees who sees only the records about one of them.
    for person in {record.data_subject_id for record in shown if record.data_subject_id}:
        own = [record for record in logboek.logregels if record.data_subject_id == person]
        assert [record.status for record in with_outcomes(own)] == [Status.OK]


def test_an_outcome_whose_actie_is_elsewhere_stays(logboek: InMemoryLogboek) -> None:
    """On another page, or past its term."""
    with ldv.processing(ACTIVITY) as actie:
        pass
    actie.outcome()
    outcome = logboek.logregels[-1]
    assert with_outcomes([outcome]) == [outcome]


def test_an_outcome_comes_after_the_block(logboek: InMemoryLogboek) -> None:
    """Inside it an exception or `ok` says how it goes."""
    with ldv.processing(ACTIVITY) as actie, pytest.raises(ConfigurationError, match="inside its processing"):
        actie.outcome()
    assert len(logboek.logregels) == 1


_ids = st.sampled_from([b"", b"a" * 8, b"b" * 8])
_records = st.lists(
    st.builds(
        lambda span, parent, of, subject, end: Logregel(
            trace_id=b"t" * 16,
            span_id=span,
            parent_span_id=parent,
            name="x",
            start_time_ms=0,
            end_time_ms=end,
            data_subject_id=subject,
            attributes={names.OUTCOME_OF: of} if of else {},
        ),
        st.sampled_from([b"a" * 8, b"b" * 8, b"c" * 8]),
        _ids,
        st.sampled_from(["", (b"a" * 8).hex(), (b"b" * 8).hex(), "zz"]),
        st.sampled_from([b"", b"p" * 16]),
        st.integers(0, 3),
    ),
    max_size=6,
)


@given(_records)
def test_no_record_that_is_no_outcome_is_left_out(records: list[Logregel]) -> None:
    """Attributes may be anybody's; each Actie is shown once, in the order that it had."""
    shown = with_outcomes(records)
    plain = [record for record in records if names.OUTCOME_OF not in record.attributes]
    kept = [record for record in shown if names.OUTCOME_OF not in record.attributes]
    assert len(kept) == len(plain)
    for one, other in zip(kept, plain, strict=True):
        assert msgspec.structs.replace(one, status=other.status, end_time_ms=other.end_time_ms) == other
