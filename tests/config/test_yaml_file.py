from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldv_otel._internal.config.yaml_file import YamlDocument, YamlError, parse_yaml, read_yaml
from ldv_otel.errors import ConfigurationError


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    """A part with a rule of its own."""

    at: str = ""
    port: int = 0

    def __post_init__(self) -> None:
        if self.at == "nowhere":
            raise ValueError("That is no place")


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    """A file."""

    inners: list[Inner] = []
    one: Inner = msgspec.field(default_factory=Inner)


def test_yaml_and_json_give_the_same() -> None:
    """JSON is YAML."""
    yaml = parse_yaml("inners:\n  - at: here\n    port: 3\n", "f", Outer)
    assert yaml == parse_yaml('{"inners": [{"at": "here", "port": 3}]}', "f", Outer)
    assert parse_yaml("", "f", Outer) == Outer()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("inners:\n  - at: here\n    port: many\n", "f:3: it has to be a whole number, and is text at inners[0].port."),
        (
            "inners:\n  - at: here\n  - att: there\n",
            "f:3: unknown field `att`; did you mean `at`? It may be `at`, `port` at inners[1].",
        ),
        ("\n\nother: 1\n", "f:3: unknown field `other`; it may be `inners`, `one`."),
        ("inners:\n  - at: here\n\n  - at: nowhere\n", "f:4: That is no place at inners[1]."),
        ("one:\n  port: 1\n  port: 2\n", "f:3: 'port' stands here twice."),
        ("one: {\n  at: here\n", "f:3: it is no YAML: expected ',' or '}'"),
        ("one: !!python/object:os.system x\n", "f:1: it is no YAML: could not determine a constructor"),
        ("- 1\n", "f:1: it has to be a mapping (`name: value`), and is a list."),
        ("a: &a [*a]\n", "f:1: unknown field `a`; it may be `inners`, `one`."),
    ],
)
def test_an_error_names_line_and_place(text: str, said: str) -> None:
    """The reader of the message opens the file at that line."""
    with pytest.raises(ConfigurationError) as raised:
        parse_yaml(text, "f", Outer)
    assert str(raised.value).startswith(said)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Missing, a directory, or not text."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "missing", tmp_path, tmp_path / "binary"):
        with pytest.raises(ConfigurationError, match=r"LDV_X: the file .* cannot be read"):
            read_yaml(path, "LDV_X", Outer)


@given(st.text(max_size=60) | st.text(alphabet="[]{}:-,&*!|>'\"#\n a1", max_size=60))
def test_any_text_gives_a_value_or_our_error(text: str) -> None:
    """Nothing else comes out of a file that somebody made a mess of."""
    with contextlib.suppress(ConfigurationError):
        parse_yaml(text, "f", Outer)


@given(st.text(max_size=60) | st.text(alphabet="[]{}:-,&*!|>'\"#\n\t a1<", max_size=60))
def test_any_text_gives_a_document_or_a_line(text: str) -> None:
    """Both loaders, that of small files and that of large ones, tell a line of the text or give its value."""
    for padding in ("", "\n#" + "x" * 70_000):
        with contextlib.suppress(YamlError):
            YamlDocument(text + padding)
            continue
        with pytest.raises(YamlError) as raised:
            YamlDocument(text + padding)
        assert 1 <= raised.value.line <= len((text + padding).splitlines()) + 1


@pytest.mark.parametrize("padding", ["", "\n#" + "x" * 70_000])
def test_a_value_knows_its_line(padding: str) -> None:
    """Also under a merge key, below an alias and in JSON with tabs; a missing path gives the nearest line."""
    document = YamlDocument("a: &base\n  x: 1\nb:\n  <<: *base\n  y: [1,\n    2]\n  x: 3\nc: *base" + padding)
    assert [document.line(path) for path in (("b", "x"), ("b", "y", 1), ("c", "x"), ("b", "z"), ())] == [7, 6, 2, 3, 1]
    assert document.fields(("b",)) == {"<<": 4, "y": 5, "x": 7}
    assert document.value["b"] == {"x": 3, "y": [1, 2]}
    json = YamlDocument('{"a":\t[\n{"b": "\\ud83d\\ude00"}]}' + ("" if not padding else " " * 70_000))
    assert (json.line(("a", 0, "b")), json.value) == (2, {"a": [{"b": "\U0001f600"}]})


@pytest.mark.parametrize(
    "text", ['{"a":' * 200_000, "[" * 100_000, "- " * 3_000 + "x", '{"a":' * 5_000 + "1" + "}" * 5_000]
)
def test_a_text_that_is_nested_deep_is_refused_in_a_sentence(text: str) -> None:
    """Never a traceback, and in bounded time."""
    with pytest.raises(YamlError, match=r"nest|depth|YAML"):
        YamlDocument(text)
