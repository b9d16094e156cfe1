"""What is known of an ended span, from which its Logregels are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from ldv_otel._internal.privacy.pseudonyms import DataSubject
from ldv_otel._internal.privacy.redaction import Redactor
from ldv_otel._internal.record.logregel import Status
from ldv_otel._internal.record.resource_choice import NO_RESOURCE, RecordResource
from ldv_otel.attributes import Flag


class ExceptionFacts(msgspec.Struct, frozen=True):
    """An exception as it was recorded on a span."""

    type: str
    stacktrace: str = ""
    message: str = ""


class EnclosingActie(msgspec.Struct, frozen=True):
    """The nearest enclosing Actie in the same application.

    Attributes:
        span_id: 8 bytes.
        processing_activity_id: URI of its Verwerkingsactiviteit; empty when it has none, or is not known here.
        inherited: Attributes of extensions that hold for Acties inside it too.
    """

    span_id: bytes
    processing_activity_id: str
    inherited: Mapping[str, object] = {}


class ForeignOperation(msgspec.Struct, frozen=True):
    """The operation at another organisation, or in another application, that called (LDV-A6).

    Attributes:
        trace_id: Of the inbound trace context; empty when there was none.
        span_id: Of the calling Actie, or of the technical span that went out from it; empty as `trace_id`.
        processor: URL of the calling application, if it was proven (LDV-X4).
        attributes: What extensions read in its headers.
        transaction_id: Of the transport that carried the call, as its header has it (LDV-N16); empty for none.
    """

    trace_id: bytes
    span_id: bytes
    processor: str = ""
    attributes: Mapping[str, str] = {}
    transaction_id: str = ""


class SpanFacts(msgspec.Struct, kw_only=True, gc=False):
    """The facts of one ended span, from which its records are made.

    Each way in gathers them: `sdk/span_facts.py` for the processor and the exporter, `importer/spans.py` for files.

    Attributes:
        name: Of the span, of any type.
        attributes: As set on the span; only those of the standard enter the record (LDV-A9).
        extended: Attributes of extensions that enter it too.
        subjects: Data subjects that were named without an attribute of the span; identifiers in `attributes` are added.
        enclosing: None when no Actie of this application encloses the span.
        foreign: None unless another application called.
        outbound_span_ids: See `Logregel.outbound_span_ids`.
        read_apis: Where the Logregels of the parties that were called can be read.
        exception: Enters the record of a span with status `ERROR`.
        flags: What was normalised before the facts got here.
        originals: Values that had to be replaced before the facts got here, by field.
        redactor: Searches for the identifiers known of the span and its trace; None where the way in knows none but
            those in `attributes`.
        closed: See `LogregelBuilder`.
        length_limit: The length to which longer values of `attributes` were cut; None for no limit.
        named_by_code: See `LogregelBuilder.name`.
    """

    trace_id: bytes
    span_id: bytes
    name: object
    start_time_ns: int
    end_time_ns: int
    status: Status = Status.UNSET
    attributes: Mapping[str, object]
    extended: Mapping[str, object] = {}
    subjects: Sequence[DataSubject] = ()
    enclosing: EnclosingActie | None = None
    foreign: ForeignOperation | None = None
    outbound_span_ids: tuple[bytes, ...] = ()
    read_apis: Sequence[object] = ()
    exception: ExceptionFacts | None = None
    resource: RecordResource = NO_RESOURCE
    flags: tuple[Flag, ...] = ()
    originals: Mapping[str, str] = {}
    redactor: Redactor | None = None
    closed: bool = False
    length_limit: int | None = None
    named_by_code: bool = False
