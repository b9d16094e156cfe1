"""Mapping rules: what a file may say, which span a rule takes, and where a subject is found."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldv_otel._internal.config.yaml_file import parse_yaml
from ldv_otel._internal.rules.http_fields import captured_headers, path_parameters, query_parameters
from ldv_otel._internal.rules.patterns import Pattern, Regex, compiled
from ldv_otel._internal.rules.rule_file import RuleFile
from ldv_otel._internal.rules.rules import Rules
from ldv_otel.errors import ConfigurationError

ACTIVITY = "https://register.example/a"


def rules(text: str) -> Rules:
    """Read rules as from a file."""
    return Rules(parse_yaml(text, "rules.yaml", RuleFile).rules)


def rules_with(*matches: str) -> Rules:
    """Rules that take spans by these, each with a label of its own: its number."""
    return rules(
        "rules:\n" + "".join(f"- {{rule: '{n}', match: {m}, activity: '{ACTIVITY}'}}\n" for n, m in enumerate(matches))
    )


def taken(
    found: Rules, name: str = "x", kind: str = "internal", scope: str | None = "s", **attributes: Any
) -> str | None:
    """The label of the rule that takes a span; `__` in an attribute's name stands for a dot."""
    rule = found.find(name, kind, scope, {key.replace("__", "."): value for key, value in attributes.items()})
    return rule.rule if rule is not None else None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules:\n- match: {kind: srever}\n  activity: https://x.example\n", r"rules.yaml:2: .*rules\[0\].match.kind"),
        ("rules:\n- match: {name: a}\n  activty: https://x.example\n", r"rules.yaml:3: .*activty"),
        ("rules:\n- match: {}\n  activity: https://x.example\n", r"rules.yaml:2: .*every span"),
        ("rules:\n- match: {name: a}\n", r"rules.yaml:2: .*neither an `activity` nor a `subject`"),
        ("rules:\n- match: {name: no}\n  activity: https://x.example\n", r"rules.yaml:2: .*match.name"),
        ("rules:\n- match: {name: []}\n  activity: https://x.example\n", r"rules.yaml:2: .*empty list"),
        ("rules:\n- match: {name: a}\n  activity: geen uri\n", r"rules.yaml:2: .*`activity` is no URI"),
        ("rules:\n- match: {name: a}\n  activity: https://x.example\n  read_api: x\n", r"rules.yaml:2: .*`read_api`"),
        ("rules:\n- match: {name: a}\n  subject: {type: BSN}\n", r"rules.yaml:3: .*one of `attribute`"),
        ("rules:\n- match: {name: a}\n  subject: {type: BSN, query: a, path: b}\n", r"rules.yaml:3: .*one of"),
        ("rules:\n- match: {name: a}\n  subject: {type: '', query: a}\n", r"rules.yaml:3: .*`type`"),
        ("rules:\n- match: {name: a}\n  subject: {type: BSN, path: /a/b}\n", r"rules.yaml:3: .*exactly one parameter"),
        ("rules:\n- match: {name: a}\n  subject: {type: BSN, path: '/{a}/{b}'}\n", r"rules.yaml:3: .*exactly one"),
        (
            "rules:\n- match: {name: a}\n  subject: {type: BSN, attribute: dpl.core.x}\n",
            r"rules.yaml:3: .*without a rule",
        ),
        ("rules:\n- match: {name: {regex: '(a'}}\n  activity: https://x.example\n", r"rules.yaml:2: .*RE2"),
        ("rules:\n- match: {name: {regex: '(a)\\1'}}\n  activity: https://x.example\n", r"rules.yaml:2: .*RE2"),
        ("rules:\n- match: {name: {glob: a}}\n  activity: https://x.example\n", r"rules.yaml:2: .*glob"),
        ("rules:\n- match: {name: a}\n  rule: a\n  rule: b\n", r"rules.yaml:4: .*twice"),
        ("rules: [", r"rules.yaml:1: "),
        ("regels: []", r"rules.yaml:1: .*regels"),
        ("", r"rules.yaml:1: .*rules"),
    ],
)
def test_a_mistake_in_the_file_is_told_with_its_place(text: str, said: str) -> None:
    """File, line and path; and what to write instead."""
    with pytest.raises(ConfigurationError, match=said):
        rules(text)


def test_the_first_rule_wins() -> None:
    """In the order of the file, however they are looked up."""
    found = rules_with(
        "{kind: server, attributes: {http.route: /a, x: '1'}}",
        "{kind: server, attributes: {http.route: '/*'}}",
        "{kind: server, attributes: {http.route: /a}}",
        "{kind: [server, client], name: 'GET *'}",
        "{kind: server}",
    )
    assert taken(found, kind="server", http__route="/a", x="1") == "0"
    assert taken(found, kind="server", http__route="/a") == "1"
    assert taken(found, kind="server", name="GET /b") == "3"
    assert taken(found, kind="client", name="GET /b") == "3"
    assert taken(found, kind="client", http__route="/a") is None
    assert taken(found, kind="server") == "4"


def test_everything_under_match_has_to_hold() -> None:
    """Name, kind, scope and each attribute."""
    found = rules_with("{name: a, kind: consumer, scope: 'lib.*', attributes: {x: 1, y: true, z: [a, {regex: 'b+'}]}}")
    good: dict[str, Any] = {"name": "a", "kind": "consumer", "scope": "lib.x", "x": 1, "y": True, "z": ["q", "bb"]}
    assert taken(found, **good) == "0"
    for name, value in {"name": "A", "kind": "producer", "scope": "lib", "x": 2, "y": 1, "z": "bbc"}.items():
        assert taken(found, **{**good, name: value}) is None, name
    assert taken(found, **{**good, "scope": None}) == "0", "not known, as in console output"


def test_older_names_of_attributes_are_found_too() -> None:
    """What most instrumentations still write by default; the stable name goes first."""
    found = rules_with("{attributes: {http.request.method: GET, url.path: '/a/*'}}")
    assert taken(found, http__method="GET", http__target="/a/b?c=d") == "0"
    assert taken(found, http__method="GET", http__url="https://x.example:8080/a/b#c") == "0"
    assert taken(found, http__request__method="POST", http__method="GET", url__path="/a/b") is None


@given(
    st.lists(
        st.tuples(st.sampled_from("ab*?"), st.sampled_from(["server", "client", ""]), st.sampled_from("ab*?")),
        min_size=1,
        max_size=8,
    ),
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", ""]), st.sampled_from(["server", "client"]), st.sampled_from(["a", "b", ""])
        )
    ),
)
def test_looking_up_is_the_same_as_trying_each_rule(
    made: list[tuple[str, str, str]], spans: list[tuple[str, str, str]]
) -> None:
    """The index and what it remembers change nothing: against the plainest model there is."""
    found = rules_with(
        *(
            f"{{name: '{name}', {f'kind: {kind}, ' if kind else ''}attributes: {{http.route: '{route}'}}}}"
            for name, kind, route in made
        )
    )

    def like(pattern: str, text: str) -> bool:
        return pattern in {text, "*"} or (pattern == "?" and len(text) == 1)

    for name, kind, route in spans:
        model = next(
            (
                str(number)
                for number, (a_name, a_kind, a_route) in enumerate(made)
                if like(a_name, name) and a_kind in {"", kind} and like(a_route, route)
            ),
            None,
        )
        assert taken(found, name=name, kind=kind, http__route=route) == model


def test_what_is_remembered_is_bounded() -> None:
    """Callers choose names; a million of them take no memory."""
    found = rules_with("{name: 'GET /a*'}", "{kind: server, attributes: {http.route: '/b*'}}")
    for number in range(10_000):
        assert taken(found, name=f"GET /{number}", kind="server", http__route=f"/{number}") is None
    assert len(found._by_name) <= 4_096
    assert taken(found, name="GET /a1") == "0"


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("a*a", ["aa", "a a"], ["a", "ab"]),
        ("*a*b", ["ab", "xaxb", "aab"], ["ba", "abx"]),
        ("a?c", ["abc", "a\nc"], ["ac", "abbc"]),
        ("*", ["", "x\ny"], []),
        ("a.b", ["a.b"], ["axb"]),
        ("[a]", ["[a]"], ["a"]),
        (Regex("GET /[0-9]+"), ["GET /1"], ["GET /", "GET /1/", "get /1"]),
        (Regex("ab?c"), ["ac", "abc"], ["bc"]),
        (Regex("x|GET"), ["x", "GET"], ["GE"]),
        (Regex("(?i)get"), ["GeT"], ["ge"]),
        ([1, True, "a*"], ["1", "true", "ab"], ["2", "false"]),
    ],
)
def test_patterns(pattern: Pattern, matching: list[str], other: list[str]) -> None:
    """For the whole value, with regard to case."""
    matches = compiled(pattern).matches
    assert all(matches(text) for text in matching)
    assert not [text for text in other if matches(text)]


@pytest.mark.parametrize("pattern", ["*a" * 60 + "b", Regex("(a+)+b"), Regex("(a|aa)+b"), Regex("(.*)(.*)(.*)(.*)b")])
def test_no_value_makes_a_pattern_explode(pattern: Pattern) -> None:
    """With Python's own expressions some of these would run for ages: the test's time limit says so."""
    began = time.monotonic()
    assert not compiled(pattern).matches("a" * 50_000)
    assert not compiled(pattern).matches("a\udc80" * 10_000)
    assert time.monotonic() - began < 60


@pytest.mark.parametrize(
    ("route", "path", "found"),
    [
        ("/inwoners/{bsn}", "/inwoners/12%203", ["12 3"]),
        ("/inwoners/{bsn:int}/", "/inwoners/123", ["123"]),
        ("/inwoners/<bsn>", "/inwoners/123/", ["123"]),
        ("/inwoners/<string:bsn>/x", "/inwoners/123/x", ["123"]),
        ("inwoners/<int:bsn>/", "/inwoners/123/", ["123"]),
        ("^inwoners/(?P<bsn>[0-9]{9}|(x))/$", "/inwoners/123/", ["123"]),
        ("/inwoners/:bsn/x", "/inwoners/123/x", ["123"]),
        ("/i/{rest:path}/{bsn}", "/i/a/b/c/123", ["123"]),
        ("/i/{bsn:path}", "/i/a/b", ["a/b"]),
        ("/i/p-{bsn}.json", "/i/p-123.json", ["123"]),
        ("/inwoners/{bsn}", "/onder/voorvoegsel/inwoners/123", ["123"]),
        ("/inwoners/{bsn}", "/inwoners", []),
        ("/inwoners/{bsn}", "/anders/123", []),
        ("/inwoners/{nummer}", "/inwoners/123", []),
        ("/i/{a}-{b}-{bsn}", "/i/1-2-3", []),
        ("", "/inwoners/123", []),
    ],
)
def test_a_parameter_of_a_route(route: str, path: str, found: list[str]) -> None:
    """As the frameworks write their routes; also below a prefix that the route does not tell of."""
    assert list(path_parameters("bsn", {"http.route": route, "url.path": path})) == found


@pytest.mark.parametrize(
    ("template", "path", "found"),
    [
        ("/i/{bsn}", "/i/1", ["1"]),
        ("/i/{bsn}", "/x/i/1", []),
        ("/i/{bsn}/*", "/i/1/x", ["1"]),
        ("/i/{bsn}/*", "/i/1/x/y", []),
        ("/i/{bsn}/**", "/i/1/x/y", ["1"]),
        ("/**/i/{bsn}", "/a/b/i/1", ["1"]),
        ("/i/a*/{bsn}", "/i/abc/1", ["1"]),
    ],
)
def test_a_template_of_a_path(template: str, path: str, found: list[str]) -> None:
    """For spans without a route: the whole path."""
    assert list(path_parameters(template, {"http.target": f"{path}?x=/i/2"})) == found
    assert list(path_parameters(template, {"url.full": f"https://x.example{path}#y"})) == found


def test_queries_and_headers() -> None:
    """Repeated, encoded, in every attribute that has them; hidden ones are no identifier."""
    assert query_parameters("b", {"url.query": "a=1&b=2&c=3&%62=%34&b=&b"}) == ["2", "4", "", ""]
    assert query_parameters("b", {"http.url": "https://x.example/?b=1+2#b=3"}) == ["1 2"]
    assert query_parameters("b", {"http.target": "/x"}) == []
    for name in ("http.request.header.x-bsn", "http.request.header.x_bsn", "rpc.grpc.request.metadata.x-bsn"):
        assert captured_headers("X-BSN", {name: (" 1 ", "2")}) == ["1", "2"]
    found = rules("rules:\n- match: {kind: server}\n  subject: {header: X-BSN, type: BSN}\n").rules[0]
    assert found.identifiers({"http.request.header.x_bsn": ["[REDACTED]"]}) == []


@given(st.text(), st.text(), st.text())
def test_whatever_a_caller_sends_is_read(route: str, path: str, query: str) -> None:
    """Nothing raises, whatever stands in a URL or a route."""
    attributes = {"http.route": route, "url.path": path, "url.query": query, "http.url": query}
    path_parameters("bsn", attributes)
    path_parameters("/i/{bsn}/**", attributes)
    query_parameters("bsn", attributes)


def test_a_long_path_takes_no_time() -> None:
    """Two parameters in a segment would take the square of its length."""
    began = time.monotonic()
    long = "/i/" + "-" * 200_000
    assert list(path_parameters("bsn", {"http.route": "/i/{a}-{bsn}x", "url.path": long})) == []
    assert time.monotonic() - began < 60
