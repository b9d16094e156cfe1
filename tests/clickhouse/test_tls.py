"""TLS to a server: the real driver, a certificate authority of our own (LDV-L1)."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.config.settings import Settings, read_settings
from ldv_otel.errors import ConfigurationError, LogboekUnavailable
from tests.support.logboek import SECRET, LogboekProcess
from tests.support.tls import TlsRelay, make_certificates

PASSWORD = SECRET


@pytest.fixture
def authority_and_relay(tmp_path: Path, logboek_process: LogboekProcess) -> Iterator[tuple[Path, TlsRelay]]:
    """A Logboek behind TLS."""
    authority, certificate = make_certificates(tmp_path)
    with TlsRelay(certificate, logboek_process.port) as relay:
        yield authority, relay


def settings(relay: TlsRelay, **more: str) -> Settings:
    """Settings as a service on the network has them."""
    return read_settings({"LDV_LOGBOEK": f"clickhouse+https://schrijver@127.0.0.1:{relay.port}/default"} | more)


def test_a_server_with_a_known_authority(authority_and_relay: tuple[Path, TlsRelay], tmp_path: Path) -> None:
    """User and password travel inside TLS; the password may come from a file."""
    authority, relay = authority_and_relay
    password_file = tmp_path / "password"
    password_file.write_text(PASSWORD + "\n")
    found = settings(relay, LDV_LOGBOEK_CA_FILE=str(authority), LDV_LOGBOEK_PASSWORD_FILE=str(password_file))
    with LogboekClient(found) as client:
        assert client.rows(Sql("SELECT 1")) == [(1,)]
    assert base64.b64encode(f"schrijver:{PASSWORD}".encode()) in relay.seen


def test_a_server_that_cannot_prove_itself(
    authority_and_relay: tuple[Path, TlsRelay], caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is sent, and nothing secret is said."""
    _, relay = authority_and_relay
    with pytest.raises(LogboekUnavailable) as caught:
        LogboekClient(settings(relay, LDV_LOGBOEK_PASSWORD=PASSWORD))
    assert "LDV_LOGBOEK_CA_FILE" in str(caught.value)
    assert not caught.value.in_doubt
    assert not relay.seen
    assert PASSWORD not in str(caught.value) + caplog.text


def test_a_password_file_that_is_missing(authority_and_relay: tuple[Path, TlsRelay]) -> None:
    """It is named."""
    _, relay = authority_and_relay
    with pytest.raises(ConfigurationError, match="LDV_LOGBOEK_PASSWORD_FILE"):
        LogboekClient(settings(relay, LDV_LOGBOEK_PASSWORD_FILE="/nowhere/password"))  # a path
