"""The examples of docs/gemma*.md are read by what reads such files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ldv_otel._internal.config.yaml_file import parse_yaml
from ldv_otel._internal.gemma.consumer.doelbinding import DoelbindingExtension, open_extension
from ldv_otel._internal.gemma.provider.clients import GemmaClientsFile
from ldv_otel._internal.parties.parties import Parties, PartiesFile

DOCS = Path(__file__).parents[2] / "docs"
PAGE = "".join((DOCS / name).read_text(encoding="utf-8") for name in ("gemma.md", "gemma-sending.md"))


def example(word: str, type_: type[Any]) -> Any:
    """The example that begins with a word."""
    found, *_ = re.findall(rf"```yaml\n({word}:.*?)```", PAGE, re.DOTALL)
    return parse_yaml(found, "gemma.md", type_)


def test_the_file_of_clients() -> None:
    """With all its settings, which are the defaults where the page says so."""
    file = example("clients", GemmaClientsFile)
    assert [client.id for client in file.clients] == ["zaaksysteem", "burgerportaal"]
    assert file.autorisaties is not None
    assert file.autorisaties.component_inzage == type(file.autorisaties)(url="https://x", client_id="").component_inzage
    assert file.token_minutes == GemmaClientsFile().token_minutes


def test_the_file_of_parties() -> None:
    """A party that is sent the headers, of an extension that takes its options."""
    parties = Parties(example("extensions", PartiesFile))
    assert parties.headers("brp.gemeente.example", 443) == ("gemma",)
    assert open_extension(parties.extensions["gemma"]).attributes == DoelbindingExtension.attributes


def test_every_attribute_is_on_the_page() -> None:
    """What an application may say, and nothing else is said to be so."""
    (table,) = re.findall(r"\n\| attribute \| holds for.*?\n\n", PAGE, re.DOTALL)
    assert set(re.findall(r"`(gemma\.[a-z_]+)`", table)) == DoelbindingExtension.attributes
