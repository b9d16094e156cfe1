from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import TraceState

from ldv_otel._internal.parties.tracestate import (
    CLAIM,
    KEY,
    MAX_CHARACTERS,
    MAX_MEMBERS,
    CallingActie,
    format_member,
    parse_member,
    with_member,
)

ACTIE = CallingActie(bytes.fromhex("00f067aa0ba902b7"))
actien = st.builds(
    CallingActie, st.binary(min_size=8, max_size=8).filter(any), st.just("") | st.from_regex(CLAIM, fullmatch=True)
)
members = st.lists(
    st.tuples(
        st.from_regex(r"[a-z][a-z0-9_*/-]{0,20}", fullmatch=True),
        st.from_regex(r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,200}[\x21-\x2b\x2d-\x3c\x3e-\x7e]", fullmatch=True),
    ),
    unique_by=lambda member: member[0],
    max_size=40,
)


@given(actien)
def test_what_is_sent_is_what_is_read(actie: CallingActie) -> None:
    """And it is a member that others have to pass on: OpenTelemetry's own grammar takes it."""
    value = format_member(actie)
    assert parse_member(value) == actie
    assert TraceState([(KEY, value)]).to_header() == f"{KEY}={value}"


def test_parts_of_a_later_version_are_skipped() -> None:
    """Two organisations never upgrade on the same day."""
    assert parse_member("a:00f067aa0ba902b7;z:1;whatever") == ACTIE
    assert parse_member("a:00f067aa0ba902b7;c:gemeente;z:1") == CallingActie(ACTIE.span_id, "gemeente")


@given(st.text(max_size=600) | st.from_regex(r"a:[0-9A-Fa-f]{14,18}(;c:.{0,80})?"))
def test_anything_else_says_nothing(value: str) -> None:
    """Whatever a stranger sends: an Actie of 8 bytes that are not all zero and a plain claim, or nothing."""
    found = parse_member(value)
    if found is not None:
        assert len(found.span_id) == 8
        assert any(found.span_id)
        assert not found.claim or CLAIM.fullmatch(found.claim)
        assert value.startswith(f"a:{found.span_id.hex()}")


def test_all_zeros_is_no_actie() -> None:
    """W3C's invalid span id."""
    assert parse_member("a:0000000000000000") is None


def test_the_others_stay_as_they_were_in_order() -> None:
    """Ours goes in front, and an older one of ours goes."""
    others = [("congo", "t61rcWkgMzE"), (KEY, "a:ffffffffffffffff"), ("rojo", "00f067aa0ba902b7"), ("a@b", " x")]
    assert with_member(ACTIE, others) == [(KEY, format_member(ACTIE)), others[0], *others[2:]]


def test_the_right_most_goes_when_there_are_32_already() -> None:
    """The SDK's own `TraceState.add` would refuse ours and say nothing to the caller."""
    others = [(f"k{number}", "v") for number in range(MAX_MEMBERS)]
    assert with_member(ACTIE, others) == [(KEY, format_member(ACTIE)), *others[:-1]]


def test_large_members_go_first_when_it_gets_too_long() -> None:
    """W3C section 3.3.1.5: over 128 characters first, then from the end."""
    others = [("first", "x" * 90), ("large", "x" * 200), ("second", "x" * 90), ("third", "x" * 90)]
    assert [key for key, _ in with_member(ACTIE, others)] == [KEY, "first", "second", "third"]
    others = [(f"k{number}", "x" * 100) for number in range(6)]
    assert [key for key, _ in with_member(ACTIE, others)] == [KEY, "k0", "k1", "k2", "k3"]


@given(actien, members)
def test_the_limits_hold_for_any_members(actie: CallingActie, others: list[tuple[str, str]]) -> None:
    """Ours is in front, the header is within the limits, and what is left of the others is untouched and in order."""
    found = with_member(actie, others)
    header = ",".join(f"{key}={value}" for key, value in found)
    assert len(found) <= MAX_MEMBERS
    assert len(header) <= MAX_CHARACTERS
    assert found[0] == (KEY, format_member(actie))
    left = iter(others)
    assert all(member in left for member in found[1:])
    without = [member for member in others if member[0] != KEY]
    everything = [found[0], *without]
    if len(everything) <= MAX_MEMBERS and len(",".join(f"{k}={v}" for k, v in everything)) <= MAX_CHARACTERS:
        assert found == everything
