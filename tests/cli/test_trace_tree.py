from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from rich.tree import Tree

from ldv_otel import Logregel
from ldv_otel._internal.cli.rendering import trace_tree

_spans = st.integers(1, 6).map(lambda number: number.to_bytes(8, "big"))
_traces = st.integers(1, 2).map(lambda number: number.to_bytes(16, "big"))
_records = st.lists(
    st.builds(
        lambda ids, parent, foreign, outbound: Logregel(
            trace_id=ids[0],
            span_id=ids[1],
            parent_span_id=parent,
            foreign_operation_trace_id=foreign[0],
            foreign_operation_span_id=foreign[1],
            outbound_span_ids=tuple(outbound),
            name="x",
            start_time_ms=0,
            end_time_ms=0,
        ),
        st.tuples(_traces, _spans),
        st.just(b"") | _spans,
        st.just((b"", b"")) | st.tuples(_traces, _spans),
        st.lists(_spans, max_size=2),
    ),
    max_size=12,
)


def nodes(tree: Tree) -> int:
    """Count what hangs in a tree."""
    return sum(1 + nodes(child) for child in tree.children)


@given(_records)
def test_every_record_is_shown_once_whatever_its_ids_say(records: list[Logregel]) -> None:
    """Ids come from callers: they may be missing, come twice (which is said), or lead round in a circle."""
    tree = trace_tree(records, title="T")
    assert nodes(tree) == len(records)
    counts = Counter((record.trace_id, record.span_id) for record in records)
    assert marked(tree) == sum(count for count in counts.values() if count > 1)


def marked(tree: Tree) -> int:
    """Count the records that are said to have the ids of another."""
    return sum(("dezelfde ids" in str(child.label)) + marked(child) for child in tree.children)


def test_a_long_chain_is_shown() -> None:
    """A loop that calls itself through a queue makes thousands of generations."""
    ids = [number.to_bytes(8, "big") for number in range(1, 3_001)]
    records = [
        Logregel(trace_id=b"t" * 16, span_id=own, parent_span_id=parent, name="x", start_time_ms=0, end_time_ms=0)
        for own, parent in zip(ids, [b"", *ids], strict=False)
    ]
    tree = trace_tree(records, title="T")
    depth = 0
    while tree.children:
        (tree,) = tree.children
        depth += 1
    assert depth == len(records)
