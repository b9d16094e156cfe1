from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ldv_otel._internal.chain.model import ChainLogregel, ChainQuery, Relation, linked
from ldv_otel._internal.record.logregel import Logregel

TRACES = [b"\x01" * 16, b"\x02" * 16]
SPANS = [bytes([number]) * 8 for number in range(1, 6)]
spans = st.sampled_from(SPANS)

records = st.builds(
    Logregel,
    trace_id=st.sampled_from(TRACES),
    span_id=spans,
    parent_span_id=st.one_of(st.just(b""), spans),
    name=st.just("x"),
    start_time_ms=st.integers(0, 5),
    end_time_ms=st.just(9),
    foreign_operation_trace_id=st.one_of(st.just(b""), st.sampled_from(TRACES)),
    foreign_operation_span_id=st.one_of(st.just(b""), spans),
    outbound_span_ids=st.lists(spans, max_size=2).map(tuple),
)


def record(
    span: int, *, trace: int = 0, parent: int | None = None, foreign: tuple[int, int] | None = None, **more: int
) -> Logregel:
    """A record with ids from the small pools."""
    return Logregel(
        trace_id=TRACES[trace],
        span_id=SPANS[span],
        parent_span_id=b"" if parent is None else SPANS[parent],
        name=f"{span}",
        start_time_ms=more.get("start", span),
        end_time_ms=100,
        foreign_operation_trace_id=TRACES[foreign[0]] if foreign else b"",
        foreign_operation_span_id=SPANS[foreign[1]] if foreign else b"",
        outbound_span_ids=(SPANS[more["outbound"]],) if "outbound" in more else (),
    )


def relations(found: list[ChainLogregel]) -> list[tuple[int | None, Relation | None]]:
    """What each hangs below."""
    return [(item.parent, item.relation) for item in found]


def test_a_parent_here_goes_before_one_elsewhere() -> None:
    """Any party can claim any id."""
    found = linked([(0, record(0)), (1, record(0, start=1)), (0, record(1, parent=0, start=2))], {})
    assert relations(found) == [(None, None), (None, None), (0, Relation.PARENT)]


def test_a_technical_span_leads_to_the_actie_it_went_out_from() -> None:
    """In the same trace, and in a restarted one."""
    caller = record(0, outbound=3)
    assert relations(linked([(0, caller), (1, record(1, parent=3))], {}))[1] == (0, Relation.CALLER)
    restarted = record(1, trace=1, foreign=(0, 3))
    assert relations(linked([(0, caller), (1, restarted)], {}))[1] == (0, Relation.CALLER)


def test_a_beginning_hangs_below_who_named_its_party() -> None:
    """When no ids say better."""
    caller = record(0)
    found = linked([(0, caller), (1, record(1, parent=4))], {ChainQuery(1, TRACES[0]): (0, caller)})
    assert relations(found)[1] == (0, Relation.ASKED)


def test_a_circle_is_cut_at_its_earliest_record() -> None:
    """And all of it is marked."""
    found = linked([(0, record(0, parent=1)), (1, record(1, parent=0)), (1, record(2, parent=1))], {})
    assert relations(found) == [(None, None), (0, Relation.CALLER), (1, Relation.PARENT)]
    assert [item.circle for item in found] == [True, True, False]


@given(
    st.lists(st.tuples(st.integers(0, 2), records), max_size=12),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 11)), max_size=3),
)
def test_every_record_is_in_one_tree(collected: list[tuple[int, Logregel]], asked: list[tuple[int, int, int]]) -> None:
    """Whatever ids untrusted callers send: all records stay, and going up from each comes to a beginning."""
    asked_by = {
        ChainQuery(party, TRACES[trace]): collected[index] for party, trace, index in asked if index < len(collected)
    }
    items = linked(collected, asked_by)
    assert sorted((item.party, item.logregel.span_id, item.logregel.trace_id) for item in items) == sorted(
        (party, record.span_id, record.trace_id) for party, record in collected
    )
    keys = [(item.party, item.logregel.trace_id, item.logregel.span_id) for item in items]
    assert [item.repeated for item in items] == [keys.count(key) > 1 for key in keys]
    for item in items:
        steps = 0
        while item.parent is not None:
            item = items[item.parent]  # noqa: PLW2901
            steps += 1
            assert steps <= len(items)
