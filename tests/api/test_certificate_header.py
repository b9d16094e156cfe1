"""The header in which a trusted proxy passes the client's certificate on: one certificate, and nothing around it."""

from __future__ import annotations

import base64
import logging
from pathlib import Path
from urllib.parse import quote

import pytest
from starlette.requests import Request

from ldv_otel._internal.api.auth import certificates
from ldv_otel._internal.api.auth.certificates import certificate_of
from ldv_otel._internal.config.networks import parse_networks
from ldv_otel._internal.config.settings import ServeSettings
from ldv_otel._internal.parties.evidence import Certificate
from tests.support.tls import Authority

SETTINGS = ServeSettings(proxies=parse_networks(["10.0.0.1"]))


@pytest.fixture(scope="module")
def pems(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Certificates of two clients, in PEM."""
    authority = Authority(tmp_path_factory.mktemp("header"))
    first, second = (_certificate(authority.client(name)) for name in ("eerste", "tweede"))
    return first, second


def _certificate(file: Path) -> str:
    text = file.read_text()
    begin = text.index("-----BEGIN CERTIFICATE-----")
    end = "-----END CERTIFICATE-----"
    return text[begin : text.index(end, begin) + len(end)] + "\n"


def seen(*values: str) -> Certificate | None:
    """What is made of these headers, from the proxy."""
    headers = [(b"client-cert", value.encode("latin-1")) for value in values]
    return certificate_of(Request({"type": "http", "headers": headers, "client": ("10.0.0.1", 1)}), SETTINGS)


def der_of(pem: str) -> str:
    """The same as one line of base64."""
    return "".join(pem.splitlines()[1:-1])


def test_every_form_of_one_certificate_is_read(pems: tuple[str, str]) -> None:
    """RFC 9440, bare base64 (HAProxy, Traefik, Azure), URL-encoded PEM (nginx, Envoy), and PEM on one line."""
    pem, _ = pems
    forms = [f":{der_of(pem)}:", der_of(pem), f" {der_of(pem)} ", quote(pem, safe=""), pem.replace("\n", " ")]
    assert len({certificate.fingerprint for form in forms if (certificate := seen(form))}) == 1
    assert all(seen(form) for form in forms)


def test_nothing_stands_around_it(pems: tuple[str, str], caplog: pytest.LogCaptureFixture) -> None:
    """A proxy that appends would put the client's forged one first; one warning says so."""
    certificates._warn_once.cache_clear()
    first, second = pems
    with caplog.at_level(logging.WARNING):
        for value in (
            quote(first + second, safe=""),
            quote("x" + first, safe=""),
            quote(first + "x", safe=""),
            f"{der_of(first)},{der_of(second)}",
            f'By=x;Cert="{quote(first, safe="")}",By=y;Cert="{quote(second, safe="")}"',
            f":{der_of(first)}:, :{der_of(second)}:",
            der_of(first)[:-8],
            base64.b64encode(b"no certificate").decode(),
            "x",
            "A" * 20_000,
        ):
            assert seen(value) is None
        assert seen(der_of(first), der_of(second)) is None
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert seen() is None
    assert seen("") is None
