"""Rules that took no span, and why: the nearest span, without anybody's number, in bounded memory."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldv_otel._internal.config.yaml_file import parse_yaml
from ldv_otel._internal.rules.misses import likeness
from ldv_otel._internal.rules.rule_file import RuleFile
from ldv_otel._internal.rules.rules import Rules
from ldv_otel._internal.rules.unmatched import UnmatchedRules

BSN = "123456782"
TEXT = """
rules:
  - rule: inwoner
    match: {kind: server, attributes: {http.route: "/inwoners/{bsn}", http.request.method: GET}}
    activity: https://register.example/a
    subject: {path: bsn, type: BSN}
  - rule: RDW
    match: {kind: client, scope: "*.requests", attributes: {server.address: rdw.example}}
    activity: https://register.example/b
"""
ROUTED = {"http.route": "/inwoners/{bsn}", "http.method": "GET", "http.target": f"/inwoners/{BSN}"}


def watched(*spans: tuple[str, str, str, dict[str, Any]]) -> UnmatchedRules:
    """Rules that saw these spans: name, kind, scope and attributes."""
    rules = Rules(parse_yaml(TEXT, "rules.yaml", RuleFile).rules)
    unmatched = UnmatchedRules(rules)
    for name, kind, scope, attributes in spans:
        unmatched.note(rules.find(name, kind, scope, attributes), name, kind, scope, attributes)
    return unmatched


@pytest.mark.parametrize(
    ("span", "number", "says"),
    [
        (("a", "internal", "app", {}), 1, "is of kind `internal`; the rule wants `server`."),
        (
            ("a", "server", "app", {"http.method": "GET", "url.path": "/x"}),
            1,
            "has no `http.route`; it has http.method, url.path",
        ),
        (
            ("a", "server", "app", {"http.route": "/burgers/{bsn}"}),
            1,
            "has `http.route` '/burgers/{bsn}', and the rule",
        ),
        (("a", "server", "app", {"http.route": f"/inwoners/{BSN}"}), 1, "has another `http.route` than the rule wants"),
        (
            ("a", "server", "app", {**ROUTED, "http.method": "POST"}),
            1,
            "has `http.request.method` 'POST', and the rule",
        ),
        (("a", "client", "x.httpx", {}), 2, "is of the instrumentation `x.httpx`; the rule wants another."),
        (
            ("a", "client", "x.requests", {"server.address": "x.example"}),
            2,
            "has another `server.address` than the rule wants.",
        ),
    ],
)
def test_the_first_condition_that_failed_is_named(
    span: tuple[str, str, str, dict[str, Any]], number: int, says: str
) -> None:
    """With what the span has instead, as far as that is nobody's."""
    report = next(each for each in watched(span).report() if each.number == number)
    assert says in report.reason
    assert BSN not in report.sentence()


def test_the_nearest_of_several_spans_is_named_and_a_rule_that_matched_is_not() -> None:
    """The one with the most conditions that hold, in whatever order they come."""
    nothing: dict[str, Any] = {}
    far, near = ("a", "server", "app", nothing), ("a", "server", "app", {"http.route": "/inwoners/{bsn}"})
    for spans in ((far, near), (near, far)):
        assert "has no `http.request.method`" in watched(*spans).report()[0].reason
    assert [each.rule for each in watched(far, ("a", "server", "app", ROUTED)).report()] == ["RDW"]


def test_a_rule_behind_another_is_named_with_it() -> None:
    """What a rule above takes, no rule below sees: nothing else would tell."""
    rules = Rules(parse_yaml(TEXT + TEXT.replace("rules:\n", ""), "rules.yaml", RuleFile).rules)
    unmatched = UnmatchedRules(rules)
    unmatched.note(rules.find("a", "server", "s", ROUTED), "a", "server", "s", ROUTED)
    assert (
        "is taken by rule 1, which comes first" in next(each for each in unmatched.report() if each.number == 3).reason
    )


def test_without_a_span_it_says_so() -> None:
    """A service that had no request yet has nothing wrong with its rules."""
    assert (
        watched().report()[0].sentence()
        == "Rule 1 (inwoner) took no span so far. No span ended that no other rule took."
    )


@given(st.lists(st.dictionaries(st.sampled_from(["http.route", "url.path", BSN, "server.address"]), st.just(BSN))))
def test_nobody_is_named_whatever_a_span_has(spans: list[dict[str, Any]]) -> None:
    """Not in names of attributes, and not in their values."""
    unmatched = watched(
        *((BSN, kind, "x.requests", attributes) for attributes in spans for kind in ("server", "client"))
    )
    assert BSN not in "".join(each.sentence() for each in unmatched.report())


def test_what_is_remembered_is_bounded() -> None:
    """Callers may choose names of attributes (headers, paths) for ever."""
    unmatched = watched(*(("a", "server", "app", {f"http.x{number}": "1"}) for number in range(2_000)))
    assert len(unmatched._shapes) == 512
    assert len(unmatched._nearest) == 2
    assert len(unmatched.report()[0].sentence()) < 600


def test_an_odd_attribute_stops_nothing() -> None:
    """A mapping has no hash."""
    assert watched(("a", "server", "app", {"http.route": {"a": 1}})).report()


def test_the_nearest_span_is_the_one_most_alike() -> None:
    """A probe, or a page for operators, comes before the request that was meant, and fulfils as many conditions."""
    spans = [
        ("GET", "server", "app", {"http.method": "GET", "url.path": "/onbekend"}),
        ("GET", "server", "app", {"http.method": "GET", "http.route": "/intern/logboek"}),
        ("GET", "server", "app", {"http.method": "GET", "http.route": "/inwoner/{bsn}"}),
        ("GET", "server", "app", {"http.method": "GET", "http.route": "/zaken"}),
    ]
    for order in permutations(spans):
        assert "has `http.route` '/inwoner/{bsn}', and the rule" in watched(*order).report()[0].reason


@given(st.text(), st.text())
def test_likeness_is_a_part_of_the_whole(text: str, wanted: str) -> None:
    """From 0 to 1, which equality alone reaches."""
    like = likeness(text, wanted)
    assert 0.0 <= like <= 1.0
    assert (like == 1.0) == (text == wanted != "")
    assert like == likeness(wanted, text)
