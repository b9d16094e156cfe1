"""The Sink for Collectors against answers of every kind; tests/collector has it with the real one."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings, read_settings
from ldv_otel._internal.delivery.batch import Batch, new_writer_id, number_batch
from ldv_otel._internal.delivery.otlp_sink import OtlpSink
from ldv_otel._internal.delivery.sink import Sink, make_sink
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel.errors import BatchRefused, ConfigurationError, LdvError, LogboekUnavailable
from tests.support.chance import examples
from tests.support.collector import HttpRecorder
from tests.support.loopback import free_port
from tests.support.sending import deliver_whole
from tests.support.tls import Authority, TlsRelay

PROTOBUF = {"Content-Type": "application/x-protobuf"}


def a_batch(records: int = 3) -> Batch:
    """Some records."""
    logregels = [
        Logregel(trace_id=b"t" * 16, span_id=bytes([n]) * 8, name="x", start_time_ms=n, end_time_ms=n)
        for n in range(1, records + 1)
    ]
    return number_batch(new_writer_id(), 0, logregels)


def partial(rejected: int) -> bytes:
    """An answer 200 of a Collector that did not take everything."""
    said = ExportTracePartialSuccess(rejected_spans=rejected, error_message="no")
    return bytes(ExportTraceServiceResponse(partial_success=said).SerializeToString())


@pytest.fixture
def stranger() -> Iterator[HttpRecorder]:
    """Something that answers as it is told."""
    with HttpRecorder() as found:
        yield found


@pytest.fixture
def sink(stranger: HttpRecorder) -> Iterator[OtlpSink]:
    """A sink on it, opened."""
    found = OtlpSink(settings_for(stranger.port))
    found.open()
    stranger.bodies.clear()
    yield found
    found.close()


def settings_for(port: int, password: str = "") -> Settings:
    """The address of a Collector on loopback."""
    return Settings(logboek=LogboekAddress(scheme="otlp+http", host="127.0.0.1", port=port), password=password)


@pytest.mark.parametrize(
    ("status", "headers", "body", "error"),
    [
        (200, PROTOBUF, partial(1), BatchRefused),
        (200, PROTOBUF, partial(3), BatchRefused),
        (400, {}, b"", BatchRefused),
        (413, {}, b"", BatchRefused),
        (401, {}, b"", ConfigurationError),
        (403, {}, b"", ConfigurationError),
        (404, {}, b"", ConfigurationError),
        (200, {"Content-Type": "text/html"}, b"<html>", ConfigurationError),
        (200, PROTOBUF, b"\xff\xff", ConfigurationError),
        (302, {"Location": "http://127.0.0.1:1/"}, b"", ConfigurationError),
        (201, PROTOBUF, b"", ConfigurationError),
        (202, PROTOBUF, b"", ConfigurationError),
        (204, PROTOBUF, b"", ConfigurationError),
        (200, {}, b"", ConfigurationError),
        (408, {}, b"", LogboekUnavailable),
        (429, {}, b"", LogboekUnavailable),
        (500, {}, b"", LogboekUnavailable),
        (502, {}, b"", LogboekUnavailable),
        (503, {}, b"", LogboekUnavailable),
        (504, {}, b"", LogboekUnavailable),
    ],
)
def test_what_an_answer_means(  # noqa: PLR0917  (a table)
    stranger: HttpRecorder, sink: OtlpSink, status: int, headers: dict[str, str], body: bytes, error: type[LdvError]
) -> None:
    """And that there is one request for each send: the exporter's own retries would hide the first answer."""
    stranger.answers.append((status, headers, body))
    batch = a_batch()
    with pytest.raises(error):
        sink.send(batch)
    assert len(stranger.bodies) == 1
    assert sink.read_back(batch) == frozenset()


@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    status=st.sampled_from((200, 201, 202, 203, 204, 206, 302, 400, 401, 403, 404, 408, 413, 429, 500, 502, 503, 507)),
    kind=st.sampled_from(("application/x-protobuf", "application/json", "text/html", "text/plain", "")),
    body=st.sampled_from((b"", b"{}", b"<html></html>", b"Ok.", partial(1), partial(0))) | st.binary(max_size=40),
)
def test_only_a_receivers_200_confirms(
    stranger: HttpRecorder, sink: OtlpSink, status: int, kind: str, body: bytes
) -> None:
    """Status 200, the content type of an OTLP receiver, and a message in which nothing is rejected."""
    stranger.answers[:] = [(status, {"Content-Type": kind} if kind else {}, b"" if status == 204 else body)]
    batch = a_batch()
    try:
        sink.send(batch)
    except (BatchRefused, ConfigurationError, LogboekUnavailable):
        assert sink.read_back(batch) == frozenset()
        return
    assert (status, kind) == (200, "application/x-protobuf")
    assert not ExportTraceServiceResponse.FromString(body).partial_success.rejected_spans


def test_200_confirms(stranger: HttpRecorder, sink: OtlpSink) -> None:
    """With an empty body, or a warning in it."""
    batch = a_batch()
    sink.send(batch)
    assert sink.read_back(batch) == {0, 1, 2}
    warning = ExportTraceServiceResponse(partial_success=ExportTracePartialSuccess(error_message="slow today"))
    stranger.answers.append((200, PROTOBUF, warning.SerializeToString()))
    sink.send(a_batch())


def test_retry_after_is_passed_on(stranger: HttpRecorder, sink: OtlpSink) -> None:
    """Delivery waits for as long as a Collector asks."""
    stranger.answers.append((503, {"Retry-After": "17"}, b""))
    with pytest.raises(LogboekUnavailable) as caught:
        sink.send(a_batch())
    assert caught.value.retry_after_seconds == 17
    assert caught.value.in_doubt


def test_what_another_process_sent_is_sent_again(stranger: HttpRecorder, sink: OtlpSink) -> None:
    """A Collector cannot say what it has, so a batch in doubt is not taken for stored."""
    deliver_whole(a_batch(), sink, wait=lambda _: False, in_doubt=True)
    assert len(stranger.bodies) == 1
    stranger.answers += [(503, {}, b""), (503, {}, b"")]
    deliver_whole(a_batch(), sink, wait=lambda _: False)
    assert len(stranger.bodies) == 4


def test_a_collector_that_is_away() -> None:
    """Opening says so; delivery tries again."""
    port = free_port()
    with pytest.raises(LogboekUnavailable, match="cannot be reached"):
        OtlpSink(settings_for(port)).open()


def test_settings_of_the_tracing_backend_mean_nothing_here(
    stranger: HttpRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its password is not for the Logboek's Collector, its endpoint and limits are not ours."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=other,x-tenant=other")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nonexistent")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/nonexistent")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    sink = OtlpSink(settings_for(stranger.port, "token"))
    sink.send(a_batch())
    sink.close()
    sent = {name.lower(): value for name, value in stranger.headers[-1].items()}
    assert sent["authorization"] == "Bearer token"
    assert sent["content-type"] == "application/x-protobuf"
    assert "x-tenant" not in sent
    request = ExportTraceServiceRequest.FromString(stranger.bodies[-1])
    assert len(request.resource_spans[0].scope_spans[0].spans) == 3


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"LDV_LOGBOEK": "otlp+https://collector:4318/v1/traces"}, "path or user"),
        ({"LDV_LOGBOEK": "otlp+http://collector:4318"}, "plain http"),
    ],
)
def test_addresses_that_cannot_work(variables: dict[str, str], message: str) -> None:
    """They stop the start."""
    with pytest.raises(ConfigurationError, match=message):
        read_settings(variables)


def test_an_address() -> None:
    """The port of OTLP over HTTP is the default."""
    settings = read_settings({"LDV_LOGBOEK": "otlp+https://collector"})
    assert str(settings.logboek) == "otlp+https://collector:4318"
    assert isinstance(make_sink(settings), Sink)
    with pytest.raises(ConfigurationError, match="not read"):
        LogboekClient(settings)


def test_half_a_client_certificate_stops_the_start() -> None:
    """The other half is named."""
    settings = read_settings({"LDV_LOGBOEK": "otlp+https://collector", "LDV_LOGBOEK_CLIENT_CERT_FILE": "/x"})
    with pytest.raises(ConfigurationError, match="LDV_LOGBOEK_CLIENT_KEY_FILE"):
        OtlpSink(settings).open()


def test_both_sides_prove_who_they_are(stranger: HttpRecorder, tmp_path: Path) -> None:
    """Records go to a Collector of a known authority only, and it sees our certificate; what is missing is named."""
    authority = Authority(tmp_path)
    mine = authority.client("parkeren.example")
    with TlsRelay(authority.server(), stranger.port, authority.file) as relay:
        address = LogboekAddress(scheme="otlp+https", host="127.0.0.1", port=relay.port)
        proven = Settings(logboek=address, ca_file=authority.file, client_cert_file=mine, client_key_file=mine)
        sink = OtlpSink(proven)
        batch = a_batch()
        sink.send(batch)
        assert sink.read_back(batch) == {0, 1, 2}
        sink.close()
        sent = len(stranger.bodies)
        with pytest.raises(LogboekUnavailable, match="LDV_LOGBOEK_CA_FILE") as untrusted:
            OtlpSink(Settings(logboek=address)).open()
        assert not untrusted.value.in_doubt
        with pytest.raises(LogboekUnavailable):
            OtlpSink(Settings(logboek=address, ca_file=authority.file)).open()
        broken = tmp_path / "broken.pem"
        broken.write_text("no certificate", encoding="utf-8")
        with pytest.raises(ConfigurationError, match="LDV_LOGBOEK_CLIENT_CERT_FILE"):
            OtlpSink(
                Settings(logboek=address, ca_file=authority.file, client_cert_file=broken, client_key_file=broken)
            ).open()
    assert len(stranger.bodies) == sent


def test_what_goes_over_a_network_is_packed(stranger: HttpRecorder) -> None:
    """Loopback has nothing to save; anywhere else a request is gzip."""
    sink = OtlpSink(Settings(logboek=LogboekAddress(scheme="otlp+http", host="127.1", port=stranger.port)))
    sink.send(a_batch())
    sink.close()
    assert stranger.headers[-1]["Content-Encoding"] == "gzip"
    request = ExportTraceServiceRequest.FromString(gzip.decompress(stranger.bodies[-1]))
    assert len(request.resource_spans[0].scope_spans[0].spans) == 3


def test_nothing_is_logged_of_a_request(
    stranger: HttpRecorder, sink: OtlpSink, caplog: pytest.LogCaptureFixture
) -> None:
    """What a Collector answers is said once, by delivery."""
    caplog.set_level(logging.INFO)
    stranger.answers.append((503, {}, b""))
    with pytest.raises(LogboekUnavailable):
        sink.send(a_batch())
    sink.send(a_batch())
    assert not caplog.records
