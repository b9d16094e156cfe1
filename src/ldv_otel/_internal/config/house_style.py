"""An organisation's own words, colours and logo for the pages and letters, from a folder that is checked at the start.

The folder of `LDV_HOUSE_STYLE` may have `texts.yaml`, `tokens.yaml`, and `logo.svg` or `logo.png`; nothing else, for a
file with a slip in its name would be left out in silence.
"""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Final

import msgspec

from ldv_otel._internal.config.yaml_file import read_yaml
from ldv_otel.errors import ConfigurationError

_VARIABLE: Final = "LDV_HOUSE_STYLE"
_TEXTS: Final = "texts.yaml"
_TOKENS: Final = "tokens.yaml"
_LOGOS: Final = {"logo.svg": "image/svg+xml", "logo.png": "image/png"}
_PNG: Final = b"\x89PNG\r\n\x1a\n"
LOGO_BYTES: Final = 100_000
TEXT_CHARACTERS: Final = 600
_COLOUR: Final = re.compile(r"#[0-9a-fA-F]{6}")
_UNSEEN: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
#: What could act, or bring something in from elsewhere; a logo needs none of it.
_ACTIVE: Final = re.compile(
    rb"<script|<foreignObject|<!DOCTYPE|<!ENTITY|\son[a-z]+\s*=|javascript:|https?://(?!www\.w3\.org/)", re.IGNORECASE
)
#: Up to here a part of a colour in sRGB is linear.
_LINEAR: Final = 0.04045
#: WCAG 2.2, 1.4.3.
_LEAST_CONTRAST: Final = 4.5
_PAPER: Final = "#ffffff"
#: What stands on the ground beside links and text, as in inzage.css.
_QUIET: Final = "#4a5866"


def contrast(first: str, second: str) -> float:
    """Return the contrast of two colours, 1 to 21, as WCAG 2.2 counts it."""
    lighter, darker = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= _LINEAR else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


class HouseTexts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Texts of the organisation; an empty one is the page's own.

    Attributes:
        timeline: Below the title of the page for citizens.
        correction: What to do when something is wrong, at the foot of each page for citizens.
        complaint: Where to complain, there and in the Dutch letter.
        letter: How a Dutch letter begins.
        letter_closing: How it ends, before the organisation's name.
        letter_en: How an English letter begins.
        letter_closing_en: How it ends.
    """

    timeline: str = ""
    correction: str = ""
    complaint: str = ""
    letter: str = ""
    letter_closing: str = ""
    letter_en: str = ""
    letter_closing_en: str = ""

    def __post_init__(self) -> None:
        """Refuse what would not be read as a text."""
        for name in self.__struct_fields__:
            text = getattr(self, name)
            if len(text) > TEXT_CHARACTERS:
                raise ValueError(f"{name} has more than {TEXT_CHARACTERS} characters")
            if _UNSEEN.search(text):
                raise ValueError(f"{name} has characters that cannot be seen")


class HouseTokens(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Colours of the organisation, as `#rrggbb`.

    Attributes:
        main: Behind the name at the top, and of headings and buttons.
        main_dark: Of a button below the pointer.
        link: Of links.
        ground: Behind everything.
    """

    main: str = "#154273"
    main_dark: str = "#0d2f55"
    link: str = "#0b5cad"
    ground: str = "#f3f6f9"

    def __post_init__(self) -> None:
        """Refuse what is no colour, or what people with weak eyes could not read."""
        for name in self.__struct_fields__:
            if not _COLOUR.fullmatch(getattr(self, name)):
                raise ValueError(f"{name} is no colour like #154273")
        pairs = {
            ("main", "white"): contrast(self.main, _PAPER),
            ("main_dark", "white"): contrast(self.main_dark, _PAPER),
            ("main", "ground"): contrast(self.main, self.ground),
            ("link", "white"): contrast(self.link, _PAPER),
            ("link", "ground"): contrast(self.link, self.ground),
            ("ground", "the grey of small text"): contrast(self.ground, _QUIET),
        }
        for (name, other), ratio in pairs.items():
            if ratio < _LEAST_CONTRAST:
                raise ValueError(
                    f"{name} against {other} has a contrast of {ratio:.1f} to 1; it takes {_LEAST_CONTRAST} (WCAG 2.2)"
                )


class HouseLogo(msgspec.Struct, frozen=True):
    """A logo: its content and media type."""

    content: bytes
    media_type: str

    @property
    def data_uri(self) -> str:
        """The logo as an address that holds it, for a letter, which is one file."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.content).decode()}"


class HouseStyle(msgspec.Struct, frozen=True):
    """What an organisation has of its own."""

    texts: HouseTexts = HouseTexts()
    tokens: HouseTokens = HouseTokens()
    logo: HouseLogo | None = None

    @property
    def css(self) -> bytes:
        """The colours as the last rule of a stylesheet."""
        names = {name: name.replace("_", "-") for name in HouseTokens.__struct_fields__}
        rules = "; ".join(f"--{css}: {getattr(self.tokens, name)}" for name, css in names.items())
        return f":root {{ {rules}; }}\n".encode()


def read_house_style(folder: Path | None) -> HouseStyle:
    """Return what is in a folder.

    Args:
        folder: None for nothing of one's own.

    Raises:
        ConfigurationError: Something in it cannot be used, or means nothing; it names the file, line and field.
    """
    if folder is None:
        return HouseStyle()
    try:
        names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    except OSError as error:
        raise _refused(f"the folder {folder} cannot be read ({error.strerror})", "name the right folder") from error
    if unknown := sorted(names - {_TEXTS, _TOKENS, *_LOGOS}):
        allowed = ", ".join((_TEXTS, _TOKENS, *_LOGOS))
        raise _refused(f"{folder} has {', '.join(unknown)}, which means nothing here", f"have {allowed} only")
    logos = sorted(names & set(_LOGOS))
    if len(logos) > 1:
        raise _refused(f"{folder} has two logos", "have one")
    return HouseStyle(
        read_yaml(folder / _TEXTS, _VARIABLE, HouseTexts) if _TEXTS in names else HouseTexts(),
        read_yaml(folder / _TOKENS, _VARIABLE, HouseTokens) if _TOKENS in names else HouseTokens(),
        _logo(folder / logos[0]) if logos else None,
    )


def _logo(path: Path) -> HouseLogo:
    try:
        with path.open("rb") as file:
            content = file.read(LOGO_BYTES + 1)
    except OSError as error:
        raise _refused(f"{path} cannot be read ({error.strerror})", "let it be readable") from error
    if len(content) > LOGO_BYTES:
        raise _refused(f"{path} is larger than {LOGO_BYTES} bytes", "make it smaller")
    if path.suffix == ".png":
        if not content.startswith(_PNG):
            raise _refused(f"{path} is no PNG", "put a picture there")
    elif b"<svg" not in content[:2_000]:
        raise _refused(f"{path} is no SVG", "put a picture there")
    elif active := _ACTIVE.search(content):
        raise _refused(f"{path} has {active[0].decode('ascii', 'replace').strip()!r}", "keep the shapes only")
    return HouseLogo(content, _LOGOS[path.name])


def _refused(what: str, way_out: str) -> ConfigurationError:
    return ConfigurationError(f"{_VARIABLE}: {what}. Nothing was started. Let it {way_out}.")
