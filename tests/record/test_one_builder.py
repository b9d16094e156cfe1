"""Whatever the way in, one builder makes the record: it normalises, redacts and flags the same everywhere."""

from __future__ import annotations

import ast
import json
import re
import tempfile
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

import ldv_otel as ldv
from ldv_otel import attributes as names
from ldv_otel import testing
from ldv_otel._internal.api.pages.officer.access_record import OfficerAccess, officer_access
from ldv_otel._internal.chain.answers import read_answer
from ldv_otel._internal.gemma import model
from ldv_otel._internal.gemma.conversion import VerwerkingsactieMapper
from ldv_otel._internal.importer.parents import link
from ldv_otel._internal.importer.spans import read_spans
from ldv_otel._internal.privacy.pseudonyms import normalise_identifier
from ldv_otel._internal.privacy.redaction import Redactor, as_text
from ldv_otel._internal.record.actie import LogregelMaker
from ldv_otel._internal.record.builder import redacted, resource_of
from ldv_otel._internal.record.logregel import Logregel, encode_logregel
from ldv_otel.attributes import Flag
from tests.importer.spelling import PSEUDONYMISER
from tests.record.test_actie import make
from tests.support.quoting import ENCODINGS, TOLD, quotations, values_that_quote

PACKAGE: Final = Path(ldv.__file__).parent
numbers_as_written: Final = (
    st.integers(10_000_000, 999_999_999)
    .map(lambda number: f"{number:09}")
    .flatmap(lambda digits: st.tuples(st.just(digits), quotations(digits)))
)
ACTIVITY: Final = "https://register.example/activiteiten/parkeren"
BSN: Final = "123456782"
#: Modules that make a Logregel, or a struct with a field of the same name, by which calls, each with why.
ALLOWED: Final = {
    "_internal/record/builder.py": ({"Logregel", "msgspec.structs.replace"}, "the builder"),
    "_internal/record/ordinary.py": ({"Logregel"}, "equal to what the builder makes: tests/record/test_ordinary.py"),
    "_internal/record/logregel.py": ({"msgspec.msgpack.Decoder"}, "decodes what the builder made, from the spool"),
    "_internal/clickhouse/columns.py": (
        {"Logregel"},
        "reads stored rows: their texts went through the builder when they were made",
    ),
    "_internal/clickhouse/queries/shown_records.py": (
        {"msgspec.structs.replace"},
        "sets the parent of a stored row as it is shown: an id, and no text",
    ),
    "_internal/delivery/conformance.py": ({"Logregel"}, "records with fixed texts, for the test of somebody's Sink"),
    "_internal/api/auth/clients.py": ({"msgspec.structs.replace"}, "the one trace that a client's token opens"),
    "_internal/api/read_api/selection.py": ({"msgspec.structs.replace"}, "the trace that a question is about"),
    "_internal/tamper/record_bytes.py": (
        {"Logregel"},
        "decodes what it encoded from a record, to show that nothing is missing in it",
    ),
    "_internal/importer/exported.py": (
        {"Logregel"},
        "reads what `ldv export` wrote, which the builder made; what somebody edited goes through it again",
    ),
    "_internal/gemma/provider/repository.py": (
        {"msgspec.structs.replace"},
        "the trace id of a Version and fields of a Verwerkingsactie, which the builder makes records of",
    ),
    "_internal/gemma/provider/bewerking_router.py": (
        {"msgspec.structs.replace"},
        "the fields of a Verwerkingsactie that a request changes",
    ),
    "_internal/sdk/extensions.py": (
        {"msgspec.structs.replace"},
        "what headers say of a ForeignOperation, of which the builder makes a record",
    ),
}
#: Calls that make a changed copy, or change what is frozen; `structs.force_setattr` names the field as text.
CHANGES: Final = re.compile(r"structs\.replace|force_setattr|copy\.replace|__setattr__|structs\.(asdict|astuple)")
#: Calls that read a Logregel from bytes or plain values.
READS: Final = re.compile(r"Decoder|decode|convert")
FIELDS: Final = frozenset(Logregel.__struct_fields__)


def makes(source: str) -> set[str]:
    """The calls in a module that make a Logregel, or a changed copy of one, under any name it is imported by."""
    tree = ast.parse(source)
    called_logregel = {"Logregel"} | {
        alias.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name == "Logregel" and alias.asname
    }
    return {
        ast.unparse(node.func)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and (
            _last_name(node.func) in called_logregel
            or (
                READS.search(ast.unparse(node.func)) and called_logregel.intersection(map(_last_name, _arguments(node)))
            )
            or (CHANGES.search(ast.unparse(node.func)) and _changes_a_field(node))
        )
    }


def _last_name(node: ast.expr) -> str:
    return ast.unparse(node).rpartition(".")[2]


def _arguments(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(keyword.value for keyword in call.keywords)]


def _changes_a_field(call: ast.Call) -> bool:
    """Whether a call changes a field that a Logregel has, or fields that only show when it runs."""
    named = {keyword.arg for keyword in call.keywords}
    texts = {argument.value for argument in call.args if isinstance(argument, ast.Constant)}
    return None in named or bool(FIELDS & (named | texts))


def test_records_are_made_in_one_place() -> None:
    """A second place would be one that forgets to normalise, to redact or to flag."""
    places = {
        path.relative_to(PACKAGE).as_posix(): calls
        for path in PACKAGE.rglob("*.py")
        if (calls := makes(path.read_text(encoding="utf-8")))
    }
    assert places == {place: calls for place, (calls, _) in ALLOWED.items()}


@pytest.mark.parametrize(
    "line",
    [
        "Logregel(**fields)",
        "logregel.Logregel(name='x')",
        "from ldv_otel import Logregel as L; L(name='x')",
        "msgspec.structs.replace(anything, status=Status.ERROR)",
        "structs.replace(anything, **texts)",
        "copy.replace(anything, attributes={})",
        "msgspec.structs.force_setattr(anything, 'name', 'x')",
        "msgspec.convert(fields, Logregel)",
        "msgspec.json.decode(line, type=Logregel)",
        "msgspec.msgpack.Decoder(Logregel)",
    ],
)
def test_the_guard_sees_every_way_to_make_one(line: str) -> None:
    """Under another name, as a changed copy, and from plain values."""
    assert makes(line)


def test_the_guard_lets_other_structs_be() -> None:
    """Of what is no Logregel a copy may differ."""
    assert not makes("structs.replace(limits, after=page)\nChainLogregel(party=party)\ndecode_logregel(data)")


def attributes_with(text: str) -> dict[str, Any]:
    """Attributes of a span that hold a text in every place there is."""
    return {
        "dpl.core.zaak": text,
        f"dpl.core.{text}": "x",
        "dpl.core.lijst": ["voor", text],
        "dpl.objects.dataset": json.dumps({"naam": text}),
        names.FOREIGN_OPERATION_PROCESSOR: f"https://elders.example/{text}",
        names.NEXT_LOGBOOK_ID: f"https://elders.example/lezen/{text}",
        names.PARENT_PROCESSING_ACTIVITY_ID: f"{ACTIVITY}/{text}",
    }


def by_processing(identifier: object, text: str) -> Sequence[Logregel]:
    """An Actie of `processing` that fails."""
    with testing.logboek(exception_messages=True) as memory, pytest.raises(ValueError, match="de aanvraag"):  # noqa: SIM117
        with ldv.processing(f"{ACTIVITY}/{text}", name=f"Zoek {text}", attributes=attributes_with(text)):
            ldv.data_subject(identifier, type="BSN")
            raise ValueError(f"de aanvraag van {text}")
    return memory.logregels


def by_hand(identifier: object, text: str) -> Sequence[Logregel]:
    """A span with the attributes of the standard."""
    with testing.logboek() as memory:
        attributes = attributes_with(text) | {
            names.PROCESSING_ACTIVITY_ID: f"{ACTIVITY}/{text}",
            names.DATA_SUBJECT_ID: identifier,
            names.DATA_SUBJECT_ID_TYPE: "BSN",
        }
        trace.get_tracer("test").start_span(f"Zoek {text}", attributes=attributes).end()
    return memory.logregels


def in_bulk(identifier: object, text: str) -> Sequence[Logregel]:
    """Many people at once."""
    with testing.logboek() as memory, ldv.processing(f"{ACTIVITY}/{text}", name=f"Zoek {text}"):
        ldv.data_subjects([identifier], type="BSN")
    return memory.logregels


def by_exporter(identifier: object, text: str) -> Sequence[Logregel]:
    """The exporter, wired by hand."""
    memory, provider = testing.InMemoryLogboek(PSEUDONYMISER), TracerProvider()
    exporter = ldv.ClickHouseSpanExporter(memory, LogregelMaker(PSEUDONYMISER.subject))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    attributes = attributes_with(text) | {
        names.PROCESSING_ACTIVITY_ID: f"{ACTIVITY}/{text}",
        names.DATA_SUBJECT_ID: identifier,
        names.DATA_SUBJECT_ID_TYPE: "BSN",
    }
    provider.get_tracer("test").start_span(f"Zoek {text}", attributes=attributes).end()
    return memory.logregels


def by_import(identifier: object, text: str) -> Sequence[Logregel]:
    """A file of spans."""
    attributes = {name: value for name, value in attributes_with(text).items() if isinstance(value, str)} | {
        names.PROCESSING_ACTIVITY_ID: f"{ACTIVITY}/{text}",
        names.DATA_SUBJECT_ID: as_text((identifier, ""))[0],
        names.DATA_SUBJECT_ID_TYPE: "BSN",
    }
    span = {
        "traceId": "0123456789abcdef" * 2,
        "spanId": "0123456789abcdef",
        "name": f"Zoek {text}",
        "startTimeUnixNano": "1750000000000000000",
        "endTimeUnixNano": "1750000001000000000",
        "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()],
    }
    service = [{"key": "service.name", "value": {"stringValue": f"parkeren {text}"}}]
    document = {"resourceSpans": [{"resource": {"attributes": service}, "scopeSpans": [{"spans": [span]}]}]}
    maker = LogregelMaker(PSEUDONYMISER.subject)
    content = json.dumps(document).encode()
    read = read_spans(content, file="spans.json", resource_of=maker.record_resource)
    return link(read.spans, (), maker)


def by_gemma(identifier: object, text: str) -> Sequence[Logregel]:
    """A POST to the Bewerking API."""
    content = {
        "actieNaam": f"Zoek {text}",
        "handelingNaam": text,
        "verwerkingNaam": text,
        "systeem": f"parkeren {text}",
        "vertrouwelijkheid": "normaal",
        "tijdstip": "2026-03-02T09:15:07+01:00",
        "verwerkteObjecten": [
            {
                "objecttype": "persoon",
                "soortObjectId": "BSN",
                "objectId": as_text((identifier, ""))[0],
                "betrokkenheid": text,
            }
        ],
    }
    actie = model.verwerkingsactie(content)
    version = model.Version(
        actie=actie, actie_id="a", record_id="r", trace_id=bytes(range(16)), registered_us=1_767_225_600_123_456
    )
    return VerwerkingsactieMapper(PSEUDONYMISER).logregels(version)


def by_officer(identifier: object, text: str) -> Sequence[Logregel]:
    """A privacy officer, who writes down why."""
    form = {
        "nummer": str(normalise_identifier("BSN", identifier)[0]),
        "soort": "BSN",
        "reden": f"Een klacht van {text} over inzage",
        "toch": "ja",  # most numbers are no BSN
    }
    access = officer_access(form, PSEUDONYMISER)
    assert isinstance(access, OfficerAccess)
    return [access.logregel(ACTIVITY, "jansen", PSEUDONYMISER)]


RULES: Final = """
rules:
  - match: {attributes: {x.y: z}}
    activity: https://register.example/activiteiten/parkeren
    subject: {attribute: x.nummer, type: BSN}
"""


def by_rule(identifier: object, text: str) -> Sequence[Logregel]:
    """A span of existing instrumentation."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as rules:
        rules.write(RULES)
        rules.flush()
        with testing.logboek(rules=Path(rules.name)) as memory:
            attributes = {**attributes_with(text), "x.y": "z", "x.nummer": identifier}
            trace.get_tracer("test").start_span(f"Zoek {text}", attributes=attributes).end()
    return memory.logregels


#: Those that take an identifier of any type.
OURS: Final = (by_processing, in_bulk)
WAYS_IN: Final[dict[str, Callable[[object, str], Sequence[Logregel]]]] = {
    "processing": by_processing,
    "by hand": by_hand,
    "rule": by_rule,
    "bulk": in_bulk,
    "exporter": by_exporter,
    "import": by_import,
    "GEMMA": by_gemma,
    "officer": by_officer,
}


def texts_in(record: Logregel) -> list[str]:
    """All texts of a record."""
    fields = msgspec.structs.asdict(record)
    attributes = fields.pop("attributes")
    return [value for value in fields.values() if isinstance(value, str)] + [*attributes, *attributes.values()]


@pytest.mark.parametrize("odd", ["\x00", "\ud800", "a\x00b\udfffc"], ids=["NUL", "half a character", "both"])
@pytest.mark.parametrize("way_in", WAYS_IN)
def test_what_no_store_takes_is_repaired_and_flagged(way_in: str, odd: str) -> None:
    """In every text, by every way in (LDV-A8)."""
    if way_in == "import" and not odd.isprintable() and any(0xD800 <= ord(character) < 0xE000 for character in odd):
        pytest.skip("JSON of half a character is read as U+FFFD")
    records = WAYS_IN[way_in](BSN, odd)
    assert records
    for record in records:
        assert not [text for text in texts_in(record) if "\x00" in text]
        encode_logregel(record)
    assert any(Flag.TEXT_REPAIRED in record.flags for record in records)


def test_an_answer_of_another_party_is_repaired_too() -> None:
    """Its records are shown beside ours."""
    answer = {
        "traceId": "0123456789abcdef" * 2,
        "spanId": "0123456789abcdef",
        "status": "Ok",
        "name": "Verstrek\x00",
        "startTime": 1_000,
        "endTime": 2_000,
        "resource": {"attributes": {"service.name": "r\x00"}},
        "attributes": {names.PROCESSING_ACTIVITY_ID: "urn:a\x00"},
    }
    (record,) = read_answer(json.dumps({"processingActivities": [answer]}).encode()).logregels
    assert not [text for text in texts_in(record) if "\x00" in text]
    assert Flag.TEXT_REPAIRED in record.flags


#: Values that a span of OpenTelemetry, or a file, has of a person.
PLAIN = (str, int, float, bytes)


@pytest.mark.parametrize("way_in", WAYS_IN)
@settings(max_examples=60)
@given(
    number=numbers_as_written,
    form=st.sampled_from(list(TOLD)),
    around=st.sampled_from(["", "Z-2026-", "nr. ", "(", "/"]),
)
def test_a_known_identifier_is_in_no_text(way_in: str, number: tuple[str, str], form: str, around: str) -> None:
    """Told in one form, quoted in another, in every text, by every way in: never in the record, and flagged."""
    digits, quotation = number
    assume(len(quotation) <= 200)
    identifier = TOLD[form](digits)
    if WAYS_IN[way_in] is by_officer or (WAYS_IN[way_in] not in OURS and not isinstance(identifier, PLAIN)):
        identifier = digits
    records = WAYS_IN[way_in](identifier, around + quotation)
    assert records
    for record in records:
        for text in texts_in(record):
            assert quotation not in text
            assert digits.lstrip("0") not in "".join(char for char in text if char.isdecimal() and char.isascii())
    assert any(Flag.SUBJECT_REDACTED in record.flags for record in records)


@pytest.mark.parametrize("told", ["AB-123-C", "José.Núñez@voorbeeld.nl"])
@pytest.mark.parametrize("way_in", [way_in for way_in in WAYS_IN if way_in != "officer"])
@given(encode=st.sampled_from(list(ENCODINGS.values())))
def test_letters_are_in_no_text_either(way_in: str, told: str, encode: Callable[[str], str]) -> None:
    """In either case, composed or not, and encoded."""
    for spelled in (told.upper(), told.lower(), unicodedata.normalize("NFD", told)):
        quotation = encode(spelled)
        assume(len(quotation) <= 200)
        for record in WAYS_IN[way_in](told, quotation):
            assert not [text for text in texts_in(record) if quotation in text]


@pytest.mark.parametrize("value", values_that_quote(BSN), ids=repr)
def test_a_known_number_is_in_no_value(value: Any) -> None:
    """As a number, in bytes, in lists and mappings, their names, and over two elements of a list."""
    with testing.logboek() as memory, ldv.processing(ACTIVITY) as actie:
        ldv.data_subject(BSN, type="BSN")
        actie.set_attribute("dpl.core.zaak", value)
        actie.set_attribute("dpl.core.dossier", {"zaak": value})
    (record,) = memory.logregels
    for name in ("dpl.core.zaak", "dpl.core.dossier"):
        text = record.attributes[name]
        assert BSN not in "".join(filter(str.isdecimal, text))
        assert "MTIzNDU2Nzgy" not in text, "nor in base64, which is ours"
        assert text == "REDACTED" or not isinstance(value, dict | list) or json.loads(text)
    assert Flag.SUBJECT_REDACTED in record.flags


def test_what_is_redacted_later_is_so_in_every_text() -> None:
    """Of a start that was made before the data subject was named."""
    (record,) = make({names.PROCESSING_ACTIVITY_ID: ACTIVITY}, name=BSN, resource=resource_of({"service.name": BSN}))
    record = msgspec.structs.replace(record, data_subject_id_type=f"soort {BSN}")
    later = redacted(record, Redactor([(BSN, "BSN")]))
    assert not [text for text in texts_in(later) if BSN in text]
