"""Hypothesis strategies for everything a Logregel can hold."""

from __future__ import annotations

from hypothesis import strategies as st

from ldv_otel._internal.record.logregel import Logregel, Status
from ldv_otel._internal.times.instants import TIME_MAX_MS

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30)
span_ids = st.binary(min_size=8, max_size=8).filter(any)
trace_ids = st.binary(min_size=16, max_size=16).filter(any)


def absent_or(strategy: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """An id that may be missing."""
    return st.one_of(st.just(b""), strategy)


@st.composite
def logregels(draw: st.DrawFn) -> Logregel:
    """Any record that normalisation can give."""
    start_time_ms = draw(st.integers(0, TIME_MAX_MS))
    return Logregel(
        trace_id=draw(trace_ids),
        span_id=draw(span_ids),
        parent_span_id=draw(absent_or(span_ids)),
        status=draw(st.sampled_from(Status)),
        name=draw(texts),
        start_time_ms=start_time_ms,
        end_time_ms=draw(st.integers(start_time_ms, TIME_MAX_MS)),
        processing_activity_id=draw(texts),
        parent_processing_activity_id=draw(texts),
        data_subject_id=draw(absent_or(trace_ids)),
        data_subject_id_type=draw(texts),
        key_id=draw(texts),
        data_subject_sealed=draw(texts),
        foreign_operation_trace_id=draw(absent_or(trace_ids)),
        foreign_operation_span_id=draw(absent_or(span_ids)),
        foreign_operation_processor=draw(texts),
        external_read_api_id=draw(texts),
        outbound_span_ids=tuple(draw(st.lists(span_ids, max_size=3))),
        attributes=draw(st.dictionaries(texts, texts, max_size=4)),
        resource=draw(st.sampled_from(["{}", '{"service.name":"gemeente"}'])),
    )


#: Whatever a program may put into a span attribute, and worse.
anything = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.binary(max_size=20),
        st.text(max_size=20),
        st.text(st.characters(categories=["Cs"]), max_size=3),
        st.just("\x00"),
        st.builds(object),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(st.one_of(st.text(max_size=5), st.integers(), st.none()), inner, max_size=4),
    ),
    max_leaves=12,
)
