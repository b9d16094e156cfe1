"""One trace, and every way in which it may be written down."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import strategies as st

from ldv_otel._internal.importer.parents import link, without_repeats
from ldv_otel._internal.importer.spans import read_spans
from ldv_otel._internal.privacy.pseudonyms import Key, KeyRing, Pseudonymiser
from ldv_otel._internal.record.actie import LogregelMaker
from ldv_otel._internal.record.logregel import Logregel
from tests.strategies import span_ids, texts, trace_ids

ACTIVITY = "https://register.example/activiteiten/parkeren"
NOW_MS = 1_790_000_000_000
PSEUDONYMISER = Pseudonymiser(KeyRing([Key(id="k", secret="0123456789abcdef0123456789abcdef")], active="k"))
MAKER = LogregelMaker(PSEUDONYMISER.subject)


class GivenSpan(msgspec.Struct):
    """What a span says, before anybody wrote it down."""

    trace_id: bytes = bytes(range(1, 17))
    span_id: bytes = bytes(range(1, 9))
    parent_id: bytes = b""
    name: str = "Wijzig kenteken"
    start_ms: int = 1_750_000_000_123
    end_ms: int = 1_750_000_000_999
    status: str = "UNSET"
    kind: str = "INTERNAL"
    attributes: dict[str, Any] = {}
    resource: dict[str, Any] = msgspec.field(default_factory=lambda: {"service.name": "parkeren"})


class Spelling(msgspec.Struct, frozen=True):
    """One way to write spans down; the defaults are OTLP/JSON as a Collector writes it."""

    snake: bool = False
    ids: str = "hex"
    context: bool = False
    times: str = "ns"
    times_as_text: bool = True
    attributes: str = "list"
    enums: str = "number"
    holder: str = "resourceSpans"
    inner: str = "scopeSpans"
    scope_as_list: bool = False
    layout: str = "one"


spellings = st.builds(
    Spelling,
    snake=st.booleans(),
    ids=st.sampled_from(["hex", "HEX", "0x", "base64"]),
    context=st.booleans(),
    times=st.sampled_from(["ns", "us", "ms", "s", "iso"]),
    times_as_text=st.booleans(),
    attributes=st.sampled_from(["list", "mapping", "typed mapping"]),
    enums=st.sampled_from(["number", "digits", "otlp", "short", "python"]),
    holder=st.sampled_from(["resourceSpans", "batches"]),
    inner=st.sampled_from(["scopeSpans", "instrumentationLibrarySpans"]),
    scope_as_list=st.booleans(),
    layout=st.sampled_from(["one", "array", "pretty array", "lines", "concatenated", "console", "wrapped"]),
)

#: Whatever a JSON reader may give.
any_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**38), 10**38) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)

_scalars = st.one_of(
    texts,
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
)
_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["dataset_id", "feature", "\u00e9"]), inner, min_size=1),
    ),
    max_leaves=6,
)
_attributes = st.fixed_dictionaries(
    {},
    optional={
        "dpl.core.processing_activity_id": st.sampled_from([ACTIVITY, "RVA: Aanvraag", ""]),
        "dpl.core.data_subject_id": st.one_of(st.just("123456782"), st.integers(1, 999_999_999)),
        "dpl.core.data_subject_id_type": st.just("BSN"),
        "dpl.objects.dataset": _values,
        "http.route": texts,
    },
)


@st.composite
def traces(draw: st.DrawFn) -> list[GivenSpan]:
    """Some spans of one trace; parents are among them, elsewhere, or missing."""
    trace_id = draw(trace_ids)
    ids = draw(st.lists(span_ids, min_size=1, max_size=6, unique=True))
    spans = []
    for span_id in ids:
        start_ms = draw(st.integers(1_500_000_000_000, 1_800_000_000_000))
        spans.append(
            GivenSpan(
                trace_id=trace_id,
                span_id=span_id,
                parent_id=draw(st.one_of(st.just(b""), st.sampled_from(ids), span_ids)),
                name=draw(texts),
                start_ms=start_ms,
                end_ms=start_ms + draw(st.integers(0, 10**6)),
                status=draw(st.sampled_from(["UNSET", "OK", "ERROR"])),
                kind=draw(st.sampled_from(list(_KINDS))),
                attributes=draw(_attributes),
                resource=draw(st.sampled_from([{"service.name": "parkeren"}, {"service.name": "balie", "dpl.x": 1}])),
            )
        )
    return spans


def written(spans: Iterable[GivenSpan], spelling: Spelling | None = None) -> bytes:
    """Return the bytes of a file that holds these spans."""
    spelling = spelling or Spelling()
    documents = [_document(span, spelling) for span in spans]
    return _LAYOUTS[spelling.layout](documents, spelling).encode()


def records_of(content: bytes) -> list[Logregel]:
    """Return the records of a file, and check that all of it could be read."""
    reading = read_spans(content, file="f", resource_of=MAKER.record_resource)
    assert reading.problems == []
    return link(without_repeats(reading.spans)[0], set(), MAKER)


_KINDS = {"UNSPECIFIED": 0, "INTERNAL": 1, "SERVER": 2, "CLIENT": 3, "PRODUCER": 4, "CONSUMER": 5}
_STATUSES = {"UNSET": 0, "OK": 1, "ERROR": 2}


def _one(documents: list[dict[str, Any]], spelling: Spelling) -> str:
    return json.dumps({spelling.holder: [item for document in documents for item in document[spelling.holder]]})


def _console(documents: list[dict[str, Any]], spelling: Spelling) -> str:
    spans = []
    for document in documents:
        (holder,) = document[spelling.holder]
        (span,) = holder[spelling.inner][0]["spans"]
        spans.append(json.dumps(span | {"resource": holder["resource"]}, indent=4))
    return "\n".join(spans)


_LAYOUTS: dict[str, Callable[[list[dict[str, Any]], Spelling], str]] = {
    "one": _one,
    "array": lambda documents, _: json.dumps(documents),
    "pretty array": lambda documents, _: json.dumps(documents, indent=2),
    "lines": lambda documents, _: "".join(json.dumps(document) + "\r\n" for document in documents),
    "concatenated": lambda documents, _: "\n".join(json.dumps(document, indent=4) for document in documents),
    "console": _console,
    "wrapped": lambda documents, spelling: '\ufeff{"trace": ' + _one(documents, spelling) + "}\n",
}


def _document(span: GivenSpan, spelling: Spelling) -> dict[str, Any]:
    name = _snake if spelling.snake else str
    ids = {name("traceId"): _id(span.trace_id, spelling), name("spanId"): _id(span.span_id, spelling)}
    written_span: dict[str, Any] = {"context": ids} if spelling.context else dict(ids)
    written_span |= {
        name("parentSpanId"): _id(span.parent_id, spelling) if span.parent_id else "",
        "name": span.name,
        "kind": _enum(span.kind, _KINDS, "SPAN_KIND_", "SpanKind.", spelling),
        name("startTimeUnixNano"): _time(span.start_ms, spelling),
        name("endTimeUnixNano"): _time(span.end_ms, spelling),
        "attributes": _attributes_of(span.attributes, spelling),
        "status": {"code": _enum(span.status, _STATUSES, "STATUS_CODE_", "StatusCode.", spelling)},
    }
    scope = {"name": "tracer"}
    inner = {"scope": [scope] if spelling.scope_as_list else scope, "spans": [written_span]}
    return {
        spelling.holder: [
            {"resource": {"attributes": _attributes_of(span.resource, spelling)}, spelling.inner: [inner]},
        ]
    }


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def _id(raw: bytes, spelling: Spelling) -> str:
    if spelling.ids == "base64":
        return base64.b64encode(raw).decode()
    text = raw.hex()
    return {"hex": text, "HEX": text.upper(), "0x": f"0x{text}"}[spelling.ids]


def _time(time_ms: int, spelling: Spelling) -> str | int | float:
    if spelling.times == "iso":
        return datetime.fromtimestamp(time_ms / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if spelling.times == "s":
        return f"{time_ms // 1_000}.{time_ms % 1_000:03}" if spelling.times_as_text else time_ms / 1_000
    number = time_ms * {"ns": 10**6, "us": 10**3, "ms": 1}[spelling.times]
    return str(number) if spelling.times_as_text else number


def _enum(value: str, numbers: dict[str, int], otlp: str, python: str, spelling: Spelling) -> str | int:
    spelled: dict[str, str | int] = {
        "number": numbers[value],
        "digits": str(numbers[value]),
        "otlp": otlp + value,
        "short": value.capitalize(),
        "python": python + value,
    }
    return spelled[spelling.enums]


def _attributes_of(attributes: dict[str, Any], spelling: Spelling) -> Any:
    if spelling.attributes == "mapping":
        return attributes
    if spelling.attributes == "typed mapping":
        return {name: _any_value(value, spelling) for name, value in attributes.items()}
    return _entries(attributes, spelling)


def _entries(values: dict[str, Any], spelling: Spelling) -> list[dict[str, Any]]:
    return [{"key": name, "value": _any_value(value, spelling)} for name, value in values.items()]


def _any_value(value: Any, spelling: Spelling) -> dict[str, Any]:
    name = _snake if spelling.snake else str
    if isinstance(value, bool):
        return {name("boolValue"): value}
    if isinstance(value, int):
        return {name("intValue"): str(value)}
    if isinstance(value, float):
        return {name("doubleValue"): value}
    if isinstance(value, list):
        return {name("arrayValue"): {"values": [_any_value(item, spelling) for item in value]}}
    if isinstance(value, dict):
        return {name("kvlistValue"): {"values": _entries(value, spelling)}}
    return {name("stringValue"): value}
