"""Who is let in to the APIs of GEMMA, and with which scopes; the Autorisaties API is a real one on loopback."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from fastapi import FastAPI, Request
from joserfc import jwt
from joserfc.jwk import OctKey
from starlette.testclient import TestClient

from ldv_otel._internal.api.auth.certificates import SCOPE_EXTENSION
from ldv_otel._internal.api.problem import add_problem_handlers
from ldv_otel._internal.config.settings import ServeSettings
from ldv_otel._internal.gemma.provider.clients import RegisteredClients, read_registered_clients
from ldv_otel._internal.gemma.provider.scopes import Component
from ldv_otel._internal.gemma.zgw_token import zgw_token
from ldv_otel.errors import ConfigurationError
from tests.gemma.autorisaties import CLIENT_ID, SECRET, AutorisatiesServer
from tests.support.serving import Issuer

#: A header that says that nobody signed.
NONE = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
OIN = "00000001821002198000"
OTHER_OIN = "00000001002306608000"
LOCAL_SECRET = "a secret of the case system, on both sides"  # for tests
PORTAL_SECRET = "another secret, of the portal for citizens"  # for tests


@pytest.fixture(scope="module")
def server() -> Iterator[AutorisatiesServer]:
    """The AC."""
    with AutorisatiesServer() as found:
        yield found


@pytest.fixture
def autorisaties(server: AutorisatiesServer) -> AutorisatiesServer:
    """The AC as if it were new."""
    server.applicaties, server.asked, server.broken = [], [], None
    return server


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of clients without an AC."""
    (tmp_path / "zaaksysteem.secret").write_text(f"{LOCAL_SECRET}\n", encoding="utf-8")
    (tmp_path / "portaal.secret").write_text(PORTAL_SECRET, encoding="utf-8")
    (tmp_path / "ac.secret").write_text(SECRET, encoding="utf-8")
    path = tmp_path / "clients.yaml"
    path.write_text(
        "clients: [{id: zaaksysteem, secret_file: zaaksysteem.secret, bewerking: ['update:confidential']}]\n",
        encoding="utf-8",
    )
    return path


def with_component(file: Path, server: AutorisatiesServer, **more: object) -> Path:
    """The file with an AC, and a client whose scopes it knows."""
    known = {"url": server.url, "client_id": CLIENT_ID, "secret_file": "ac.secret", **more}
    with file.open("a", encoding="utf-8") as found:
        found.write(f"autorisaties: {json.dumps(known)}\n")
    file.write_text(
        file.read_text(encoding="utf-8").replace("}]\n", "}, {id: portaal, secret_file: portaal.secret}]\n"),
        encoding="utf-8",
    )
    return file


def as_der(oin: str) -> bytes:
    """A certificate with an OIN in its subject; nothing for none."""
    if not oin:
        return b""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.SERIAL_NUMBER, oin)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7, now, now + timedelta(days=1))
    return builder.sign(key, SHA256()).public_bytes(Encoding.DER)


def served(clients: RegisteredClients, certificate: bytes = b"") -> TestClient:
    """An application whose two routes say what the client may do; every connection has proven the certificate."""
    app = FastAPI()
    add_problem_handlers(app)

    @app.middleware("http")
    async def proven(request: Request, call_next: Any) -> Any:
        if certificate:
            request.scope.setdefault("extensions", {})[SCOPE_EXTENSION] = certificate
        return await call_next(request)

    @app.get("/{component}")
    async def scopes(request: Request, component: Component) -> list[str]:
        return sorted(await clients.scopes(await clients.client(request), component))

    return TestClient(app)


def ask(file: Path, token: str, component: str = "bewerking", serve: ServeSettings | None = None) -> httpx2.Response:
    """One request."""
    return asking(served(read_registered_clients(file, serve or ServeSettings())), token, component)


def asking(client: TestClient, token: str, component: str = "bewerking") -> httpx2.Response:
    """One request to an application that is there."""
    return client.get(f"/{component}", headers={"Authorization": f"Bearer {token}"})


def token_of(client_id: object = "zaaksysteem", secret: str = LOCAL_SECRET, alg: str = "HS256", **claims: Any) -> str:
    """A token like the standard's applications make them; claims of None are left out."""
    given = {"iss": client_id, "client_id": client_id, "iat": int(time.time())} | claims
    key = OctKey.import_key(secret)
    return jwt.encode({"alg": alg}, {name: value for name, value in given.items() if value is not None}, key, [alg])


def test_a_client_on_the_list_has_its_scopes_and_what_they_include(file: Path) -> None:
    """`*:confidential` has `*:normal` in it, and every registered client may log what is `normaal` (GW-22)."""
    assert ask(file, zgw_token("zaaksysteem", LOCAL_SECRET)).json() == [
        "create:normal",
        "update:confidential",
        "update:normal",
    ]
    assert ask(file, zgw_token("zaaksysteem", LOCAL_SECRET), "inzage").json() == []


@pytest.mark.parametrize(
    "token",
    [
        lambda: "",
        lambda: "x.y.z",
        lambda: "a" * 9_000,
        lambda: "\xff.e30.e30",
        lambda: token_of(secret=PORTAL_SECRET),
        lambda: token_of("stranger"),
        lambda: token_of(client_id="portaal"),
        lambda: token_of(alg="HS512"),
        lambda: token_of(iat=None),
        lambda: token_of(iat="yesterday"),
        lambda: token_of(iat=int(time.time()) - 3_700),
        lambda: token_of(iat=int(time.time()) + 3_700),
        lambda: token_of(exp=int(time.time()) - 60),
        lambda: token_of(client_id=7),
        lambda: token_of().rsplit(".", 1)[0] + ".",
        lambda: f"{NONE}.{token_of().split('.')[1]}.",
    ],
)
def test_a_token_that_is_not_good_is_no_token(file: Path, token: Callable[[], str]) -> None:
    """GW-01: 401 for each, with a challenge, and never an error of the server."""
    found = served(read_registered_clients(file, ServeSettings())).get(
        "/bewerking", headers={b"Authorization": f"Bearer {token()}".encode("latin-1")}
    )
    assert found.status_code == 401
    assert found.headers["www-authenticate"].startswith("Bearer")


def test_a_token_can_only_narrow(file: Path) -> None:
    """A scope claim never adds anything, and an empty one leaves nothing."""
    assert ask(file, token_of(scope="update:normal delete:confidential")).json() == ["update:normal"]
    assert ask(file, token_of(scopes=["update:confidential"])).json() == ["update:confidential", "update:normal"]
    assert ask(file, token_of(scope="")).json() == ask(file, token_of(scope=7)).json() == []


def test_the_autorisaties_api_knows_the_others(file: Path, autorisaties: AutorisatiesServer) -> None:
    """By component, because `read:normal` is something else in each API; what is no scope here counts for nothing."""
    autorisaties.grant(
        "portaal",
        verwerkingenlogging_bewerking=["create:confidential", "zaken.lezen"],
        verwerkingenlogging_inzage=["read:normal"],
        zrc=["delete:confidential"],
    )
    path = with_component(file, autorisaties)
    token = zgw_token("portaal", PORTAL_SECRET)
    assert ask(path, token).json() == ["create:confidential", "create:normal"]
    assert ask(path, token, "inzage").json() == ["read:normal"]


def test_all_autorisaties_are_all_scopes(file: Path, autorisaties: AutorisatiesServer) -> None:
    """`heeftAlleAutorisaties`."""
    autorisaties.grant("portaal")
    assert len(ask(with_component(file, autorisaties), zgw_token("portaal", PORTAL_SECRET)).json()) == 8


def test_an_answer_is_good_for_a_while_and_then_asked_for_again(file: Path, autorisaties: AutorisatiesServer) -> None:
    """With a cache of 0 seconds each request asks, and a right that was taken away is gone."""
    autorisaties.grant("portaal", verwerkingenlogging_inzage=["read:confidential"])
    token = zgw_token("portaal", PORTAL_SECRET)
    cached = served(read_registered_clients(with_component(file, autorisaties), ServeSettings()))
    assert [asking(cached, token, "inzage").status_code for _ in range(3)] == [200] * 3
    assert autorisaties.asked == ["portaal"]
    autorisaties.broken = (500, b"")
    assert asking(cached, token, "inzage").status_code == 200
    autorisaties.broken = None
    direct = served(read_registered_clients(_without_cache(file), ServeSettings()))
    assert asking(direct, token, "inzage").json() == ["read:confidential", "read:normal"]
    autorisaties.applicaties.clear()
    assert asking(direct, token, "inzage").status_code == 401


@pytest.mark.parametrize(
    "broken",
    [
        (500, b""),
        (401, b""),
        (302, b""),
        (200, b"<html>"),
        (200, b'{"clientIds": ["somebody else"], "heeftAlleAutorisaties": true}'),
        (200, b'{"heeftAlleAutorisaties": true}'),
        (200, b" " * (2 << 20)),
    ],
)
def test_an_ac_that_does_not_answer_is_no_reason_to_let_in(
    file: Path, autorisaties: AutorisatiesServer, broken: tuple[int, bytes]
) -> None:
    """503 for who needs it, and nothing of that for who does not (AC-08)."""
    autorisaties.broken = broken
    path = with_component(file, autorisaties)
    assert ask(path, zgw_token("portaal", PORTAL_SECRET)).status_code == 503
    assert ask(path, token_of()).status_code == 200


def test_an_ac_that_is_away_is_no_reason_to_let_in(file: Path) -> None:
    """As above, with nobody at the address; and what it said before does not count either."""
    with AutorisatiesServer() as gone:
        gone.grant("portaal")
        client = served(read_registered_clients(with_component(file, gone, cache_seconds=0), ServeSettings()))
        assert asking(client, zgw_token("portaal", PORTAL_SECRET)).status_code == 200
    assert asking(client, zgw_token("portaal", PORTAL_SECRET)).status_code == 503


def test_a_token_of_the_issuer_is_as_good(file: Path, autorisaties: AutorisatiesServer, tmp_path: Path) -> None:
    """From a JWKS (ES256); a client that is not on the list costs one look at the AC (GW-23)."""
    issuer = Issuer(tmp_path)
    serve = ServeSettings(issuer=issuer.issuer, audience=issuer.audience, jwks=str(issuer.jwks))
    assert ask(file, issuer.token(client_id="zaaksysteem", scope=None), serve=serve).json() == [
        "create:normal",
        "update:confidential",
        "update:normal",
    ]
    assert ask(file, issuer.token(client_id="zaaksysteem", scope="update:normal"), serve=serve).json() == [
        "update:normal"
    ]
    assert ask(file, issuer.token(client_id="balie", scope=None), serve=serve).status_code == 401
    path = with_component(file, autorisaties)
    assert ask(path, issuer.token(client_id="balie", scope=None), serve=serve).status_code == 401
    autorisaties.grant("balie", verwerkingenlogging_bewerking=["read:normal"])
    found = ask(path, issuer.token(client_id="balie", scope=None), serve=serve)
    assert found.json() == ["create:normal", "read:normal"]
    assert ask(path, issuer.token(client_id="balie", scope=None)).status_code == 401


@pytest.mark.parametrize(
    ("oins", "certificate", "claimed", "status"),
    [
        ([], "", [OIN], 200),
        ([OIN], "", [OIN], 200),
        ([OIN], "", [], 200),
        ([OIN], "", [OTHER_OIN], 403),
        ([OIN], "", [OIN, OTHER_OIN], 403),
        ([], OIN, [OIN], 200),
        ([], OIN, [OTHER_OIN], 403),
        ([OTHER_OIN], OIN, [OTHER_OIN], 200),
    ],
)
def test_a_client_names_no_organisation_but_its_own(
    file: Path, oins: list[str], certificate: str, claimed: list[str], status: int
) -> None:
    """B9177: the header is a claim, which the list of clients or a client certificate has to bear out."""
    file.write_text(
        file.read_text(encoding="utf-8").replace("{id: zaak", f"{{oins: {json.dumps(oins)}, id: zaak"), encoding="utf-8"
    )
    application: Any = served(read_registered_clients(file, ServeSettings()), as_der(certificate))
    headers = [("Authorization", f"Bearer {token_of()}"), *(("OIN", oin) for oin in claimed)]
    assert application.get("/bewerking", headers=headers).status_code == status


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("clients: [{id: a}]", "no scopes here"),
        ("clients: [{id: a, bewerking: ['read:all']}]", "no scope of the bewerking API"),
        ("clients: [{id: a, inzage: ['delete:normal']}]", "no scope of the inzage API"),
        ("clients: [{id: a, bewerking: []}, {id: a, bewerking: []}]", "two have the same"),
        ("clients: [{id: a, bewerking: []}]", "nobody could be let in"),
        ("clients: [{id: a, bewerking: [], secret_file: away}]", "cannot be read"),
        ("clients: [{id: a, bewerking: [], secret_file: short}]", "openssl rand"),
        ("autorisaties: {url: 'http://ac.example', client_id: x, secret_file: portaal.secret}", "no https address"),
        ("clients: [{id: a, geheim: b}]", "unknown field"),
    ],
)
def test_a_file_that_cannot_be_used_stops_the_start(file: Path, content: str, word: str) -> None:
    """With a sentence that says where and what to do."""
    (file.parent / "short").write_text("short", encoding="utf-8")
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=word):
        read_registered_clients(file, ServeSettings())


def _without_cache(file: Path) -> Path:
    file.write_text(
        file.read_text(encoding="utf-8").replace('"secret_file": "ac', '"cache_seconds": 0, "secret_file": "ac'),
        encoding="utf-8",
    )
    return file
