"""Old and new semantic conventions are one thing to a rule; `tests/sdk/test_real_conventions.py` has real spans."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldv_otel._internal.config.yaml_file import parse_yaml
from ldv_otel._internal.rules.conventions import _FORMER, _FORMER_BY_SIDE
from ldv_otel._internal.rules.rule_file import Match, Rule, RuleFile, SubjectSource
from ldv_otel._internal.rules.rules import Rules

ACTIVITY = "https://register.example/a"

Span = dict[str, Any]


def takes(rule: Rule, span: Span) -> bool:
    """Whether a rule takes a span."""
    return Rules([rule]).find(span["name"], span["kind"], span["scope"], span["attributes"]) is not None


def rule_by(name: str, value: Any) -> Rule:
    """A rule that wants this value of one attribute."""
    return Rule(match=Match(attributes={name: value}), activity=ACTIVITY)


HOSTS = st.sampled_from(["rdw.example", "10.0.0.5", "::1", "xn--bcher-kva.example"])
PATHS = st.sampled_from(["/", "/a/b", "/a%20b/", "/a:b/@c"])
QUERIES = st.sampled_from(["", "a=1", "a=1&b=//x?y"])
PORTS = st.sampled_from([80, 443, 8443])


@given(st.sampled_from(["http", "https"]), HOSTS, PORTS, PATHS, QUERIES)
def test_a_request_is_the_same_in_both(scheme: str, host: str, port: int, path: str, query: str) -> None:
    """Whatever the URL: as the conventions say that clients and servers write it, with each part as a rule."""
    method = "GET"
    default = {"http": 80, "https": 443}[scheme]
    authority = f"[{host}]" if ":" in host else host
    url = f"{scheme}://{authority}{'' if port == default else f':{port}'}{path}{f'?{query}' if query else ''}"
    parts: dict[str, Any] = {"url.scheme": scheme, "url.path": path, "server.address": host, "server.port": port}
    parts |= {"url.query": query} if query else {}
    client = (
        {"http.method": method, "http.url": url},
        {"http.request.method": method, "url.full": url, "server.address": host, "server.port": port},
    )
    server = (
        {"http.method": method, "http.scheme": scheme, "http.target": url.partition(authority)[2].lstrip(":0123456789")}
        | {"net.host.name": host, "net.host.port": port, "http.host": f"{authority}:{port}"},
        {"http.request.method": method, **parts},
    )
    for kind, spans in (("client", client), ("server", server)):
        for attributes in spans:
            span = {"name": method, "kind": kind, "scope": "s", "attributes": attributes}
            for name, value in {**spans[0], **spans[1], **parts, "url.full": url}.items():
                if name != "http.host" or ":" not in host:
                    assert takes(rule_by(name, value), span), (name, value, span)


SAME_THINGS: Final[list[tuple[str, Span, Span]]] = [
    (
        "client",
        {"net.peer.name": "db.example", "net.peer.port": 5432, "net.transport": "ip_tcp", "peer.service": "rdw"},
        {"server.address": "db.example", "server.port": 5432, "network.transport": "tcp", "service.peer.name": "rdw"},
    ),
    ("server", {"net.peer.ip": "10.0.0.5"}, {"client.address": "10.0.0.5"}),
    (
        "client",
        {"db.system": "mssql", "db.name": "n", "db.operation": "SELECT"},
        {"db.system.name": "microsoft.sql_server", "db.namespace": "n", "db.operation.name": "SELECT"},
    ),
    (
        "consumer",
        {"messaging.destination": "q", "messaging.operation": "process"},
        {"messaging.destination.name": "q", "messaging.operation.type": "process"},
    ),
    ("producer", {"messaging.operation": "publish"}, {"messaging.operation.type": "send"}),
    (
        "server",
        {"rpc.system": "grpc", "rpc.service": "a.B", "rpc.method": "C", "rpc.grpc.status_code": 5},
        {"rpc.system.name": "grpc", "rpc.method": "a.B/C", "rpc.response.status_code": "NOT_FOUND"},
    ),
    ("internal", {"code.namespace": "a.b", "code.function": "c"}, {"code.function.name": "a.b.c"}),
]


@pytest.mark.parametrize(("kind", "old", "new"), SAME_THINGS)
def test_other_conventions_are_one_thing_too(kind: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Databases, messages, remote calls and code: each name of one takes the span of the other."""
    for written, read in ((old, new), (new, old), (old, old), (new, new)):
        span = {"name": "x", "kind": kind, "scope": "s", "attributes": read}
        for name, value in written.items():
            assert takes(rule_by(name, value), span), (name, value, span)
            assert not takes(rule_by(name, "another"), span)


def test_a_peer_is_the_server_to_a_client_only() -> None:
    """A rule about the called party must not take a request of a caller with that address."""
    span = {"name": "x", "kind": "server", "scope": "s", "attributes": {"net.peer.name": "rdw.example"}}
    assert not takes(rule_by("server.address", "rdw.example"), span)
    assert takes(rule_by("server.address", "rdw.example"), {**span, "kind": "client"})
    assert takes(rule_by("client.address", "rdw.example"), span)


def test_the_name_that_a_rule_wrote_goes_first() -> None:
    """Where a span has several of them, with different values, the rule knows which it meant."""
    attributes = {"net.host.name": "a", "http.server_name": "b", "http.host": "c:80"}
    span = {"name": "x", "kind": "server", "scope": "s", "attributes": attributes}
    for name, value in attributes.items():
        assert takes(rule_by(name, value), span)


def test_a_subject_is_read_by_either_name() -> None:
    """`subject: {attribute: ...}` is an attribute too."""
    file = parse_yaml(
        f"rules: [{{match: {{name: a}}, activity: '{ACTIVITY}', "
        "subject: {attribute: messaging.message.conversation_id, type: zaak}}]",
        "rules.yaml",
        RuleFile,
    )
    assert file.rules[0].identifiers({"messaging.conversation_id": "Z-1"}) == [("Z-1", "zaak")]


@given(st.text(max_size=50), st.sampled_from(["http.url", "url.full", "http.host", "net.host.name", "url.path"]))
def test_odd_values_raise_nothing(text: str, name: str) -> None:
    """A caller chooses them."""
    span = {"name": "x", "kind": "server", "scope": "s", "attributes": {name: text, "url.scheme": text}}
    for asked in ("server.address", "server.port", "url.full", "http.target", "url.query", "http.host", "url.scheme"):
        takes(rule_by(asked, "x"), span)


OUTCOMES: Final = (
    "http.response.status_code",
    "http.status_code",
    "rpc.response.status_code",
    "rpc.grpc.status_code",
    "error.type",
)
READ: Final = tuple(
    dict.fromkeys(
        (
            *OUTCOMES,
            *(name for former in (_FORMER, *_FORMER_BY_SIDE.values()) for name in (*former, *sum(former.values(), ()))),
            *("http.route", "http.target", "http.host", "http.server_name", "url.path", "url.query", "rpc.method"),
            *("rpc.service", "http.request.header.x_bsn"),
        )
    )
)
VALUES: Final = st.sampled_from(
    [
        "200",
        404,
        "OK",
        5,
        "http",
        "rdw.example",
        443,
        "/a/123456782?bsn=123456782",
        "https://rdw.example/a/1",
        "/a/{bsn}",
    ]
)
SUBJECTS: Final = st.one_of(
    st.builds(SubjectSource, type=st.just("BSN"), attribute=st.sampled_from(READ)),
    st.builds(SubjectSource, type=st.just("BSN"), path=st.sampled_from(["bsn", "/a/{bsn}"])),
    st.builds(SubjectSource, type=st.just("BSN"), query=st.just("bsn")),
    st.builds(SubjectSource, type=st.just("BSN"), header=st.just("X-BSN")),
)
CONDITIONS: Final = st.dictionaries(
    st.sampled_from(READ), st.sampled_from(["*", "200", "404", "NOT_FOUND"]), min_size=1
)
RULES: Final = st.lists(
    st.builds(
        lambda conditions, subject: Rule(match=Match(attributes=conditions), activity=ACTIVITY, subject=subject),
        CONDITIONS,
        st.none() | SUBJECTS,
    ),
    min_size=1,
    max_size=3,
)


@given(
    RULES,
    st.dictionaries(st.sampled_from(READ), VALUES),
    st.dictionaries(st.sampled_from(OUTCOMES), VALUES, min_size=1),
    st.sampled_from(["server", "client"]),
)
def test_what_is_ignored_changes_no_answer(written: list[Rule], before: Span, outcome: Span, kind: str) -> None:
    """The rule that takes a span, and whom it finds in it, are the same with and without what no rule reads."""
    rules = Rules(written)
    added = {name: value for name, value in outcome.items() if name in rules.ignored}
    kept = {name: value for name, value in before.items() if name not in added}
    answers = []
    for attributes in (kept, {**kept, **added}):
        rule = rules.find("GET", kind, "s", attributes)
        answers.append((rule, rule.identifiers(attributes) if rule is not None else None))
    assert answers[0] == answers[1]


def test_a_rule_that_asks_how_it_went_is_asked_again() -> None:
    """Under any name that it has: of today or before, as a condition or as where an identifier is."""
    for name in OUTCOMES:
        asked = Rules([rule_by(name, "404")])
        assert name not in asked.ignored
        read = Rules([Rule(match=Match(kind="server"), subject=SubjectSource(type="BSN", attribute=name))])
        assert name not in read.ignored
    assert Rules([rule_by("http.status_code", "404")]).ignored == {"error.type", *OUTCOMES[2:4]}
