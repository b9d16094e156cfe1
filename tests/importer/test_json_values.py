from __future__ import annotations

import gzip
import json
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldv_otel._internal.http.zstd import zstd_module
from ldv_otel._internal.importer import json_values as module
from ldv_otel._internal.importer import packing
from ldv_otel._internal.importer.json_values import JsonValue, MalformedJson, file_text, json_values
from ldv_otel.errors import UnreadableInput
from tests.importer.spelling import any_json


def read(text: str) -> list[tuple[int, Any]]:
    """Lines with their value, or with the reason there is none."""
    return [(part.line, part.reason if isinstance(part, MalformedJson) else part.value) for part in json_values(text)]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", []),
        (" \r\n\ufeff ", []),
        ('{"a": 1}', [(1, {"a": 1})]),
        ('{"a": 1}\n{"b": 2}\n', [(1, {"a": 1}), (2, {"b": 2})]),
        ('\n\n{\n "a": 1\n}\n{\n "b": 2\n}', [(3, {"a": 1}), (6, {"b": 2})]),
        ('{"a": 1}{"b": 2}', [(1, {"a": 1}), (1, {"b": 2})]),
        ('{"a": 1},\n{"b": 2},', [(1, {"a": 1}), (2, {"b": 2})]),
        ('\x1e{"a": 1}\n\x1e{"b": 2}\n', [(1, {"a": 1}), (2, {"b": 2})]),
        ('[{"a": 1}, {"b": 2}]', [(1, [{"a": 1}, {"b": 2}])]),
        ("[]", [(1, [])]),
        ('{"a": 1, "a": 2}', [(1, {"a": 2})]),
        ("[" + "1" * 5_000 + "]", [(1, ["1" * 5_000])]),
    ],
)
def test_every_arrangement_of_values(text: str, parts: list[tuple[int, Any]]) -> None:
    """One value, an array, a value a line, or one after another: all are values."""
    assert read(text) == parts


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        pytest.param(
            '{"a": 1}\n{"b": [1, {"c"\n{"d": 4}\n',
            [(1, {"a": 1}), (2, "not JSON (Expecting ':' delimiter, line 3, column 1)"), (3, {"d": 4})],
            id="a line that was cut, in the middle",
        ),
        pytest.param(
            '{"a": 1}\n{"b": "tw',
            [(1, {"a": 1}), (2, "cut off: the file ends inside this value")],
            id="the last line was cut inside a text",
        ),
        pytest.param(
            '{"a": 1}\n{"b": [1,',
            [(1, {"a": 1}), (2, "cut off: the file ends inside this value")],
            id="the last line was cut inside a list",
        ),
        pytest.param(
            '{\n  "a": [\n{\n      "b": 1\n',
            [(1, "cut off: the file ends inside this value"), (3, "cut off: the file ends inside this value")],
            id="a single value without indentation was cut",
        ),
        pytest.param(
            '{\n  "a": [\n    {"b": 1},\n    {"c": 2},\n',
            [(1, "cut off: the file ends inside this value")],
            id="a single value was cut: its parts are no values of their own",
        ),
        pytest.param(
            '[{"a": 1}, {"b": 2}, {"c"',
            [(1, {"a": 1}), (1, {"b": 2}), (1, "cut off: the file ends inside this value")],
            id="an array was cut inside an object",
        ),
        pytest.param(
            '[\n  {"a": 1},\n  {"b": 2},\n',
            [(2, {"a": 1}), (3, {"b": 2}), (1, "cut off: the file ends before the array does")],
            id="an array was cut between objects",
        ),
        pytest.param(
            '[\n  {\n    "a": 1\n  },\n  {\n    "b": oops\n  },\n  {\n    "c": 3\n  }\n]\n{"d": 4}',
            [(2, {"a": 1}), (5, "not JSON (Expecting value, line 6, column 10)"), (8, {"c": 3}), (12, {"d": 4})],
            id="one object of an array is broken",
        ),
        pytest.param(
            '2026-11-22 started\n  at once\n{"a": 1}\nstopped\n',
            [
                (1, "not a JSON object"),
                (3, {"a": 1}),
                (4, "not a JSON object"),
            ],
            id="log lines between values",
        ),
        pytest.param(
            "{'a': 1}",
            [(1, "not JSON (Expecting property name enclosed in double quotes, line 1, column 2)")],
            id="a Python dictionary",
        ),
    ],
)
def test_what_is_no_json_costs_no_more_than_itself(text: str, parts: list[tuple[int, Any]]) -> None:
    """A gap is told with its line and reason, and reading goes on where a value can begin."""
    assert read(text) == parts


def test_deep_nesting_is_told_and_passed_over() -> None:
    """No file makes the reader run out of stack."""
    assert read("[" * 100_000 + '\n{"a": 1}') == [(1, "nested too deep"), (2, {"a": 1})]
    assert [line for line, _ in read('[{"a":' * 100_000)] == [1]


@pytest.mark.parametrize("text", ["[{\n" * 200_000, "[1,\n" * 300_000, '{"a":\n' * 200_000, "[ x\n" * 200_000])
def test_a_hostile_file_takes_seconds(text: str) -> None:
    """Rereading after an error is bounded, however often errors come."""
    began = time.monotonic()
    parts = list(json_values(text))
    assert time.monotonic() - began < 120
    assert all(isinstance(part, MalformedJson) for part in parts)


def test_reading_stops_when_too_much_is_no_json() -> None:
    """Where the bound on rereading is met, the rest is told to be unread."""
    *_, last = json_values('{"a":\n' * 30_000)
    assert isinstance(last, MalformedJson)
    assert last.reason == "too much of the file is not JSON; from here on it was not read"


@given(st.text() | st.text(alphabet='[]{}",:\n 1\\u'))
def test_any_text_ends_in_values_and_gaps(text: str) -> None:
    """Reading never raises, and a text that is not blank gives something."""
    parts = list(json_values(text))
    lines = text.count("\n") + 1
    assert all(1 <= part.line <= lines for part in parts)
    assert bool(parts) or not text.strip(" \t\r\n,\ufeff\x1e")


@given(
    st.lists(st.dictionaries(st.text(max_size=5), any_json, max_size=3), max_size=5),
    st.sampled_from(["", "\n", ",\n"]),
)
def test_values_come_back(values: list[dict[str, Any]], between: str) -> None:
    """Whatever was written one after another is read back."""
    text = between.join(json.dumps(value) for value in values)
    assert [isinstance(part, JsonValue) and part.value for part in json_values(text)] == values


@given(st.lists(any_json, min_size=1, max_size=5), st.integers(1, 40))
def test_values_come_back_however_much_is_looked_at(values: list[Any], window: int) -> None:
    """A value that spans lines is looked at piece by piece, and a piece may end inside a word or an escape."""
    text = json.dumps([*values, float("-inf"), "\u20ac\U0001f333\n", True, None], indent=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_WINDOW_CHARACTERS", window)
        patch.setattr(module, "_WINDOW_GROWTH", 2)
        (part,) = json_values(f"{text}\n")
    assert isinstance(part, JsonValue)
    assert part.value == json.loads(text)


def test_gzip_is_unpacked() -> None:
    """Rotated files are packed, and may be joined."""
    assert file_text(gzip.compress(b'{"a": 1}\n') + gzip.compress(b'{"b": 2}\n')) == ('{"a": 1}\n{"b": 2}\n', "")
    assert file_text(gzip.compress(b"")) == ("", "")


def test_gzip_that_was_cut_gives_what_it_holds() -> None:
    """What comes before the cut can still be used."""
    lines = "".join(f'{{"a": {number}}}\n' for number in range(50_000))
    text, reason = file_text(gzip.compress(lines.encode())[:-2_000])
    assert reason == "the gzip stream is cut off"
    assert len(text) > 100_000
    assert lines.startswith(text)


def test_gzip_that_is_damaged_gives_what_comes_before() -> None:
    """As for a cut."""
    text, reason = file_text(gzip.compress(b'{"a": 1}\n') + b"no gzip")
    assert text == '{"a": 1}\n'
    assert reason == "the gzip stream is damaged; what comes after the damage was not read"


def test_what_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small packed file may be enormous unpacked."""
    monkeypatch.setattr(packing, "CONTENT_MAX_BYTES", 1 << 20)
    with pytest.raises(UnreadableInput, match="larger than 1 MiB unpacked"):
        file_text(gzip.compress(bytes(1 << 21)))
    with pytest.raises(UnreadableInput, match="larger than 1 MiB;"):
        file_text(bytes((1 << 20) + 1))


@given(
    content=st.binary(), start=st.sampled_from([b"", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\0\0\0\x05\x28\xb5\x2f\xfd"])
)
def test_any_bytes_become_text(content: bytes, start: bytes) -> None:
    """Text of any bytes, packed or not, so that the JSON reader says what is wrong; or the form that they are in."""
    for whole in (start + content, gzip.compress(content)[:-3], zstd_module().compress(content)[:-3]):
        with suppress(UnreadableInput):
            file_text(whole)
