"""docs/requirements.md and docs/conformance.md, from docs/requirements.yaml; `make pages` writes them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

DOCS: Final = Path(__file__).parents[2] / "docs"


class Requirement(msgspec.Struct, forbid_unknown_fields=True):
    """A requirement of `spec`, under the number by which code and tests name it."""

    id: str
    asks: str
    does: str
    where: list[str]
    shown: list[str]
    missing: str = ""


class Sentence(msgspec.Struct, forbid_unknown_fields=True):
    """A sentence of the standard that says MUST, MUST NOT or RECOMMENDED, in our own words.

    Attributes:
        by: The requirement that says what we do, where `does` and `shown` do not.
        departs: Where we do something else, or leave something out, and why.
    """

    text: str
    section: str
    strength: str
    says: str
    by: str = ""
    does: str = ""
    shown: list[str] = msgspec.field(default_factory=list)
    departs: str = ""


class Source(msgspec.Struct, forbid_unknown_fields=True):
    """The file."""

    requirements: list[Requirement]
    sentences: list[Sentence]


REQUIREMENTS_HEAD: Final = """\
# What the standard asks, and how it is met

The requirements of *Logboek Dataverwerkingen* under the numbers that code and tests name them by: A is the application,
X other organisations, L the Logboek, R reading (extension *lezen*), N what is new since. **Missing** names what is not
implemented. Sentence by sentence of the standard: [conformance.md](conformance.md). Both pages are made of
[requirements.yaml](requirements.yaml) by `make pages`; a test checks that the modules and tests exist.

| requirement | what does it | where | shown by |
| --- | --- | --- | --- |
"""
REQUIREMENTS_TAIL: Final = """\

The older GEMMA standard is offered beside this one: [gemma.md](gemma.md). Of extension *NEN 7513* only the attributes
are kept.
"""
CONFORMANCE_HEAD: Final = """\
# Conformance

Each sentence of the core of *Logboek Dataverwerkingen* and of its extension *lezen* that says MUST, MUST NOT or
RECOMMENDED, in our own words and in the order of the text (working versions of autumn 2026; notes and examples are not
normative). **Not so** says where we do something else. The numbers are those of [requirements.md](requirements.md);
this page is made of [requirements.yaml](requirements.yaml) by `make pages`, and a test checks that the tests exist.

How to move from the form of *lezen* of 2025 to that of 2026: [moving.md](moving.md). What we add to a record:
[extension.md](extension.md).
"""
TITLES: Final = {"core": "Core", "lezen": "Extension *lezen*"}


def read_source() -> Source:
    """Return what the file says."""
    content: Any = yaml.safe_load((DOCS / "requirements.yaml").read_text(encoding="utf-8"))
    return msgspec.convert(content, Source)


def requirements_page(source: Source) -> str:
    """Return docs/requirements.md."""
    rows = [
        _row(
            f"{each.id} {each.asks}",
            each.does + (f". **Missing**: {each.missing}" if each.missing else ""),
            _code(each.where),
            _code(each.shown),
        )
        for each in source.requirements
    ]
    return REQUIREMENTS_HEAD + "".join(rows) + REQUIREMENTS_TAIL


def conformance_page(source: Source) -> str:
    """Return docs/conformance.md."""
    requirements = {each.id: each for each in source.requirements}
    parts = [CONFORMANCE_HEAD]
    for text, title in TITLES.items():
        parts.append(f"\n## {title}\n\n| section | it says | what we do | shown by |\n| --- | --- | --- | --- |\n")
        for each in source.sentences:
            if each.text != text:
                continue
            met = requirements.get(each.by)
            does = each.does or (met.does if met else "")
            missing = f". **Missing**: {met.missing}" if met and met.missing else ""
            departs = f". **Not so**: {each.departs}" if each.departs else ""
            number = f" ({each.by})" if each.by else ""
            shown = each.shown or (met.shown if met else [])
            parts.append(
                _row(
                    each.section,
                    f"**{each.strength}** {each.says}",
                    f"{does}{missing}{departs}{number}",
                    _code(shown),
                )
            )
    return "".join(parts)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    whole = read_source()
    (DOCS / "requirements.md").write_text(requirements_page(whole), encoding="utf-8")
    (DOCS / "conformance.md").write_text(conformance_page(whole), encoding="utf-8")
