"""Names that are written from right to left, or pretend to be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldv_otel._internal.api.pages.rendering import _environment
from ldv_otel._internal.cli.rendering import plain
from ldv_otel._internal.record.bidirectional import isolated

CONTROLS = [chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))]


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: f"U+{ord(control):04X}")
def test_a_control_is_seen_and_does_nothing(control: str) -> None:
    """It would turn round what stands behind it on the line, which is ours."""
    assert isolated(f"Wijzig{control}kenteken") == "Wijzig\ufffdkenteken"
    assert plain(f"a{control}\n") == "a\ufffd\ufffd"


@pytest.mark.parametrize("text", ["\u05d0\u05d1", "x \u0627", "\u200f1", "\u061c(1)"])
def test_what_runs_from_right_to_left_is_isolated(text: str) -> None:
    """Its own direction ends with it."""
    assert isolated(text) == f"\u2068{text}\u2069"


@given(st.text())
def test_the_isolate_cannot_be_left(text: str) -> None:
    """Whatever a name holds: the only controls are the pair around it, and nothing else of it changes."""
    shown = isolated(text)
    inner = shown[1:-1] if shown.startswith("\u2068") else shown
    assert not set(CONTROLS) & set(inner)
    assert len(inner) == len(text)
    assert all(a == b or a in CONTROLS for a, b in zip(text, inner, strict=True))
    assert not text.isascii() or shown == text


def test_every_text_of_a_page_is_isolated() -> None:
    """In elements and in attributes; what is HTML already stays as it is."""
    template = _environment.from_string(
        '{% macro m(x) %}<b>{{ x }}</b>{% endmacro %}<a title="{{ name }}">{{ name }}</a>{{ m(name) }}{{ number }}'
    )
    name = "\u05d0\u202e<"
    shown = "\u2068\u05d0\ufffd&lt;\u2069"
    assert template.render(name=name, number=7) == f'<a title="{shown}">{shown}</a><b>{shown}</b>7'
