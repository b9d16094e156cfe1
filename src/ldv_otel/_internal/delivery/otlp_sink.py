"""Writing through an OpenTelemetry Collector: the Sink for `otlp+https://collector:4318`.

OpenTelemetry's package for OTLP encodes; its exporter does not send. That would repeat a request for as long as its
timeout lasts, take any status below 400 for success, pass over the part of a batch that a Collector says it rejected,
drop what is larger than a limit, heed variables that are meant for the tracing backend, and log what we say in words of
our own. Here each request is sent once, and retries are delivery's.

What 200 promises is up to the Collector: with collector-config/confirmed.yaml, that ClickHouse has the records.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import ldv_otel.attributes as names
from ldv_otel._internal.config.address import LogboekAddress, is_loopback
from ldv_otel._internal.config.secrets import logboek_password
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.config.tls import logboek_tls_context
from ldv_otel._internal.delivery.batch import Batch
from ldv_otel._internal.delivery.sink import SinkTraits
from ldv_otel._internal.http.retry_after import retry_after_seconds
from ldv_otel._internal.http.strange_answers import answered, likely_cause
from ldv_otel._internal.record.logregel import Logregel, Status
from ldv_otel._internal.record.spellings import OUTBOUND_SPAN_IDS
from ldv_otel._internal.times.instants import ns_from_ms
from ldv_otel.errors import BatchRefused, BatchTooLarge, ConfigurationError, LogboekSetupError, LogboekUnavailable

if TYPE_CHECKING:
    import httpx
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan

    from ldv_otel._internal.http.sink_client import SinkClient

_CONNECT_SECONDS: Final = 5.0
#: Longer than a Collector waits for ClickHouse, whose outcome would else remain unknown.
TIMEOUT_SECONDS: Final = 60.0
#: Shorter than a Collector keeps an idle connection (60 s), so that none is used that is just being closed.
_IDLE_SECONDS: Final = 30.0

#: Attributes of our own, which the views behind a Collector turn into columns again (schema/collector.sql).
WRITER_ID: Final = "ldv.writer_id"
SEQ: Final = "ldv.seq"
KEY_ID: Final = "ldv.key_id"
SEALED: Final = "ldv.data_subject_sealed"
#: By which a Collector leads records on to the Logboek of their tenant; it takes the attribute out.
TENANT: Final = "ldv.tenant"

#: What the status of an answer means, where it is not 200. Any other means: not now, and perhaps it was stored.
_REFUSED: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY})
_RETRIES: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


class OtlpSink:
    """A `Sink` that sends batches to a Collector; see the protocol for who does what.

    A Collector cannot be asked what it has: read back is what it has confirmed itself. A batch that is sent again comes
    out as equal rows, which readers see once.
    """

    traits: Final = SinkTraits()

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        #: Last among the attributes, so that none of a record takes its place.
        self._whose = {TENANT: settings.tenant} if settings.routed else {}
        self._http: SinkClient | None = None
        self._headers: Mapping[str, str] = {}
        self._pid = 0
        self._confirmed: tuple[str, frozenset[int]] = ("", frozenset())
        self._resources: dict[str, Resource] = {}

    def open(self) -> None:
        """Connect, and send an empty request, which tells whether a Collector lets us in."""
        if self._http is None or self._pid != os.getpid():
            self._http, self._pid = _client(self._settings), os.getpid()
            self._headers = _headers(self._settings)
        self._send([])

    def send(self, batch: Batch) -> None:
        """Send a batch as one request."""
        self._send([self._span(batch, seq, record) for seq, record in zip(batch.seqs, batch.logregels, strict=True)])
        self._confirmed = (batch.writer_id, frozenset(batch.seqs))

    def read_back(self, batch: Batch) -> frozenset[int]:
        """Return what the Collector confirmed of this batch when it was last sent."""
        writer_id, seqs = self._confirmed
        return seqs & frozenset(batch.seqs) if writer_id == batch.writer_id else frozenset()

    def close(self) -> None:
        """Let go of the connection; one inherited over a fork is left to the parent."""
        http, self._http = self._http, None
        self._confirmed = ("", frozenset())
        if http is not None and self._pid == os.getpid():
            http.close()

    def _send(self, spans: list[ReadableSpan]) -> None:
        if self._http is None:
            self.open()
        if self._http is None:
            raise RuntimeError("open() returned without a connection")
        from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans  # an extra

        body: bytes = encode_spans(spans).SerializeToString()
        if "Content-Encoding" in self._headers:
            body = gzip.compress(body)
        answer = self._http.request("POST", _url(self._settings.logboek), headers=self._headers, content=body)
        _check(self._settings.logboek, answer)

    def _span(self, batch: Batch, seq: int, record: Logregel) -> ReadableSpan:
        from opentelemetry.sdk.trace import ReadableSpan  # imported already when this runs
        from opentelemetry.trace import SpanContext, StatusCode
        from opentelemetry.trace import Status as SpanStatus

        trace_id = int.from_bytes(record.trace_id, "big")
        parent = None
        if record.parent_span_id:
            parent = SpanContext(trace_id, int.from_bytes(record.parent_span_id, "big"), is_remote=False)
        return ReadableSpan(
            name=record.name,
            context=SpanContext(trace_id, int.from_bytes(record.span_id, "big"), is_remote=False),
            parent=parent,
            resource=self._resource(record.resource),
            attributes={**span_attributes(batch.writer_id, seq, record), **self._whose},
            status=SpanStatus(
                {Status.OK: StatusCode.OK, Status.ERROR: StatusCode.ERROR}.get(record.status, StatusCode.UNSET)
            ),
            start_time=ns_from_ms(record.start_time_ms),
            end_time=ns_from_ms(record.end_time_ms),
        )

    def _resource(self, text: str) -> Resource:
        """Return the OpenTelemetry form of a record's resource; a process has one, or few."""
        from opentelemetry.sdk.resources import Resource

        if text not in self._resources:
            if len(self._resources) > 100:  # noqa: PLR2004  (an import of many processes' records)
                self._resources.clear()
            self._resources[text] = Resource(json.loads(text))
        return self._resources[text]


def span_attributes(writer_id: str, seq: int, record: Logregel) -> dict[str, str]:
    """Return a record's fields as span attributes: the standard's where it has a name, ours for the rest."""
    fields = {
        names.PARENT_PROCESSING_ACTIVITY_ID: record.parent_processing_activity_id,
        names.DATA_SUBJECT_ID: record.data_subject_id.hex(),
        names.DATA_SUBJECT_ID_TYPE: record.data_subject_id_type,
        names.FOREIGN_OPERATION_TRACE_ID: record.foreign_operation_trace_id.hex(),
        names.FOREIGN_OPERATION_SPAN_ID: record.foreign_operation_span_id.hex(),
        names.FOREIGN_OPERATION_PROCESSOR: record.foreign_operation_processor,
        names.NEXT_LOGBOOK_ID: record.external_read_api_id,
        KEY_ID: record.key_id,
        SEALED: record.data_subject_sealed,
        OUTBOUND_SPAN_IDS: ",".join(span_id.hex() for span_id in record.outbound_span_ids),
        WRITER_ID: writer_id,
        SEQ: str(seq),
    }
    present = {name: value for name, value in fields.items() if value}
    return {**record.attributes, names.PROCESSING_ACTIVITY_ID: record.processing_activity_id, **present}


def _check(address: LogboekAddress, answer: httpx.Response) -> None:
    """Raise what an answer means for delivery; returning is a confirmation of every record."""
    status, kind = answer.status_code, answer.headers.get("Content-Type", "")
    said = f"The Collector {address} {answered(status, kind)}."
    if status == HTTPStatus.OK:
        _check_taken(address, answer)
        return
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        raise BatchTooLarge(f"{said} {likely_cause(status)}", code=status)
    if status in _REFUSED:
        raise BatchRefused(f"{said} It will never take these records as they are.", code=status)
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        raise _no_receiver(address, answer)
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _RETRIES:
        raise LogboekSetupError(
            f"{said} {likely_cause(status, kind)} Check that LDV_LOGBOEK names its OTLP/HTTP port, and the password or "
            "client certificate."
        )
    retry_after = retry_after_seconds(answer.headers.get("Retry-After", ""))
    raise LogboekUnavailable(
        f"{said} {likely_cause(status, kind)}".rstrip() + " What waits is sent again.", retry_after_seconds=retry_after
    )


def _check_taken(address: LogboekAddress, response: httpx.Response) -> None:
    """Raise an error unless an answer 200 is of an OTLP receiver and says that every record was taken.

    Its body is empty where nothing is to be said, so the content type is what tells it from an empty answer of anybody.
    It does not say which records were rejected. Delivery halves a batch that is refused down to those at fault.

    Source: OTLP specification 1.9, Full Success and Partial Success.
    """
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
        ExportTraceServiceResponse,
    )

    if response.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/x-protobuf":
        raise _no_receiver(address, response)
    try:
        answer = ExportTraceServiceResponse.FromString(response.content)
    except DecodeError:
        raise _no_receiver(address, response) from None
    rejected = answer.partial_success.rejected_spans
    if rejected:
        raise BatchRefused(f"The Collector {address} rejected {rejected} of these records.", code=HTTPStatus.OK)


def _no_receiver(address: LogboekAddress, response: httpx.Response) -> LogboekSetupError:
    """Return the error for an answer of success that confirms nothing: said at the start, and waited out later."""
    status, kind = response.status_code, response.headers.get("Content-Type", "")
    return LogboekSetupError(
        f"What answers at {address} is no OTLP receiver: it {answered(status, kind)}, where an OTLP receiver says 200 "
        f"with application/x-protobuf. {likely_cause(status, kind)} Records wait meanwhile. Check LDV_LOGBOEK."
    )


def _client(settings: Settings) -> SinkClient:
    try:
        import opentelemetry.exporter.otlp.proto.common.trace_encoder  # noqa: F401  (an extra, 0.1 s)

        from ldv_otel._internal.http.outgoing import proxy_for
        from ldv_otel._internal.http.sink_client import SinkClient  # imports an extra
    except ImportError as error:
        raise ConfigurationError(
            f"LDV_LOGBOEK is {settings.logboek}, but what speaks OTLP is not installed. "
            "Run `pip install 'ldv-otel[otlp]'`."
        ) from error
    return SinkClient(
        f"The Collector {settings.logboek}",
        proxy=proxy_for(str(settings.logboek).partition("+")[2], settings.proxy),
        tls=logboek_tls_context(settings),
        answer_seconds=TIMEOUT_SECONDS,
        connect_seconds=_CONNECT_SECONDS,
        idle_seconds=_IDLE_SECONDS,
    )


def _headers(settings: Settings) -> dict[str, str]:
    headers = {"Content-Type": "application/x-protobuf"}
    if not is_loopback(settings.logboek.host):
        headers["Content-Encoding"] = "gzip"
    if secret := logboek_password(settings):
        headers["Authorization"] = f"Bearer {secret}"
    return headers


def _url(address: LogboekAddress) -> str:
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{address.scheme.removeprefix('otlp+')}://{host}:{address.port}/v1/traces"


def open_sink(settings: Settings) -> OtlpSink:
    """Return the sink for the `otlp+...` schemes; entry point of the group `ldv_otel_sink`."""
    return OtlpSink(settings)
