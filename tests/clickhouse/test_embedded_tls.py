"""`ldv logboek` for other machines: with TLS, its secret, and an address beyond loopback."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ldv_otel._internal.clickhouse.embedded import Listening, serve
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.config.settings import Settings, read_settings
from ldv_otel._internal.delivery.batch import number_batch
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel.errors import ConfigurationError, LogboekUnavailable
from tests.support.logboek import SECRET, LogboekProcess
from tests.support.tls import make_certificates


class TlsLogboek(LogboekProcess):
    """`ldv logboek` on all addresses of this machine.

    Args:
        certificate: PEM file with key and certificate.
    """

    def __init__(self, path: Path, certificate: Path) -> None:
        self._certificate = certificate
        super().__init__(path)

    @property
    def arguments(self) -> list[str]:
        """After the program's own."""
        return ["--listen", f"0.0.0.0:{self.port}", "--certificate", os.fspath(self._certificate)]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The PEM files of an authority, and of a server's certificate by it."""
    return make_certificates(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory, authority: tuple[Path, Path]) -> Iterator[dict[str, str]]:
    """The variables of a client of one that runs."""
    with TlsLogboek(tmp_path_factory.mktemp("tls") / "logboek", authority[1]) as process:
        yield {
            "LDV_LOGBOEK": f"clickhouse+https://127.0.0.1:{process.port}/ldv",
            "LDV_LOGBOEK_PASSWORD": SECRET,
            "LDV_LOGBOEK_CA_FILE": os.fspath(authority[0]),
        }


def send(settings: Settings) -> None:
    """Store a record."""
    sink = ClickHouseSink(settings)
    sink.open()
    try:
        record = Logregel(trace_id=b"t" * 16, span_id=b"s" * 8, name="Wijzig", start_time_ms=1, end_time_ms=2)
        sink.send(number_batch("w", 0, [record]))
    finally:
        sink.close()


def test_a_client_stores_and_reads_over_tls(environ: dict[str, str]) -> None:
    """With the real driver, which checks the certificate."""
    settings = read_settings(environ)
    apply_schema(settings)
    send(settings)


@pytest.mark.parametrize(
    "without", [{"LDV_LOGBOEK_PASSWORD": "wrong"}, {"LDV_LOGBOEK_PASSWORD": ""}, {"LDV_LOGBOEK_CA_FILE": ""}]
)
def test_who_has_no_secret_or_does_not_know_the_authority_gets_nothing(
    environ: dict[str, str], without: dict[str, str]
) -> None:
    """Not even where another client of this user was let in."""
    with pytest.raises((ConfigurationError, LogboekUnavailable)):
        send(read_settings({name: value for name, value in (environ | without).items() if value}))


def test_nobody_talks_to_it_in_the_clear(environ: dict[str, str]) -> None:
    """The secret would cross the network."""
    port = int(environ["LDV_LOGBOEK"].rpartition(":")[2].partition("/")[0])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with pytest.raises((http.client.HTTPException, OSError)):
        connection.request("GET", "/ping")
        connection.getresponse()
    connection.close()


def test_a_certificate_that_cannot_be_used_is_told_before_anything_starts(
    tmp_path: Path, authority: tuple[Path, Path]
) -> None:
    """A missing file, a file without a key, no certificate at all."""
    (tmp_path / "text.pem").write_text("nothing\n")
    for files in ((tmp_path / "missing.pem", None), (authority[0], None), (tmp_path / "text.pem", None)):
        with pytest.raises(
            ConfigurationError, match=r"--certificate or --private-key cannot be used .*Nothing was started"
        ):
            serve(tmp_path / "logboek", Listening("127.0.0.1", 0, files))
    assert not (tmp_path / "logboek").exists()


def test_a_key_alone_is_refused(tmp_path: Path) -> None:
    """It would be served in the clear by somebody who thinks that it is not."""
    command = ["logboek", "--path", str(tmp_path / "logboek"), "--private-key", str(tmp_path / "key.pem")]
    done = subprocess.run(
        [sys.executable, "-m", "ldv_otel._internal.cli", *command],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1
    assert "--certificate" in done.stderr
    assert not (tmp_path / "logboek").exists()
