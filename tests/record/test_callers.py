"""LDV-N10: where another application called, a record says so, also when nobody knows which."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from ldv_otel import Logregel
from ldv_otel import attributes as names
from ldv_otel._internal.api.pages.view import DutchTexts
from ldv_otel._internal.cli.rendering import logregel_label
from ldv_otel._internal.config.settings import read_settings
from ldv_otel._internal.config.variables import UNKNOWN_CALLER_URL
from ldv_otel._internal.privacy.pseudonyms import DataSubject
from ldv_otel._internal.record.actie import LogregelMaker
from ldv_otel._internal.record.callers import is_unknown_caller, processor_of, restarted
from ldv_otel._internal.record.read_form import nested_attributes
from ldv_otel._internal.record.span_facts import EnclosingActie, ForeignOperation, SpanFacts
from ldv_otel._internal.record.standard_json import as_standard
from ldv_otel.errors import ConfigurationError

TRACE, OTHER, SPAN, CALLER = b"t" * 16, b"o" * 16, b"s" * 8, b"c" * 8
PAGE = "https://www.gemeente.example/onbekend"
KNOWN = "https://rdw.example/app"


def made(attributes: dict[str, object] | None = None, **more: Any) -> Logregel:
    """The record of an Actie."""
    maker = LogregelMaker(lambda *_: DataSubject(b"", "", ""), unknown_caller=PAGE)
    facts = SpanFacts(
        trace_id=TRACE,
        span_id=SPAN,
        name="x",
        start_time_ns=0,
        end_time_ns=0,
        attributes={names.PROCESSING_ACTIVITY_ID: "urn:a"} | (attributes or {}),
        **more,
    )
    (record,) = maker.make(facts)
    return record


@pytest.mark.parametrize(
    ("attributes", "foreign", "processor"),
    [
        ({}, None, ""),
        ({}, ForeignOperation(TRACE, CALLER), PAGE),
        ({}, ForeignOperation(OTHER, CALLER), PAGE),
        ({}, ForeignOperation(TRACE, CALLER, KNOWN), KNOWN),
        ({}, ForeignOperation(b"", b"", KNOWN), KNOWN),
        ({names.FOREIGN_OPERATION_TRACE_ID: OTHER.hex()}, None, PAGE),
        ({names.FOREIGN_OPERATION_SPAN_ID: "no id at all"}, None, PAGE),
        ({"foreign_operation.span_id": CALLER.hex()}, None, PAGE),
        ({"foreign_operation.span_id": CALLER.hex(), "foreign_operation.processor": KNOWN}, None, KNOWN),
        ({names.FOREIGN_OPERATION_PROCESSOR: KNOWN}, ForeignOperation(TRACE, CALLER), KNOWN),
        ({names.FOREIGN_OPERATION_PROCESSOR: "", names.FOREIGN_OPERATION_SPAN_ID: ""}, None, ""),
    ],
)
def test_whoever_called_a_record_has_a_processor(
    attributes: dict[str, object], foreign: ForeignOperation | None, processor: str
) -> None:
    """An own parent has none, so that the two can be told apart."""
    assert made(attributes, foreign=foreign).foreign_operation_processor == processor


def test_an_own_parent_is_no_caller() -> None:
    """It names an Actie of this Logboek."""
    record = made(enclosing=EnclosingActie(CALLER, "urn:b"))
    assert (record.parent_span_id, processor_of(record)) == (CALLER, "")


def test_a_record_of_before_has_ids_alone() -> None:
    """Readers show that another application called, as of new records."""
    old = msgspec.structs.replace(made(foreign=ForeignOperation(TRACE, CALLER)), foreign_operation_processor="")
    assert processor_of(old) == UNKNOWN_CALLER_URL
    assert nested_attributes(old)["dpl"]["core"]["foreignOperation"] == {"processor": UNKNOWN_CALLER_URL}
    assert as_standard(old)["attributes"][names.FOREIGN_OPERATION_PROCESSOR] == UNKNOWN_CALLER_URL
    assert processor_of(made()) == ""


@pytest.mark.parametrize(
    ("url", "unknown"),
    [
        (PAGE, True),
        (UNKNOWN_CALLER_URL, True),
        ("https://x.invalid/a", True),
        (KNOWN, False),
        ("", False),
        ("//[", False),
    ],
)
def test_which_address_is_nobodys(url: str, unknown: bool) -> None:
    """The one that is set here, the default, and any that can exist nowhere."""
    assert is_unknown_caller(url, PAGE) is unknown


def test_ids_are_shown_where_they_say_something() -> None:
    """In a trace that goes on, trace and parent say them."""
    continued = made(foreign=ForeignOperation(TRACE, CALLER, KNOWN))
    other = made(foreign=ForeignOperation(OTHER, CALLER))
    assert (restarted(continued), restarted(other), restarted(made())) == (False, True, False)
    assert names.FOREIGN_OPERATION_TRACE_ID not in as_standard(continued)["attributes"]
    assert names.FOREIGN_OPERATION_SPAN_ID not in as_standard(continued)["attributes"]
    assert as_standard(other)["attributes"][names.FOREIGN_OPERATION_SPAN_ID] == CALLER.hex()
    assert f"foreign operation: {KNOWN}" in logregel_label(continued).plain
    assert CALLER.hex() in logregel_label(other).plain


def test_pages_and_commands_name_no_party_that_is_none() -> None:
    """The address of an unknown caller is no host to name to a citizen."""
    texts = DutchTexts({}, {}, ZoneInfo("Europe/Amsterdam"), unknown_caller=PAGE)
    unknown, known, own = (
        made(foreign=ForeignOperation(TRACE, CALLER)),
        made(foreign=ForeignOperation(TRACE, CALLER, KNOWN)),
        made(),
    )
    assert [texts.step(record).asked_by for record in (unknown, known, own)] == ["een ander systeem", "rdw.example", ""]
    assert [texts.names_other_party(record) for record in (unknown, known, own)] == [False, True, False]
    default = msgspec.structs.replace(unknown, foreign_operation_processor=UNKNOWN_CALLER_URL)
    assert "foreign operation: unknown caller" in logregel_label(default).plain


@pytest.mark.parametrize(
    "url", ["urn:onbekend", "http://x.example", "https://", "https://a:b@x.example", "https://x y", "//["]
)
def test_an_address_that_others_refuse_stops_the_start(url: str) -> None:
    """It has to be absolute and https."""
    with pytest.raises(ConfigurationError, match="LDV_UNKNOWN_CALLER_URL"):
        read_settings({"LDV_LOGBOEK": "chdb:///x", "LDV_UNKNOWN_CALLER_URL": url})
