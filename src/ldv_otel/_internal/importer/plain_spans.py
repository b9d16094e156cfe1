"""All spans of a file with what mapping rules look at: name, kind, scope and attributes.

The import keeps the attributes of Acties only; this is for trying out rules on spans that are none yet. The same files
are read: OTLP/JSON and its relatives, and what the SDK's console exporter prints.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from ldv_otel._internal.importer.any_value import attributes_of
from ldv_otel._internal.importer.json_values import Gap, documents, text_of
from ldv_otel._internal.importer.span_fields import common_name, fields, first
from ldv_otel.errors import UnreadableInput

_HOLDERS: Final = frozenset({"resourcespans", "batches", "trace", "scopespans", "instrumentationlibraryspans", "spans"})
_SCOPES: Final = ("scope", "instrumentationscope", "instrumentationlibrary")
_KINDS: Final = {"": "internal", "0": "internal", "1": "internal"} | {
    key: kind
    for number, kind in enumerate(("internal", "server", "client", "producer", "consumer"), 1)
    for key in (str(number), kind)
}
_MAX_DEPTH: Final = 16


class PlainSpan(msgspec.Struct, frozen=True):
    """A span as a mapping rule sees it.

    Attributes:
        kind: In small letters: `server`.
        scope: Name of the instrumentation scope; None where the file does not tell it.
    """

    name: str
    kind: str
    scope: str | None
    attributes: Mapping[str, object]


def read_plain_spans(content: bytes) -> list[PlainSpan]:
    """Return the spans of a file; what is no span is passed over.

    Raises:
        UnreadableInput: There is no span in it.
    """
    text, _ = text_of(content)
    found: list[PlainSpan] = []
    for part in documents(text):
        if not isinstance(part, Gap):
            found.extend(_spans(part.value, None, _MAX_DEPTH))
    if not found:
        raise UnreadableInput("no spans in it; it should be OTLP/JSON, or what ConsoleSpanExporter prints")
    return found


def _spans(value: object, scope: str | None, depth: int) -> Iterator[PlainSpan]:
    if depth == 0:
        return
    if isinstance(value, list):
        for item in value:
            yield from _spans(item, scope, depth - 1)
    elif isinstance(value, dict):
        found = fields(value)
        given = first(found, *_SCOPES)
        if isinstance(given, dict) and isinstance(name := fields(given).get("name"), str):
            scope = name
        held = [item for name, item in value.items() if common_name(name) in _HOLDERS]
        for item in held:
            yield from _spans(item, scope, depth - 1)
        if not held and "name" in found and ("spanid" in found or "context" in found):
            yield _span(found, scope)


def _span(found: Mapping[str, Any], scope: str | None) -> PlainSpan:
    attributes, _ = attributes_of(found.get("attributes"))
    given = str(first(found, "kind", "spankind") or "")
    kind = given.replace("_", ".").rpartition(".")[2].lower()
    return PlainSpan(str(found["name"]), _KINDS.get(kind, "internal"), scope, attributes)
