"""Writing through an OpenTelemetry Collector: the Sink for `otlp+https://collector:4318`.

The OTLP exporter package encodes and sends; what it makes of an answer is not used. By itself it would repeat a request
for as long as its timeout lasts, take any status below 400 for success, pass over the part of a batch that a Collector
says it rejected, and drop what is larger than a limit. Here each request is sent once, and retries are delivery's.

What 200 promises is up to the Collector: with collector-config/confirmed.yaml, that ClickHouse has the records.
"""

from __future__ import annotations

import json
import os
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from ldv_otel import attributes as names
from ldv_otel._internal.config.address import LogboekAddress, is_loopback
from ldv_otel._internal.config.secrets import logboek_client_certificate, logboek_password
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import Batch
from ldv_otel._internal.http.quiet_logs import silent
from ldv_otel._internal.http.retry_after import retry_after_seconds
from ldv_otel._internal.record.logregel import Logregel, Status
from ldv_otel._internal.times.instants import ns_from_ms
from ldv_otel.errors import BatchRefused, ConfigurationError, LdvError, LogboekUnavailable

if TYPE_CHECKING:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from requests import Response

#: Longer than a Collector waits for ClickHouse, whose outcome would else remain unknown.
TIMEOUT_SECONDS: Final = 60.0

_EXPORTER_LOGGER: Final = "opentelemetry.exporter.otlp.proto.http.trace_exporter"

#: Attributes of our own, which the views behind a Collector turn into columns again (schema/collector.sql).
WRITER_ID: Final = "ldv.writer_id"
SEQ: Final = "ldv.seq"
KEY_ID: Final = "ldv.key_id"
SEALED: Final = "ldv.data_subject_sealed"
OUTBOUND_SPAN_IDS: Final = "ldv.outbound_span_ids"

#: What the status of an answer means, where it is not 200. Any other means: not now, and perhaps it was stored.
_REFUSED: Final = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY}
)
_RETRIES: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


class OtlpSink:
    """A `Sink` that sends batches to a Collector; see the protocol for who does what.

    A Collector cannot be asked what it has: read back is what it has confirmed itself. A batch that is sent again comes
    out as equal rows, which readers see once.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._exporter: OTLPSpanExporter | None = None
        self._outcome = _Outcome()
        self._pid = 0
        self._confirmed: tuple[str, frozenset[int]] = ("", frozenset())
        self._resources: dict[str, Resource] = {}

    def open(self) -> None:
        """Connect, and send an empty request, which tells whether a Collector lets us in."""
        if self._exporter is None or self._pid != os.getpid():
            self._exporter, self._pid = _exporter(self._settings, self._outcome), os.getpid()
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
        exporter, self._exporter = self._exporter, None
        self._confirmed = ("", frozenset())
        if exporter is not None and self._pid == os.getpid():
            exporter.shutdown()  # type: ignore[no-untyped-call]  # theirs lacks an annotation

    def _send(self, spans: list[ReadableSpan]) -> None:
        if self._exporter is None:
            self.open()
        if self._exporter is None:
            raise RuntimeError("open() returned without a connection")
        self._outcome.clear()
        with silent(_EXPORTER_LOGGER):
            self._exporter.export(spans)
        error = self._outcome.error(self._settings.logboek)
        if error is not None:
            raise error

    def _span(self, batch: Batch, seq: int, record: Logregel) -> ReadableSpan:
        from opentelemetry.sdk.trace import ReadableSpan  # noqa: PLC0415  (imported already when this runs)
        from opentelemetry.trace import SpanContext, StatusCode  # noqa: PLC0415
        from opentelemetry.trace import Status as SpanStatus  # noqa: PLC0415

        trace_id = int.from_bytes(record.trace_id, "big")
        parent = None
        if record.parent_span_id:
            parent = SpanContext(trace_id, int.from_bytes(record.parent_span_id, "big"), is_remote=False)
        return ReadableSpan(
            name=record.name,
            context=SpanContext(trace_id, int.from_bytes(record.span_id, "big"), is_remote=False),
            parent=parent,
            resource=self._resource(record.resource),
            attributes=span_attributes(batch.writer_id, seq, record),
            status=SpanStatus(
                {Status.OK: StatusCode.OK, Status.ERROR: StatusCode.ERROR}.get(record.status, StatusCode.UNSET)
            ),
            start_time=ns_from_ms(record.start_time_ms),
            end_time=ns_from_ms(record.end_time_ms),
        )

    def _resource(self, text: str) -> Resource:
        """Return the OpenTelemetry form of a record's resource; a process has one, or few."""
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415

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
        names.EXTERNAL_READ_API_ID: record.external_read_api_id,
        KEY_ID: record.key_id,
        SEALED: record.data_subject_sealed,
        OUTBOUND_SPAN_IDS: ",".join(span_id.hex() for span_id in record.outbound_span_ids),
        WRITER_ID: writer_id,
        SEQ: str(seq),
    }
    given = {name: value for name, value in fields.items() if value}
    return {**record.attributes, names.PROCESSING_ACTIVITY_ID: record.processing_activity_id, **given}


class _Outcome:
    """What became of the one request that was made: an answer, a failure, or nothing."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget the request before."""
        self.response: Response | None = None
        self.failure: Exception | None = None

    def error(self, address: LogboekAddress) -> LdvError | None:
        """Return what that means for delivery; None only for a confirmation of every record."""
        if self.response is None:
            return _no_answer(address, self.failure)
        status, said = self.response.status_code, f"The Collector {address} answered {self.response.status_code}."
        if status == HTTPStatus.OK:
            return _partial_success(address, self.response)
        if status in _REFUSED:
            return BatchRefused(f"{said} It will never take these records as they are.", code=status)
        if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _RETRIES:
            return ConfigurationError(
                f"{said} Check that LDV_LOGBOEK names its OTLP/HTTP port, and the password or client certificate."
            )
        wish = retry_after_seconds(self.response.headers.get("Retry-After", ""))
        return LogboekUnavailable(f"{said} What waits is sent again.", retry_after_seconds=wish)


def _no_answer(address: LogboekAddress, failure: Exception | None) -> LdvError:
    from requests.exceptions import ConnectTimeout, SSLError  # noqa: PLC0415

    label = type(failure).__name__ if failure is not None else "the request was not made"
    said = f"The Collector {address} cannot be reached: {label}."
    if isinstance(failure, SSLError):
        said += " If an authority of your own signed its certificate, LDV_LOGBOEK_CA_FILE has to name it."
    return LogboekUnavailable(said, in_doubt=not isinstance(failure, ConnectTimeout))


def _partial_success(address: LogboekAddress, response: Response) -> LdvError | None:
    """Return an error unless the body of an answer 200 says that every record was taken.

    It does not say which were rejected. Delivery halves a batch that is refused down to the records at fault.

    Source: OTLP specification 1.9, Partial Success.
    """
    from google.protobuf.message import DecodeError  # noqa: PLC0415
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: PLC0415
        ExportTraceServiceResponse,
    )

    stranger = ConfigurationError(
        f"What answers at {address} is no OTLP receiver: it said 200 and sent something else. Check LDV_LOGBOEK."
    )
    if not response.headers.get("Content-Type", "").startswith("application/x-protobuf"):
        return stranger
    try:
        answer = ExportTraceServiceResponse.FromString(response.content)
    except DecodeError:
        return stranger
    rejected = answer.partial_success.rejected_spans
    if rejected:
        return BatchRefused(f"The Collector {address} rejected {rejected} of these records.", code=HTTPStatus.OK)
    return None


def _exporter(settings: Settings, outcome: _Outcome) -> OTLPSpanExporter:
    """Return an exporter that sends once and to whom the environment of other exporters means nothing."""
    try:
        from opentelemetry.exporter.otlp.proto.http import Compression  # noqa: PLC0415  (an extra, 0.1 s)
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from requests import Session  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError(
            f"LDV_LOGBOEK is {settings.logboek}, but what speaks OTLP is not installed. "
            "Run `pip install 'ldv-otel[otlp]'`."
        ) from error

    verify: bool | str = str(settings.ca_file) if settings.ca_file else True
    cert = logboek_client_certificate(settings)

    class OneRequest(Session):
        """Keeps what came of a request, and raises for anything but 200 what the exporter does not retry."""

        def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> Response:
            given = kwargs.get("headers") or {}
            kwargs["headers"] = headers | {name: given[name] for name in given if name.lower().startswith("content-")}
            try:
                response = super().request(method, url, *args, **kwargs)
            except Exception as error:  # noqa: BLE001  (all of it is told; the exporter would make a log line of it)
                outcome.failure = error
                raise _NotConfirmedError from None
            outcome.response = response
            if response.status_code != HTTPStatus.OK:
                raise _NotConfirmedError
            return response

    secret = logboek_password(settings)
    headers = {"User-Agent": "ldv_otel", **({"Authorization": f"Bearer {secret}"} if secret else {})}
    session = OneRequest()
    # No proxy, and no password of a .netrc file, that was meant for others.
    session.trust_env = False
    address = settings.logboek
    host = f"[{address.host}]" if ":" in address.host else address.host
    exporter = OTLPSpanExporter(
        endpoint=f"{address.scheme.removeprefix('otlp+')}://{host}:{address.port}/v1/traces",
        timeout=TIMEOUT_SECONDS,
        compression=Compression.NoCompression if is_loopback(address.host) else Compression.Gzip,
        session=session,
        max_request_size=0,
    )
    # The exporter has put here what OTEL_EXPORTER_OTLP_* variables say, which are for the tracing backend.
    session.verify, session.cert = verify, cert
    return exporter


class _NotConfirmedError(Exception):
    """Ends the exporter's own handling of a request."""


def open_sink(settings: Settings) -> OtlpSink:
    """Return the sink for the `otlp+...` schemes; entry point of the group `ldv_otel_sink`."""
    return OtlpSink(settings)
