"""An organisation's own words, colours and logo: what cannot be used is refused at the start, with its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldv_otel._internal.config.house_style import LOGO_BYTES, HouseStyle, contrast, read_house_style
from ldv_otel.errors import ConfigurationError

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><path d="M0 0h1v1z"/></svg>'
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20


def folder_with(path: Path, **files: bytes) -> Path:
    """A folder with files; `_` in a name stands for a point."""
    for name, content in files.items():
        (path / name.replace("_", ".")).write_bytes(content)
    return path


def test_a_folder_is_read(tmp_path: Path) -> None:
    """What it has; the rest stays as it is."""
    house = read_house_style(
        folder_with(tmp_path, texts_yaml=b"letter: Beste inwoner\n", tokens_yaml=b"main: '#660033'\n", logo_svg=SVG)
    )
    assert house.texts.letter == "Beste inwoner"
    assert house.texts.complaint == ""
    assert b"--main: #660033" in house.css
    assert b"--main-dark: #0d2f55" in house.css
    assert house.logo is not None
    assert house.logo.data_uri.startswith("data:image/svg+xml;base64,")


def test_without_a_folder_nothing_changes() -> None:
    """Nor with an empty one."""
    assert read_house_style(None) == HouseStyle()


def test_an_empty_folder_is_nothing(tmp_path: Path) -> None:
    """Hidden files are the file system's."""
    assert read_house_style(folder_with(tmp_path, _DS_Store=b"x")) == HouseStyle()


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "no folder": (lambda path: path / "nowhere", "cannot be read"),
    "a slip in a name": (lambda path: folder_with(path, text_yaml=b""), "text.yaml, which means nothing"),
    "an unknown text": (lambda path: folder_with(path, texts_yaml=b"\nleter: x\n"), "texts.yaml:2"),
    "a long text": (lambda path: folder_with(path, texts_yaml=b"letter: " + b"x" * 601), "more than 600"),
    "an unseen sign": (lambda path: folder_with(path, texts_yaml="letter: a\u202eb\n".encode()), "cannot be seen"),
    "no colour": (lambda path: folder_with(path, tokens_yaml=b"main: blue\n"), "no colour"),
    "css": (lambda path: folder_with(path, tokens_yaml=b"main: '#154273; } body { display: none'\n"), "no colour"),
    "a pale colour": (lambda path: folder_with(path, tokens_yaml=b"link: '#99ccff'\n"), "contrast of 1.7 to 1"),
    "a dark ground": (lambda path: folder_with(path, tokens_yaml=b"ground: '#888888'\n"), "contrast"),
    "two logos": (lambda path: folder_with(path, logo_svg=SVG, logo_png=PNG), "two logos"),
    "no png": (lambda path: folder_with(path, logo_png=SVG), "is no PNG"),
    "no svg": (lambda path: folder_with(path, logo_svg=b"<html>"), "is no SVG"),
    "a large logo": (lambda path: folder_with(path, logo_png=PNG + b"\0" * LOGO_BYTES), "larger than"),
    "a script": (lambda path: folder_with(path, logo_svg=SVG + b"<script>"), "<script"),
    "an event": (lambda path: folder_with(path, logo_svg=b"<svg onload='x()'/>"), "onload="),
    "an entity": (lambda path: folder_with(path, logo_svg=b"<!DOCTYPE svg><svg/>"), "<!DOCTYPE"),
    "a link": (
        lambda path: folder_with(path, logo_svg=b"<svg><image href='https://evil.example/'/></svg>"),
        "https://",
    ),
}


@pytest.mark.parametrize(("made", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_used_is_refused(tmp_path: Path, made: Callable[[Path], Path], said: str) -> None:
    """By file, and by line where there is one."""
    with pytest.raises(ConfigurationError, match="LDV_HOUSE_STYLE") as refused:
        read_house_style(made(tmp_path))
    assert said in str(refused.value)


@given(st.integers(0, 0xFFFFFF), st.integers(0, 0xFFFFFF))
def test_contrast_is_one_to_twenty_one(first: int, second: int) -> None:
    """The same in either order."""
    colours = f"#{first:06x}", f"#{second:06x}"
    assert 1 <= contrast(*colours) <= 21.01
    assert contrast(*colours) == contrast(*colours[::-1])
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
