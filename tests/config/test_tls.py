from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from ldv_otel._internal.config.settings import read_settings
from ldv_otel._internal.config.tls import logboek_tls_context, tls_context
from ldv_otel.errors import ConfigurationError


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_that_tls_cannot_use_is_one_sentence(tmp_path: Path, content: str | None) -> None:
    """Whatever OpenSSL calls it: which settings, why, and what has not happened."""
    authority = tmp_path / "ca.pem"
    if content is not None:
        authority.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"^LDV_X cannot be used \(.+\)\. Nothing was started\.$"):
        tls_context(authority, None, named_by="LDV_X", consequence="Nothing was started.")


def test_servers_are_checked_by_default() -> None:
    """A context for a client wants a certificate with the server's name."""
    context = tls_context(None, None, named_by="LDV_X")
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_the_context_for_a_logboek_names_its_variables(tmp_path: Path) -> None:
    """Whoever reads the error knows where to look."""
    authority = tmp_path / "ca.pem"
    authority.touch()
    environ = {"LDV_LOGBOEK": "otlp+https://collector.example", "LDV_LOGBOEK_CA_FILE": str(authority)}
    with pytest.raises(
        ConfigurationError, match=r"^LDV_LOGBOEK_CA_FILE, .* cannot be used .* Logging did not start\.$"
    ):
        logboek_tls_context(read_settings(environ))
