"""The SDK and the Collector's processor agree about people and texts: both are held to one file.

`collector-config/ldvprocessor/vectors_test.go` reads it in Go.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ldv_otel._internal.privacy.pseudonyms import Key, KeyRing, Pseudonymiser
from ldv_otel._internal.privacy.redaction import Redactor
from ldv_otel._internal.privacy.stray_numbers import StrayNumbers
from ldv_otel._internal.record.builder import resource_of
from ldv_otel._internal.record.resource_choice import ResourceChoice
from ldv_otel.attributes import LEFT_OUT

FILE = Path(__file__).parents[2] / "collector-config" / "ldvprocessor" / "testdata" / "vectors.json"
VECTORS = json.loads(FILE.read_text(encoding="utf-8"))
KEY = Key(id=VECTORS["key_id"], secret=VECTORS["secret"])


def value_of(given: dict[str, Any]) -> object:
    """The value as an application has it."""
    ((kind, text),) = given.items()
    kinds: dict[str, Callable[[str], object]] = {"int": int, "double": float, "bytes": base64.b64decode}
    return kinds[kind](text) if kind in kinds else text


def test_people_are_those_of_the_file() -> None:
    """Pseudonym, type and flags of every kind of value."""
    pseudonymiser = Pseudonymiser(KeyRing([KEY], active=KEY.id))
    for one in VECTORS["people"]:
        found = pseudonymiser.subject(value_of(one["value"]), one["type"])
        said = (found.pseudonym.hex(), found.type, sorted(set(found.flags)))
        assert said == (one["pseudonym"], one["stored_type"], one["flags"]), one


def test_texts_are_redacted_as_in_the_file() -> None:
    """What is found, and what is left around it."""
    for one in VECTORS["quotes"]:
        assert Redactor([(one["identifier"], one["type"])]).text(one["text"]) == one["redacted"], one


def test_stray_numbers_are_masked_as_in_the_file() -> None:
    """A BSN that nobody named (LDV-N14)."""
    for one in VECTORS["stray"]:
        assert StrayNumbers().text(one["text"]) == one["masked"], one


def test_of_resources_is_kept_what_the_file_says() -> None:
    """And what is not kept, is named (LDV-N8)."""
    for one in VECTORS["resources"]:
        choice = ResourceChoice(word.strip() for word in one["further"].split(",") if word)
        resource = json.loads(resource_of(dict.fromkeys([*one["kept"], *one["removed"]], "x"), choice).text)
        assert resource.pop(LEFT_OUT, "") == one["left_out"], one
        assert sorted(resource) == sorted(one["kept"]), one
