"""The same person whatever a number was written as, nobody where it is missing, and a flag where it was guessed."""

from __future__ import annotations

import importlib
import json
import uuid
from collections.abc import Callable, Sequence
from decimal import Decimal
from enum import Enum
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from pydantic import SecretBytes, SecretStr

import ldv_otel as ldv
from ldv_otel import testing
from ldv_otel._internal.importer.parents import link
from ldv_otel._internal.importer.spans import read_spans
from ldv_otel._internal.privacy.identifiers import passes_eleven_test, read_identifier
from ldv_otel._internal.privacy.pseudonyms import normalise_identifier
from ldv_otel._internal.record.actie import LogregelMaker
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.rules.rules import read_rules
from ldv_otel._internal.sdk.attach import attach
from ldv_otel._internal.sdk.processor import LdvSpanProcessor
from ldv_otel._internal.sdk.span_rules import SpanMapper
from ldv_otel.attributes import DATA_SUBJECT_ID, DATA_SUBJECT_ID_TYPE, PROCESSING_ACTIVITY_ID, Flag
from ldv_otel.testing import _AtOnce
from tests.importer.spelling import PSEUDONYMISER
from tests.strategies import anything

#: Without types of its own.
pd: Any = importlib.import_module("pandas")
ACTIVITY: Final = "https://register.example/a"
BSN: Final = "012345672"
FULL_WIDTH: Final = str.maketrans("0123456789", "".join(chr(0xFF10 + digit) for digit in range(10)))
ARABIC: Final = str.maketrans("0123456789", "".join(chr(0x660 + digit) for digit in range(10)))


class Number(Enum):
    """A number as a member of an Enum of texts."""

    ONE = BSN


#: Spellings of the same number that leave nothing to guess.
PLAIN: Final[dict[str, Callable[[str], object]]] = {
    "text": str,
    "integer": int,
    "float": float,
    "numpy integer": lambda digits: np.int64(int(digits)),
    "numpy float": lambda digits: np.float64(int(digits)),
    "decimal": Decimal,
    "decimal with cents": lambda digits: Decimal(f"{digits}.00"),
    "text of a float": lambda digits: f"{digits}.0",
    "without its zeros": lambda digits: digits.lstrip("0"),
    "dots": lambda digits: f"{digits[:3]}.{digits[3:6]}.{digits[6:]}",
    "spaces": lambda digits: f" {digits[:3]}\u00a0{digits[3:6]} {digits[6:]}\n",
    "full width": lambda digits: digits.translate(FULL_WIDTH),
    "Arabic": lambda digits: digits.translate(ARABIC),
    "invisible marks": lambda digits: f"\ufeff{digits[:4]}\u200b\u00ad{digits[4:]}\u2069",
    "bytes": str.encode,
    "bytearray": lambda digits: bytearray(digits.encode()),
    "memoryview": lambda digits: memoryview(digits.encode()),
    "UTF-16": lambda digits: digits.encode("utf-16"),
    "secret": SecretStr,
    "secret bytes": lambda digits: SecretBytes(digits.encode()),
    "secret in a secret": lambda digits: SecretStr(f"{digits}.0"),
}
#: Spellings that somebody has to have meant like this.
GUESSED: Final[dict[str, Callable[[str], object]]] = {
    "dashes": lambda digits: f"{digits[:3]}-{digits[3:6]}\u2011{digits[6:]}",
    "commas": lambda digits: f"{digits[:3]},{digits[3:6]},{digits[6:]}",
    "underscores": lambda digits: f"{digits[:3]}__{digits[3:]}",
    "comma of decimals": lambda digits: f"{digits},0",
    "more zeros": lambda digits: f"00{digits}",
    "exponent": lambda digits: f"{digits[1]}.{digits[2:]}e{len(digits) - 2}",
    "list of one": lambda digits: [digits],
    "set of one": lambda digits: {int(digits)},
    "in a control character": lambda digits: f"{digits[:4]}\x00{digits[4:]}",
}
numbers = st.integers(10**7, 10**8 - 1).map(lambda number: f"{number:09}")


@pytest.mark.parametrize("spelling", PLAIN)
@given(numbers)
def test_one_number_is_one_person(spelling: str, digits: str) -> None:
    """Whatever a program made of it."""
    assert normalise_identifier("BSN", PLAIN[spelling](digits)) == (digits, ())


@pytest.mark.parametrize("spelling", GUESSED)
@given(numbers)
def test_a_guess_is_flagged(spelling: str, digits: str) -> None:
    """The person is the same, and the record says that this was concluded."""
    assert normalise_identifier("BSN", GUESSED[spelling](digits)) == (digits, (Flag.SUBJECT_FORM,))


MISSING: Final = [
    None, float("nan"), np.nan, np.float32("nan"), pd.NA, pd.NaT, np.datetime64("NaT", "s"), np.ma.masked,
    Decimal("NaN"), float("inf"), Decimal("-Infinity"), "", "  ", b"", bytearray(), SecretStr(""), "\u200b", [], True,
    False, str(pd.NA), str(pd.NaT), str(SecretStr(BSN)), str(SecretBytes(b"x")), repr(SecretStr(BSN)), "[REDACTED]",
]  # fmt: skip


@pytest.mark.parametrize("type_", ["BSN", "personeelsnummer", "https://register.example/soort"])
@pytest.mark.parametrize("value", MISSING, ids=lambda value: f"{type(value).__name__} {value!r}"[:40])
def test_what_is_missing_is_nobody(value: object, type_: str) -> None:
    """And so never the same made-up person in the records of all who have no number."""
    text, flags = normalise_identifier(type_, value)
    assert (text, flags) == ("", (Flag.SUBJECT_EMPTY,))
    assert PSEUDONYMISER.subject(value, type_).pseudonym == b""


@pytest.mark.parametrize("value", ["nan", "NaN", "None", "null", "N/A", 0, "000000000", 0.0, "0"])
def test_no_number_is_called_so(value: object) -> None:
    """What programs write for a missing number, or fill it with; elsewhere somebody may be called so."""
    assert normalise_identifier("BSN", value) == ("", (Flag.SUBJECT_EMPTY,))
    if isinstance(value, str) and not value.isdigit():
        assert normalise_identifier("https://register.example/soort", value) == (value, (Flag.SUBJECT_FORM,))


@pytest.mark.parametrize(
    "value",
    [2.0**53, 1e19, np.float32(123456782), np.float16(4000), "1.23E+08", "1,2e8", Decimal("1e99999999")],
    ids=str,
)
def test_no_pseudonym_is_made_of_a_part_of_a_number(value: object) -> None:
    """Digits that were left out are not made up: it would be another person."""
    text, flags = normalise_identifier("BSN", value)
    assert (text, Flag.VALUE_CUT in flags) == ("", True)


@pytest.mark.parametrize(
    "value", [12345672.5, "12345672.5", -123456782, "-123456782", "geen", 10**20, {"bsn": BSN}, [1, 2], Number.ONE]
)
def test_what_is_no_number_is_kept_as_it_is_and_flagged(value: object) -> None:
    """It is nobody else's number."""
    text, flags = normalise_identifier("BSN", value)
    assert Flag.SUBJECT_FORM in flags
    assert text != BSN
    assert not text.isdigit() or len(text) > 9


def test_an_address_in_memory_is_nobody() -> None:
    """The text of an object without one of its own differs each time."""
    assert normalise_identifier("x", object()) == ("", (Flag.SUBJECT_EMPTY, Flag.SUBJECT_FORM))
    identity = uuid.uuid4()
    assert normalise_identifier("urn:x", identity) == (str(identity), ())


def test_elsewhere_a_number_has_no_fraction_either() -> None:
    """In a type that may be any text; other dots tell people apart."""
    assert normalise_identifier("personeelsnummer", 71.0) == ("71", ())
    assert normalise_identifier("personeelsnummer", "71.0") == ("71", ())
    assert normalise_identifier("urn:x", "jan.s") == ("jan.s", ())
    assert normalise_identifier("urn:x", "7.10.0") == ("7.10.0", ())
    assert normalise_identifier("urn:x", "ja\u200bn@x\uff0enl") == ("jan@x.nl", ())


@given(anything, st.sampled_from([None, 8, 9, 20]))
def test_reading_twice_changes_nothing(value: Any, width: int | None) -> None:
    """What is stored is its own form, whatever came in, and nothing raises."""
    text, _ = read_identifier(value, width)
    assert read_identifier(text, width)[0] == text


@given(st.integers(0, 999_999_999).map(lambda number: f"{number:09}"))
def test_the_eleven_test(digits: str) -> None:
    """Of ten numbers that differ in the last digit one at most passes."""
    passing = [last for last in range(10) if passes_eleven_test(f"{digits[:8]}{last}")]
    assert len(passing) <= 1
    assert passes_eleven_test("123456782")
    assert passes_eleven_test("999990019")
    assert not passes_eleven_test("000000000")


# --- by every way in


def by_data_subject(value: object) -> Sequence[Logregel]:
    """Named inside an Actie."""
    with testing.logboek() as memory, ldv.processing(ACTIVITY):
        ldv.data_subject(value, type="BSN")
    return memory.logregels


def in_bulk(value: object) -> Sequence[Logregel]:
    """Among many."""
    with testing.logboek() as memory, ldv.processing(ACTIVITY):
        ldv.data_subjects([value], type="BSN")
    return memory.logregels[:1]


def by_set_attribute(value: Any) -> Sequence[Logregel]:
    """As an attribute of an Actie of ours."""
    with testing.logboek() as memory, ldv.processing(ACTIVITY, attributes={DATA_SUBJECT_ID_TYPE: "BSN"}) as actie:
        actie.set_attribute(DATA_SUBJECT_ID, value)
    return memory.logregels


def by_attributes(value: Any) -> Sequence[Logregel]:
    """With the attributes that an Actie starts with."""
    with (
        testing.logboek() as memory,
        ldv.processing(ACTIVITY, attributes={DATA_SUBJECT_ID: value, DATA_SUBJECT_ID_TYPE: "BSN"}),
    ):
        pass
    return memory.logregels


def by_hand(value: Any) -> Sequence[Logregel]:
    """On a span of OpenTelemetry."""
    attributes = {PROCESSING_ACTIVITY_ID: ACTIVITY, DATA_SUBJECT_ID: value, DATA_SUBJECT_ID_TYPE: "BSN"}
    with testing.logboek() as memory:
        trace.get_tracer("test").start_span("x", attributes=attributes).end()
    return memory.logregels


OURS: Final = (by_data_subject, in_bulk, by_set_attribute, by_attributes)
#: OpenTelemetry turns these into another text before anybody sees them.
HIDDEN_BY_OPENTELEMETRY: Final = {"secret", "secret bytes", "secret in a secret"}


@pytest.mark.parametrize("spelling", PLAIN)
@pytest.mark.parametrize("way_in", [*OURS, by_hand], ids=lambda way: way.__name__)
def test_one_person_by_every_way_in(way_in: Callable[[object], Sequence[Logregel]], spelling: str) -> None:
    """One record for one person; by hand a secret has no value any more, and is nobody's."""
    (record,) = way_in(PLAIN[spelling](BSN))
    if way_in is by_hand and spelling in HIDDEN_BY_OPENTELEMETRY:
        assert (record.data_subject_id, record.flags) == (b"", ("subject_empty",))
    else:
        assert record.data_subject_id == pseudonym_for_tests(BSN)


def pseudonym_for_tests(number: str) -> bytes:
    """The pseudonym of a BSN in a Logboek for tests."""
    return testing.InMemoryLogboek().pseudonym(number, type="BSN")


@pytest.mark.parametrize("value", [None, float("nan"), pd.NA, pd.NaT, SecretStr("")], ids=repr)
@pytest.mark.parametrize("way_in", [*OURS, by_hand], ids=lambda way: way.__name__)
def test_nobody_by_every_way_in(way_in: Callable[[object], Sequence[Logregel]], value: object) -> None:
    """The record is there, without a person, and flagged."""
    (record,) = way_in(value)
    assert record.data_subject_id == b""
    assert "subject_empty" in record.flags


def test_a_gap_in_a_list_is_flagged_and_is_nobody() -> None:
    """Beside people who are known; and a list names several, also with `data_subject`."""
    column = pd.Series([12345672, None, 123456782])
    for way_in in (by_data_subject, by_set_attribute, by_hand):
        records = way_in(list(column))
        assert [record.data_subject_id for record in records] == [
            pseudonym_for_tests(number) for number in (BSN, "123456782")
        ]
        assert records[0].flags == ("subject_empty",)


def test_numbers_of_employees_are_no_bytes() -> None:
    """A list of people whose numbers could be letters stays a list."""
    attributes: dict[str, Any] = {PROCESSING_ACTIVITY_ID: ACTIVITY, DATA_SUBJECT_ID: [*range(48, 53)]}
    with testing.logboek() as memory:
        trace.get_tracer("test").start_span("x", attributes=attributes).end()
    assert len(memory.logregels) == 5


@pytest.mark.parametrize(
    "value",
    [{"intValue": 12345672}, {"intValue": "12345672"}, {"doubleValue": 12345672.0}, {"stringValue": "12345672.0"},
     {"bytesValue": "MDEyMzQ1Njcy"}, {"stringValue": BSN.translate(ARABIC)}, {"doubleValue": "1.2345672E7"}],
    ids=json.dumps,
)  # fmt: skip
def test_one_person_in_files(value: object) -> None:
    """The importer reads values as the SDK does."""
    (record,) = imported(value)
    assert record.data_subject_id == PSEUDONYMISER.subject(BSN, "BSN").pseudonym


@pytest.mark.parametrize("value", [{"doubleValue": "NaN"}, {}, {"stringValue": "<NA>"}, {"stringValue": ""}])
def test_nobody_in_files(value: object) -> None:
    """As in the SDK."""
    (record,) = imported(value)
    assert (record.data_subject_id, record.flags) == (b"", ("subject_empty",))


def imported(value: object) -> Sequence[Logregel]:
    """The records of a file about one person."""
    attributes = {
        PROCESSING_ACTIVITY_ID: {"stringValue": ACTIVITY},
        DATA_SUBJECT_ID: value,
        DATA_SUBJECT_ID_TYPE: {"stringValue": "BSN"},
    }
    span = {
        "traceId": "0123456789abcdef" * 2,
        "spanId": "0123456789abcdef",
        "name": "x",
        "startTimeUnixNano": "1750000000000000000",
        "endTimeUnixNano": "1750000001000000000",
        "attributes": [{"key": key, "value": one} for key, one in attributes.items()],
    }
    maker, content = LogregelMaker(PSEUDONYMISER.subject), json.dumps(span).encode()
    read = read_spans(content, file="spans.json", resource_of=maker.record_resource)
    return link(read.spans, (), maker)


# --- cut by a limit

RULES: Final = """
rules:
  - match: {kind: server, attributes: {http.route: "/inwoners/{nummer}"}}
    activity: https://register.example/b
    subject: [{path: nummer, type: KVK}, {query: bsn, type: BSN}]
"""


def test_a_part_of_a_number_has_no_pseudonym(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Alone, in a list and at the end of a URL that a rule reads; what is whole is somebody's."""
    rules = tmp_path_factory.mktemp("rules") / "rules.yaml"
    rules.write_text(RULES, encoding="utf-8")
    memory, provider = testing.InMemoryLogboek(), TracerProvider(span_limits=SpanLimits(max_span_attribute_length=22))
    memory.open()
    maker = LogregelMaker(memory._pseudonymiser.subject)
    attach(provider, LdvSpanProcessor(maker, _AtOnce(memory), mapper=SpanMapper(read_rules(rules), maker.pseudonymise)))
    tracer = provider.get_tracer("x")
    person = "https://register.example/personen/1234"
    own = {PROCESSING_ACTIVITY_ID: "urn:a", DATA_SUBJECT_ID_TYPE: "urn:persoon"}
    tracer.start_span("alone", attributes={**own, DATA_SUBJECT_ID: person}).end()
    tracer.start_span("list", attributes={**own, DATA_SUBJECT_ID: [person, "piet"]}).end()
    for path in (
        "/inwoners/%31%32345678",
        "/inwoners/12345678",
        "/inwoners/1?bsn=1234567",
        "/inwoners/1?bsn=123456782",
    ):
        attributes = {"http.route": "/inwoners/{nummer}", "http.target": path}
        tracer.start_span("GET", kind=trace.SpanKind.SERVER, attributes=attributes).end()
    alone, piet, cut, whole, query, *both = memory.logregels
    assert (alone.data_subject_id, "value_cut" in alone.flags) == (b"", True)
    assert (piet.data_subject_id, "value_cut" in piet.flags) == (memory.pseudonym("piet", type="urn:persoon"), True)
    assert (cut.data_subject_id, "value_cut" in cut.flags) == (b"", True)
    assert (whole.data_subject_id, whole.flags) == (memory.pseudonym("12345678", type="KVK"), ())
    assert (query.data_subject_id, "value_cut" in query.flags) == (memory.pseudonym("1", type="KVK"), True)
    assert memory.pseudonym("1", type="KVK") in {record.data_subject_id for record in both}
