"""Which assertions of who a citizen is are taken, and when the page is not served at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from joserfc.jwk import ECKey
from starlette.testclient import TestClient

from ldv_otel._internal.api.app import create_app
from ldv_otel._internal.api.auth.authentication import NoAuthentication
from ldv_otel._internal.api.pages.citizen.identity import ProxyIdentity, configured_identity
from ldv_otel._internal.api.pages.citizen.router import INZAGE, install_inzage
from ldv_otel._internal.api.server import serve
from ldv_otel._internal.config.networks import parse_networks
from ldv_otel._internal.config.settings import InzageSettings, Settings
from ldv_otel._internal.privacy.pseudonyms import Pseudonymiser
from ldv_otel.errors import ConfigurationError
from tests.api.conftest import BSN, OTHER_BSN
from tests.support.serving import Issuer

PROXY = "10.0.0.5"


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    """The one that is trusted."""
    return Issuer(tmp_path_factory.mktemp("inzage-issuer"))


@pytest.fixture(scope="module")
def page(served_settings: Settings, issuer: Issuer, pseudonymiser: Pseudonymiser) -> Iterator[TestClient]:
    """The page, with requests from the proxy."""
    inzage = InzageSettings(
        issuer=issuer.issuer, audience=issuer.audience, jwks=str(issuer.jwks), proxies=parse_networks([f"{PROXY}/32"])
    )
    settings = msgspec.structs.replace(served_settings, inzage=inzage)
    app = create_app(settings, NoAuthentication(), apis=[INZAGE])
    identity = configured_identity(settings, pseudonymiser)
    assert isinstance(identity, ProxyIdentity)
    install_inzage(app.state, identity)
    with TestClient(app, client=(PROXY, 50_000)) as client:
        yield client


def assertion(issuer: Issuer, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """An ID token as the proxy passes it on."""
    return issuer.token(header={"typ": "JWT"} | (header or {}), **({"sub": BSN} | claims))


def test_the_person_of_the_assertion(page: TestClient, issuer: Issuer) -> None:
    """Each sees their own records, and nobody the number itself."""
    shown = [page.get("/inzage", headers={"X-Id-Token": assertion(issuer, sub=bsn)}) for bsn in (BSN, OTHER_BSN)]
    for answer, there, elsewhere in zip(shown, ("Stap 1<", "Stap 0<"), ("Stap 0<", "Stap 1<"), strict=True):
        assert answer.status_code == 200
        assert there in answer.text
        assert elsewhere not in answer.text
        assert BSN not in answer.text
        assert OTHER_BSN not in answer.text


REFUSED: dict[str, Callable[[Issuer], list[str]]] = {
    "none": lambda _: [],
    "garbage": lambda _: ["garbage"],
    "two": lambda issuer: [assertion(issuer), assertion(issuer)],
    "another key": lambda issuer: [issuer.token(header={"typ": "JWT"}, key=ECKey.generate_key("P-256"), sub=BSN)],
    "another issuer": lambda issuer: [assertion(issuer, iss="https://kwaad.example")],
    "another audience": lambda issuer: [assertion(issuer, aud="https://iets.example")],
    "expired": lambda issuer: [assertion(issuer, exp=int(time.time()) - 60)],
    "old, though it says it is good": lambda issuer: [assertion(issuer, iat=int(time.time()) - 16 * 60)],
    "of the future": lambda issuer: [assertion(issuer, iat=int(time.time()) + 600)],
    "without time": lambda issuer: [assertion(issuer, iat=None)],
    "an access token": lambda issuer: [assertion(issuer, {"typ": "at+jwt"})],
    "about nobody": lambda issuer: [assertion(issuer, sub="")],
    "about a number": lambda issuer: [assertion(issuer, sub=123456782)],
    "about a list": lambda issuer: [assertion(issuer, sub=[BSN])],
}


@pytest.mark.parametrize("made", REFUSED.values(), ids=REFUSED)
def test_what_is_not_taken(page: TestClient, issuer: Issuer, made: Callable[[Issuer], list[str]]) -> None:
    """Each is answered with the page for who is not signed in."""
    answer = page.get("/inzage", headers=[("X-Id-Token", value) for value in made(issuer)])
    assert answer.status_code == 401
    assert "U bent niet ingelogd" in answer.text
    assert answer.headers["cache-control"] == "no-store"


def test_only_the_proxy_is_believed(page: TestClient, issuer: Issuer) -> None:
    """A good assertion from any other address is not taken: it may have been stolen."""
    elsewhere = TestClient(page.app, client=("10.0.0.6", 50_000))
    assert elsewhere.get("/inzage", headers={"X-Id-Token": assertion(issuer)}).status_code == 401


def test_there_is_no_demo_login(page: TestClient) -> None:
    """Where a proxy says who people are, nobody can say it themselves."""
    answer = page.post("/inzage/aanmelden", data={"nummer": BSN}, headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 404
    assert "set-cookie" not in answer.headers


def test_a_demonstration_is_for_this_machine_and_an_embedded_logboek(served_settings: Settings, tmp_path: Path) -> None:
    """A Logboek on a server, another address, and a proxy beside it each stop the start."""
    with pytest.raises(ConfigurationError, match="embedded"):
        serve(served_settings, "127.0.0.1", 0, demo=True)
    logboek = msgspec.structs.replace(served_settings.logboek, scheme="chdb", path=str(tmp_path / "l"))
    embedded = msgspec.structs.replace(served_settings, logboek=logboek)
    with pytest.raises(ConfigurationError, match="this machine"):
        serve(embedded, "0.0.0.0", 0, demo=True)  # noqa: S104  (what is refused)
    half = msgspec.structs.replace(embedded, inzage=InzageSettings(issuer="https://login.example"))
    with pytest.raises(ConfigurationError, match="LDV_INZAGE_PROXIES"):
        serve(half, "127.0.0.1", 0, demo=True)
