"""network.yaml: nobody on another machine gets in without TLS and a certificate; and what a filter leaves out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import requests

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.delivery.otlp_sink import OtlpSink
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel.errors import LdvError
from tests.collector.spans import actie, request_of, span
from tests.support.collector import CollectorProcess
from tests.support.logboek import SECRET, LogboekProcess
from tests.support.loopback import free_port
from tests.support.tls import Authority


class Network(NamedTuple):
    """A Collector that listens on the network, and who may talk to it."""

    port: int
    authority: Authority
    settings: Settings


@pytest.fixture(scope="module")
def network(program: Path, served: LogboekProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """confirmed.yaml with network.yaml, and technical spans left out."""
    directory = tmp_path_factory.mktemp("network")
    authority = Authority(directory)
    server = authority.server()
    address = LogboekAddress(scheme="clickhouse+http", host="127.0.0.1", port=served.port, database="network")
    settings = Settings(logboek=address)
    apply_schema(settings, collector=True)
    port = free_port()
    environ = {
        "LDV_CLICKHOUSE_ENDPOINT": f"http://127.0.0.1:{served.port}",
        "LDV_CLICKHOUSE_PASSWORD": SECRET,
        "LDV_CLICKHOUSE_DATABASE": "network",
        "LDV_TECHNICAL_SPANS": "drop",
        "LDV_LISTEN_HOST": "127.0.0.1",
        "LDV_LISTEN_HTTP_PORT": str(port),
        "LDV_LISTEN_GRPC_PORT": str(free_port()),
        "LDV_TLS_CERT_FILE": str(server),
        "LDV_TLS_KEY_FILE": str(server),
        "LDV_TLS_CLIENT_CA_FILE": str(authority.file),
    }
    with CollectorProcess(program, ["confirmed.yaml", "network.yaml"], directory, environ):
        yield Network(port, authority, settings)


def sink_of(network: Network, client: Path | None, authority: Authority | None) -> OtlpSink:
    """A sink with what a service has."""
    return OtlpSink(
        Settings(
            logboek=LogboekAddress(scheme="otlp+https", host="127.0.0.1", port=network.port),
            ca_file=authority.file if authority else None,
            client_cert_file=client,
            client_key_file=client,
        )
    )


def test_a_service_with_a_certificate_gets_in(network: Network) -> None:
    """Over TLS, end to end."""
    sink = sink_of(network, network.authority.client("service"), network.authority)
    record = Logregel(trace_id=b"n" * 16, span_id=b"n" * 8, name="x", start_time_ms=10**12, end_time_ms=10**12)
    sink.open()
    sink.send(number_batch(new_writer_id(), 0, [record]))
    sink.close()
    with LogboekClient(network.settings) as client:
        assert len(read.by_trace(client, record.trace_id.hex())) == 1


def test_nobody_else_does(network: Network, tmp_path: Path) -> None:
    """Without a certificate, with one of another authority, or without TLS."""
    stranger = Authority(tmp_path)
    for client in (None, stranger.client("service")):
        with pytest.raises(LdvError):
            sink_of(network, client, network.authority).open()
    body = request_of([actie()])
    answer = requests.post(f"http://127.0.0.1:{network.port}/v1/traces", data=body, timeout=10)
    assert answer.status_code == 400


def test_a_collector_that_proves_nothing_gets_nothing(network: Network, tmp_path: Path) -> None:
    """The service checks the Collector as well, and says what to set."""
    mine = network.authority.client("service")
    for authority in (None, Authority(tmp_path)):
        with pytest.raises(LdvError, match="LDV_LOGBOEK_CA_FILE"):
            sink_of(network, mine, authority).open()


def test_technical_spans_can_be_left_out(network: Network) -> None:
    """Every kind of Actie passes; of the rest not even the place is kept."""
    mine = network.authority.client("service")
    marks = ["dpl.core.processing_activity_id", "dpl.core.data_subject_id"]
    marks += [f"dpl.objects.{name}_id" for name in ("processing_activity", "algorithm", "dataproduct", "data_product")]
    acties = [span({mark: "1"}, trace_id=b"m" * 16) for mark in marks]
    technical = span({"http.route": "/x"}, trace_id=b"m" * 16, kind=3)
    answer = requests.post(
        f"https://127.0.0.1:{network.port}/v1/traces",
        data=request_of([*acties, technical]),
        headers={"Content-Type": "application/x-protobuf"},
        cert=str(mine),
        verify=str(network.authority.file),
        timeout=30,
    )
    assert answer.status_code == 200
    with LogboekClient(network.settings) as client:
        assert len(read.by_trace(client, (b"m" * 16).hex())) == len(marks)
        assert client.rows(Sql("SELECT count() FROM technical_span")) == [(0,)]
