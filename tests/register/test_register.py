"""The Register: versions and what is in them, and its file in all the ways it can be broken."""

from __future__ import annotations

import gzip
import json
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.register.register import ProcessingActivity, Register, RegisterError
from ldv_otel._internal.register.source import MAX_BYTES, RegisterSource, load_register, parse_register
from ldv_otel.errors import ConfigurationError, LdvError

A, B, C, PARENT = (f"https://register.example/{name}" for name in ("a", "b", "c", "parent"))
TEXT = f"""
controller: https://gemeente.example
activities:
  - {{id: {A}, name: Eerste versie, retention: P7Y, parent: {PARENT}}}
  - id: {B}
    name: Tweede versie
    replaces: {A}
    retention: P5Y
    confidential: yes
  - {{id: {PARENT}, name: Hoofd, controller: "een ander"}}
"""


def test_what_is_in_it() -> None:
    """Versions, parents, the controller of all, terms."""
    register = parse_register(TEXT, source="r.yaml")
    assert [activity.id for activity in register.versions(B)] == [A, B] == [a.id for a in register.versions(A)]
    current = register.current(A)
    assert current is not None
    assert (current.name, current.controller, current.confidential) == (
        "Tweede versie", "https://gemeente.example", True,
    )  # fmt: skip
    assert [activity.name for activity in register.ancestors(A)] == ["Hoofd"]
    parent = register.get(PARENT)
    assert parent is not None
    assert parent.controller == "een ander"
    assert register.confidential == {B}
    assert (len(register), A in register, "urn:x" in register) == (3, True, False)
    assert register.current("urn:x") is None
    now = datetime(2026, 3, 1, tzinfo=UTC)
    start = datetime(1970, 1, 1, tzinfo=UTC)
    assert register.past_term(B, start, datetime(2021, 2, 28, 23, 59, tzinfo=UTC), now)
    assert not register.past_term(B, start, datetime(2021, 3, 1, tzinfo=UTC), now)
    assert not register.past_term(PARENT, start, start, now)


def test_the_log_beside_the_register() -> None:
    """Both ways, the most used first."""
    found = parse_register(TEXT, source="r.yaml").compare({A: 3, "": 1, C: 7})
    assert list(found.unregistered.items()) == [(C, 7), ("", 1)]
    assert found.unused == [B, PARENT]
    assert not found.ok


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "r:1: a Register has `activities:`"),
        ("- a", "r:1: a Register has `activities:`"),
        ("activities: 3", "r:1: a Register has `activities:`"),
        ("activities:\n- 3", "r:2: entry 1 has no fields"),
        ("activities: [{id: 'x", "r:1: it is no YAML"),
        ('{"activities": [\n{"id": "urn:a",}}', "r:2: it is no YAML"),
        ("activities:\n- id: urn:a\n\tname: x", "r:3: it is no YAML"),
        ("x\x00", "r:1: it is no YAML"),
        ("activities:\n- id: urn:a", "r:2: urn:a: Object missing required field name"),
        ("activities:\n- id: urn:a\n  name:\n    3", "r:3: urn:a: name: Expected str, got int"),
        (
            "activities:\n- id: urn:a\n  name: x\n  confidential: maybe",
            "r:4: urn:a: confidential: Expected bool, got str",
        ),
        ("activities:\n- id: urn:a\n  name: x\n  bewaartermijn: P1Y", "r:4: urn:a: unknown field `bewaartermijn`"),
        ("activities:\n- id: urn:a\n  name: x\n  name: y", "r:4: 'name' stands here twice"),
        ("version: 3\nactivities: []", "r:1: unknown field `version`"),
        ("controller: [x]\nactivities: []", "r:1: controller is no text"),
        ("activities:\n- id: parkeren\n  name: x", "r:2: parkeren: id is no URI"),
        ("activities:\n- id: urn:a\n  name: ' '", "r:2: urn:a: name is empty"),
        ("activities:\n- id: urn:a\n  name: x\n  retention: 7", "retention: Expected str, got int"),
        (
            "activities:\n- id: urn:a\n  name: x\n  retention: seven years",
            "retention cannot be used: it is no duration",
        ),
        ("activities:\n- id: urn:a\n  name: x\n  retention: P0D", "retention is no time at all"),
        ("activities:\n- id: urn:a\n  name: x\n  retention: PT1H", "a term is in years"),
        ("activities:\n- {id: urn:a, name: x}\n- {id: urn:a, name: y}", "r:3: urn:a: id is that of another entry"),
        ("activities:\n- {id: urn:a, name: x, replaces: urn:b}", "r:2: urn:a: replaces urn:b, which is not here"),
        ("activities:\n- {id: urn:a, name: x, replaces: urn:a}", "names the activity itself"),
        (
            "activities:\n- {id: urn:a, name: x, parent: urn:b}\n- {id: urn:b, name: x, parent: urn:a}",
            "parent goes round in a circle: urn:a -> urn:b -> urn:a",
        ),
        (
            "activities:\n- {id: urn:a, name: x}\n- {id: urn:b, name: x, replaces: urn:a}\n- {id: urn:c, name: x, replaces: urn:a}",  # noqa: E501
            "r:4: urn:c: replaces urn:a, and so does another entry",
        ),
    ],
)
def test_a_broken_register_names_file_line_and_entry(text: str, says: str) -> None:
    """Who edits the file by hand has to find the place."""
    with pytest.raises(RegisterError) as caught:
        parse_register(text, source="r")
    assert says in str(caught.value)


def test_all_problems_are_told_at_once() -> None:
    """One run, not one a mistake; but not a thousand lines."""
    text = "activities:\n" + "".join(f"- {{id: x{number}, name: y, retention: z}}\n" for number in range(500))
    with pytest.raises(RegisterError) as caught:
        parse_register(text, source="r")
    lines = str(caught.value).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "... and 980 more"


def test_json_and_merge_keys() -> None:
    """JSON as programs write it, tabs and escapes included; YAML's own way not to repeat oneself."""
    value = {"activities": [{"id": "urn:a", "name": "\U0001f600 \u00e9 \t/", "confidential": False, "retention": None}]}
    for text in (json.dumps(value, indent="\t"), json.dumps(value), json.dumps(value, ensure_ascii=False)):
        assert [a.name for a in parse_register(text, source="r")] == ["\U0001f600 \u00e9 \t/"]
    text = "activities:\n- &a {id: urn:a, name: x, retention: P1Y}\n- <<: *a\n  id: urn:b\n  legal_ground:\n"
    assert [activity.retention for activity in parse_register(text, source="r")] == ["P1Y", "P1Y"]


_SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["urn:a", "urn:b", "P1Y"])
_ENTRIES = st.dictionaries(st.sampled_from([*ProcessingActivity.__struct_fields__, "x"]), _SCALARS) | _SCALARS


@given(st.text() | st.builds(json.dumps, st.fixed_dictionaries({"activities": st.lists(_ENTRIES, max_size=4)})))
def test_any_text_is_a_register_or_refused_with_its_place(text: str) -> None:
    """Never another error, and what is taken fits together."""
    register = Register([])
    try:
        register = parse_register(text, source="r")
    except RegisterError as error:
        lines = str(error).splitlines()
    else:
        lines = []
    assert all(line.startswith(("r:", "... and")) for line in lines)
    for activity in register:
        assert activity in register.versions(activity.id)
        register.ancestors(activity.id)


def test_the_examples_are_registers() -> None:
    """They are what a newcomer copies."""
    home = Path(__file__).parents[2] / "examples" / "parkeervergunning"
    found = [RegisterSource(str(path)).get() for path in sorted(home.glob("*.register.yaml"))]
    assert [len(register) for register in found] == [6, 1]


def test_a_file_is_read_again_when_it_changed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And while it is broken, the Register of before stays in use."""
    path = tmp_path / "register.yaml"
    path.write_text(TEXT, encoding="utf-8")
    source = RegisterSource(str(path))
    before = source.get()
    assert source.get() is before
    path.write_text("activities:\n- {id: urn:a, name: x}\n", encoding="utf-8")
    assert [activity.id for activity in source.get()] == ["urn:a"]
    path.write_text("activities: oops", encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        assert [activity.id for activity in source.get()] == ["urn:a"]
    assert "stays in use" in caplog.text
    with pytest.raises(RegisterError, match=r"register\.yaml:1"):
        RegisterSource(str(path)).get()


@pytest.mark.parametrize(
    ("location", "says"),
    [
        ("/nowhere/register.yaml", "cannot be read"),
        ("http://register.example/r.yaml", "plain http"),
        ("ftp://register.example/r.yaml", "cannot be fetched"),
        ("https://me:secret@register.example/r.yaml", "user or a password"),
        ("https://[", "no URL"),
        ("", "not set"),
    ],
)
def test_a_location_that_cannot_be_used(location: str, says: str) -> None:
    """It fails loudly, names the variable, and keeps a password to itself."""
    settings = Settings(logboek=LogboekAddress(scheme="chdb", path="/x"), register=location)
    with pytest.raises(ConfigurationError, match=says) as caught:
        load_register(settings)
    assert "LDV_REGISTER" in str(caught.value)
    assert "secret" not in str(caught.value)


class Served:
    """A Register behind HTTP: what it answers, and how often it was asked."""

    def __init__(self) -> None:
        self.text = TEXT
        self.content = b""
        self.status = 200
        self.headers: dict[str, str] = {"ETag": '"1"'}
        self.asked: list[int] = []


@contextmanager
def served() -> Iterator[tuple[str, Served]]:
    """Serve it on loopback."""
    state = Served()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = "ETag" in state.headers and self.headers.get("If-None-Match") == state.headers["ETag"]
            status = 304 if known and state.status == 200 else state.status
            state.asked.append(status)
            self.send_response(status)
            for name, value in state.headers.items():
                self.send_header(name, value)
            body = b"" if status == 304 else state.content or state.text.encode()
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/register.yaml", state
        finally:
            server.shutdown()
            thread.join()


def test_a_url_is_fetched_with_caching(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Asked once while fresh, then whether it changed; an outage or a broken answer does not take it away."""
    now = 1_000_000.0
    with served() as (url, state):

        def source() -> RegisterSource:
            return RegisterSource(url, cache=tmp_path / "cache", clock=lambda: now)

        kept = source()
        assert len(kept.get()) == 3
        assert len(kept.get()) == 3
        assert len(source().get()) == 3  # another process
        assert state.asked == [200]
        now += 301
        assert len(kept.get()) == 3
        assert state.asked == [200, 304]
        state.text, state.headers = (
            "activities:\n- {id: urn:a, name: x}\n",
            {"ETag": '"2"', "Cache-Control": "max-age=9"},
        )
        now += 301
        assert len(kept.get()) == 1
        now += 8
        assert len(kept.get()) == 1
        assert state.asked == [200, 304, 200]
        state.text, state.headers = "<html>onderhoud</html>", {"ETag": '"3"'}
        now += 2
        with caplog.at_level(logging.WARNING):
            assert len(kept.get()) == 1
        state.status = 503
        now += 301
        assert len(kept.get()) == 1
        assert len(source().get()) == 1
        assert (tmp_path / "cache").stat().st_mode & 0o077 == 0
        with pytest.raises(ConfigurationError, match="HTTP status 503"):
            RegisterSource(url).get()
    now += 301
    with caplog.at_level(logging.WARNING):
        assert len(source().get()) == 1  # nobody there at all
    assert "is used" in caplog.text


@pytest.mark.parametrize(
    ("status", "headers", "content", "says"),
    [
        (302, {"Location": "/elsewhere"}, TEXT.encode(), "HTTP status 302"),
        (302, {"Location": "file:///etc/passwd"}, b"", "HTTP status 302"),
        (200, {}, b"# " + b"x" * MAX_BYTES, "larger than 16 MiB"),
        (200, {"Content-Encoding": "gzip"}, gzip.compress(b"# " + b"x" * MAX_BYTES), "packed"),
        (200, {"Content-Encoding": "gzip"}, TEXT.encode(), "packed"),
        (200, {}, b"\xff", "UnicodeDecodeError"),
    ],
)
def test_an_answer_that_is_no_register(status: int, headers: dict[str, str], content: bytes, says: str) -> None:
    """No redirect is followed, nothing is read beyond the limit, nothing is unpacked, and the reason is told."""
    with served() as (url, state):
        state.status, state.headers, state.content = status, headers, content
        with pytest.raises(ConfigurationError, match=says):
            RegisterSource(url).get()
        assert state.asked == [status]


def test_nothing_of_the_environment_decides_who_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that is meant for others is not asked for the Register."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with served() as (url, _):
        assert len(RegisterSource(url).get()) == 3


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file is read without what fetches URLs; a URL says what to install."""
    monkeypatch.setitem(sys.modules, "httpx", None)
    path = tmp_path / "register.yaml"
    path.write_text(TEXT)
    assert len(RegisterSource(str(path)).get()) == 3
    with pytest.raises(ConfigurationError, match=r"pip install 'ldv-otel\[cli\]'"):
        RegisterSource("https://register.example/r.yaml")


def test_activities_that_do_not_fit_together_are_no_register() -> None:
    """Also when they come from somewhere else than a file."""
    with pytest.raises(LdvError, match="no URI"):
        Register([ProcessingActivity(id="x", name="y")])
