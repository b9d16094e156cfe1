"""What was a number, a boolean or a list stays one in answers of the newest form (LDV-N7a)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given

from ldv_otel import Logregel
from ldv_otel import attributes as names
from ldv_otel._internal.privacy.redaction import Redactor
from ldv_otel._internal.privacy.stray_numbers import StrayNumbers
from ldv_otel._internal.record.builder import LogregelBuilder, redacted
from ldv_otel._internal.record.read_form import data_processing_operation, processing_activity
from tests.strategies import anything

BSN = "123456782"


def made(value: object, redactor: Redactor | None = None, name: str = "dpl.x") -> Logregel:
    """A record with an attribute."""
    builder = LogregelBuilder(b"t" * 16, b"s" * 8, redactor, stray=StrayNumbers())
    builder.name("x")
    builder.period(0, 0)
    builder.span_attributes({name: value})
    return builder.build()


@pytest.mark.parametrize(
    "value",
    [0, -5, 2.5, 1e300, True, False, [1, "a", None], ("a", "b"), {"a": [1.5, {"b": True}]}, 10**30, "5", "true", "[1]"],
)
def test_the_type_is_kept(value: Any) -> None:
    """A text that looks like a number is a text."""
    shown = data_processing_operation(made(value))["attributes"]["dpl.x"]
    wanted = list(value) if isinstance(value, tuple) else value
    assert (type(shown), shown) == (type(wanted), wanted)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"raw", None, pytest.param(10**5000, id="huge")])
def test_what_json_does_not_have_is_text(value: Any) -> None:
    """As it is stored."""
    record = made(value)
    assert data_processing_operation(record)["attributes"]["dpl.x"] == record.attributes["dpl.x"]


def test_the_form_of_2025_has_texts() -> None:
    """Its answers stay as they were."""
    assert processing_activity(made(5))["attributes"]["dpl.x"] == "5"
    assert names.JSON_VALUES not in str(processing_activity(made(5)))
    assert names.JSON_VALUES not in str(data_processing_operation(made(5)))


def test_a_number_of_somebody_is_no_number_any_more() -> None:
    """Known to the record, stray, or known only later; in the name too."""
    known = Redactor([(BSN, "BSN")])
    for record in (
        made(int(BSN), known),
        made(int(BSN)),
        redacted(made([1, 7_7_7_7_7], None), Redactor([("77777", None)])),
    ):
        assert BSN not in str(data_processing_operation(record))
        assert "77777" not in str(data_processing_operation(record))
    record = redacted(made(5, name=f"dpl.{BSN}"), known)
    assert BSN not in str(record)


@given(anything)
def test_any_value_has_an_answer(value: object) -> None:
    """Whatever is stored, the answer is JSON."""
    record = made(value)
    assert msgspec.json.decode(msgspec.json.encode(data_processing_operation(record)))
