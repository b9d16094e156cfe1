"""Files as they lie on disks: what is packed is unpacked, what is damaged or of another form is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldv_otel._internal.http.zstd import zstd_module
from ldv_otel._internal.importer import packing
from ldv_otel._internal.importer.packing import unpacked
from ldv_otel._internal.importer.spans import FileSpans, ImportProblem, read_spans
from ldv_otel.errors import UnreadableInput
from tests.importer.spelling import MAKER

FILES = Path(__file__).parent.parent / "data" / "fileexporter"


def compress(content: bytes) -> bytes:
    """Pack it with zstd."""
    return bytes(zstd_module().compress(content))


def framed(*messages: bytes) -> bytes:
    """Write the messages as the file exporter does, with the length before each."""
    return b"".join(len(message).to_bytes(4, "big") + message for message in messages)


def read(content: bytes) -> FileSpans:
    """What a file gives."""
    return read_spans(content, file="f", resource_of=MAKER.record_resource)


@pytest.mark.parametrize("name", ["json", "json-zstd"])
def test_what_the_file_exporter_wrote_is_read(name: str) -> None:
    """Plain and packed, by the exporter itself, the same three spans come out."""
    reading = read((FILES / name).read_bytes())
    assert reading.problems == []
    assert [span.span_id[-1] for span in reading.spans] == [1, 2, 3]
    assert all(span.facts is not None for span in reading.spans)


@pytest.mark.parametrize("name", ["proto", "proto-zstd"])
def test_binary_otlp_is_said_to_be_that(name: str) -> None:
    """With the setting that helps, instead of a thousand lines that are not JSON."""
    reading = read((FILES / name).read_bytes())
    assert not reading.spans
    (problem,) = reading.problems
    assert "`format: json`" in problem.reason


def test_a_message_is_named_by_its_number() -> None:
    """As a line of a plain file is."""
    messages = [compress(text) for text in (b'{"resourceSpans": []}\n', b"{broken\n", b'{"message": "x"}')]
    problems = read(framed(*messages)).problems
    assert [problem.location for problem in problems] == ["line 2", "line 3"]


@given(texts=st.lists(st.binary(max_size=200), min_size=1, max_size=4), pack=st.sampled_from(["joined", "framed"]))
def test_what_was_packed_comes_out(texts: list[bytes], pack: str) -> None:
    """Streams may be joined, as log rotation does, or stand with their lengths."""
    whole = b"".join(map(compress, texts)) if pack == "joined" else framed(*map(compress, texts))
    if pack == "framed" and any(text.startswith(b"\x0a") for text in texts):
        with pytest.raises(UnreadableInput, match="protobuf"):
            unpacked(whole)
        return
    expected = b"".join(texts) if pack == "joined" else b"\n".join(t.replace(b"\n", b" ").rstrip() for t in texts)
    assert unpacked(whole) == (expected, "")


@pytest.mark.parametrize("wrap", [lambda packed: packed, framed], ids=["stream", "framed"])
def test_a_cut_gives_what_comes_before(wrap: Callable[[bytes], bytes]) -> None:
    """A crash costs the end of the file, and the end is named."""
    lines = b"".join(b'{"a": %d}' % number for number in range(100_000))
    whole = wrap(compress(lines))
    content, reason = unpacked(whole[:-2_000])
    assert reason == "the zstd stream is cut off"
    assert lines.startswith(content)
    assert len(content) > 100_000
    assert ImportProblem("f", "", reason) in read(wrap(compress(b'{"resourceMetrics": []}' * 9))[:-3]).problems


def test_damage_gives_what_comes_before() -> None:
    """A broken message ends the reading: where the next begins is not known any more."""
    good, broken = compress(b'{"a": 1}'), compress(b'{"b": 2}' * 50)
    assert unpacked(good + b"no zstd") == (
        b'{"a": 1}',
        "the zstd stream is damaged; what comes after the damage was not read",
    )
    content, reason = unpacked(framed(good, broken[:9] + b"\xff" * (len(broken) - 9), good))
    assert content.startswith(b'{"a": 1}')
    assert "damaged" in reason


@pytest.mark.parametrize("wrap", [lambda packed: packed, framed], ids=["stream", "framed"])
def test_a_bomb_is_refused_before_it_is_unpacked(
    monkeypatch: pytest.MonkeyPatch, wrap: Callable[[bytes], bytes]
) -> None:
    """Some bytes of zstd may stand for any number of bytes."""
    monkeypatch.setattr(packing, "CONTENT_MAX_BYTES", 1 << 20)
    with pytest.raises(UnreadableInput, match="larger than 1 MiB unpacked"):
        unpacked(wrap(compress(bytes(1 << 28))))
