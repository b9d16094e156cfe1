"""The spans of a file as mapping rules see them, with all attributes: for `ldv rules test`.

An import keeps the attributes of Acties only, and skips what it could not store. Rules are tried on spans that are no
Acties yet, and on files that somebody wrote by hand for the trial, so here a span needs a name and an id, and no times.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from ldv_otel._internal.importer.any_value import attributes_of
from ldv_otel._internal.importer.json_values import JsonValue, file_text, json_values
from ldv_otel._internal.importer.span_fields import first
from ldv_otel._internal.importer.span_objects import SpanObject, span_objects
from ldv_otel.errors import UnreadableInput

_KINDS: Final = {"": "internal", "0": "internal", "1": "internal"} | {
    key: kind
    for number, kind in enumerate(("internal", "server", "client", "producer", "consumer"), 1)
    for key in (str(number), kind)
}


class RuleSpan(msgspec.Struct, frozen=True):
    """A span as a mapping rule sees it.

    Attributes:
        kind: In small letters: `server`.
        scope: Name of the instrumentation scope; None where the file has none.
    """

    name: str
    kind: str
    scope: str | None
    attributes: Mapping[str, object]


def read_rule_spans(content: bytes) -> list[RuleSpan]:
    """Return the spans of a file; other content of it is skipped.

    Raises:
        UnreadableInput: There is no span in it.
    """
    text, _ = file_text(content)
    spans = [
        _rule_span(item)
        for value in json_values(text)
        if isinstance(value, JsonValue)
        for item in span_objects(value.value, value.line)
        if isinstance(item, SpanObject) and "name" in item.fields and not {"spanid", "context"}.isdisjoint(item.fields)
    ]
    if not spans:
        raise UnreadableInput("no spans in it; it should be OTLP/JSON, or what ConsoleSpanExporter prints")
    return spans


def _rule_span(span: SpanObject) -> RuleSpan:
    attributes, _ = attributes_of(span.fields.get("attributes"))
    kind = str(first(span.fields, "kind", "spankind") or "").replace("_", ".").rpartition(".")[2].lower()
    return RuleSpan(str(span.fields["name"]), _KINDS.get(kind, "internal"), span.surroundings.scope, attributes)
