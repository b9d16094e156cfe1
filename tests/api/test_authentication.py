"""Who is let in, and who is not."""

from __future__ import annotations

import base64
import hmac
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from joserfc.jwk import ECKey, OctKey, RSAKey
from starlette.testclient import TestClient

from ldv_otel._internal.api.app import create_app
from ldv_otel._internal.api.auth.authentication import configured_authentication
from ldv_otel._internal.api.server import serve
from ldv_otel._internal.config.settings import ServeSettings, Settings, read_settings
from ldv_otel.errors import ConfigurationError
from tests.api.conftest import PARKING, TRACES
from tests.support.serving import Issuer, ServeProcess, environ_of
from tests.support.tls import Authority

PATH = "/lezenapi/v1/processing-activities"
QUESTION = {"traceId": TRACES[0].hex()}
OIN = "00000001002306608000"


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    """The one that is trusted."""
    return Issuer(tmp_path_factory.mktemp("issuer"))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The one that is trusted."""
    return Authority(tmp_path_factory.mktemp("authority"))


def clients_file(directory: Path, *clients: dict[str, Any]) -> Path:
    """Write a file of clients."""
    path = directory / "clients.json"
    path.write_bytes(msgspec.json.encode({"clients": clients}))
    return path


def configured(served_settings: Settings, **environ: str) -> Settings:
    """Return the settings that these variables give."""
    return read_settings(environ_of(served_settings) | environ)


def opened(settings: Settings, address: str = "127.0.0.1") -> TestClient:
    """The application with the configured authentication, for requests from an address."""
    authentication = configured_authentication(settings.serve)
    assert authentication
    return TestClient(create_app(settings, authentication), client=(address, 50_000))


@pytest.fixture(scope="module")
def with_tokens(served_settings: Settings, issuer: Issuer) -> Iterator[TestClient]:
    """An application that takes tokens."""
    with opened(configured(served_settings, **issuer.environ)) as client:
        yield client


def status(client: TestClient, token: str) -> int:
    """What comes of a question with a token."""
    answer = client.post(PATH, json=QUESTION, headers={b"Authorization": f"Bearer {token}".encode()})
    if answer.status_code == 401:
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    return answer.status_code


def test_a_good_token_is_let_in(with_tokens: TestClient, issuer: Issuer) -> None:
    """With the scopes it has; the audience may be one of several."""
    assert status(with_tokens, issuer.token()) == 200
    assert status(with_tokens, issuer.token(aud=["https://elders.example", issuer.audience])) == 200
    assert status(with_tokens, issuer.token("openid")) == 403
    assert status(with_tokens, issuer.token(header={"typ": "JWT"})) == 200


def test_without_token_there_is_a_challenge(with_tokens: TestClient) -> None:
    """401, and how to do better."""
    answer = with_tokens.post(PATH, json=QUESTION)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://login.attacker.example"},
        {"iss": None},
        {"aud": "https://elders.example"},
        {"aud": None},
        {"exp": 1_700_000_000},
        {"exp": None},
        {"exp": float("1e18"), "nbf": 9_000_000_000},
        {"client_id": None},
        {"client_id": None, "sub": "123456782"},
        {"client_id": 7},
        {"client_id": "two\nlines"},
        {"scope": 7},
        {"scope": {"ldv:read": True}},
        {"scope": ["ldv:read", 7]},
    ],
    ids=str,
)
def test_a_token_with_a_wrong_claim_is_refused(with_tokens: TestClient, issuer: Issuer, claims: dict[str, Any]) -> None:
    """Each of them is enough."""
    assert status(with_tokens, issuer.token(**claims)) == 401


def test_a_token_with_a_wrong_signature_is_refused(with_tokens: TestClient, issuer: Issuer) -> None:
    """Another key, another algorithm, none at all, the public key as a shared secret, and rubbish."""
    good = issuer.token()
    head, claims, signature = good.split(".")
    none = _base64(b'{"alg":"none","typ":"at+jwt"}')
    signed = _base64(b'{"alg":"HS256","kid":"one"}') + f".{claims}"
    digest = hmac.digest(issuer.key.as_pem(private=False), signed.encode(), "sha256")
    shared = f"{signed}.{_base64(digest)}"
    strong = RSAKey.generate_key(2048, {"kid": "one"})
    for bad in [
        issuer.token(key=ECKey.generate_key("P-256", {"kid": "one"})),
        issuer.token(header={"kid": "two"}),
        issuer.token(header={"typ": "logout+jwt"}),
        issuer.token(header={"alg": "PS256"}, key=strong),
        shared,
        f"{none}.{claims}.",
        f"{head}.{claims}.",
        f"{head}.{claims}.{'A' * len(signature)}",
        f"{head}.{claims}",
        "x" * 20_000,
        "\u00e9",
        "",
    ]:
        assert status(with_tokens, bad) == 401


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def test_a_shared_secret_among_the_keys_stops_the_start(served_settings: Settings, tmp_path: Path) -> None:
    """Who could check a token could also make one."""
    issuer = Issuer(tmp_path)
    issuer.jwks.write_bytes(msgspec.json.encode({"keys": [OctKey.generate_key(256).as_dict()]}))
    with pytest.raises(ConfigurationError, match="LDV_SERVE_JWKS"):
        configured_authentication(configured(served_settings, **issuer.environ).serve)


def test_a_rotated_key_is_fetched(served_settings: Settings, tmp_path: Path, issuer: Issuer) -> None:
    """From the issuer's address, when a token names a key that is not known yet; not on every stranger's wish."""
    import threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    rotating = Issuer(tmp_path)
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(rotating.jwks.read_bytes())

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environ = rotating.environ | {"LDV_SERVE_JWKS": f"http://127.0.0.1:{server.server_port}/jwks"}
        with opened(configured(served_settings, **environ)) as client:
            assert status(client, rotating.token()) == 200
            assert status(client, rotating.token()) == 200
            for _ in range(5):
                assert status(client, rotating.token(header={"kid": "stranger"})) == 401
        server.shutdown()
    assert len(asked) == 1  # nothing new within half a minute of the first
    assert issuer


def test_an_issuer_that_is_away_is_no_reason_to_let_in(served_settings: Settings, issuer: Issuer) -> None:
    """503: nobody can say whether the token is good."""
    environ = issuer.environ | {"LDV_SERVE_JWKS": "http://127.0.0.1:1/jwks"}
    with opened(configured(served_settings, **environ)) as client:
        assert status(client, issuer.token()) == 503


def test_the_file_of_clients_narrows_a_token(served_settings: Settings, issuer: Issuer, tmp_path: Path) -> None:
    """Scopes, activities, and requests a minute."""
    path = clients_file(
        tmp_path,
        {"id": "auditor", "scopes": ["ldv:read"], "activities": [PARKING], "requests_per_minute": 3},
    )
    environ = issuer.environ | {"LDV_SERVE_CLIENTS": str(path)}
    with opened(configured(served_settings, **environ)) as client:
        headers = {"Authorization": f"Bearer {issuer.token('ldv:read ldv:identify')}"}
        answer = client.post(PATH, json=QUESTION, headers=headers)
        assert len(answer.json()["processingActivities"]) == 4
        identifier = {"dpl.core.data_subject_id": "123456782"}
        assert client.post(PATH, json=identifier, headers=headers).status_code == 403
        statuses = [client.post(PATH, json=QUESTION, headers=headers).status_code for _ in range(3)]
        assert statuses == [200, 429, 429]
        answer = client.post(PATH, json=QUESTION, headers=headers)
        assert int(answer.headers["retry-after"]) > 0
        assert status(client, issuer.token(client_id="another")) == 200


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]",
        b'{"clients":[{"id":""}]}',
        b'{"clients":[{"id":"a"},{"id":"a"}]}',
        b'{"clients":[{"id":"a","scopes":["ldv:everything"]}]}',
        b'{"clients":[{"id":"a","rights":["ldv:read"]}]}',
        b'{"clients":[{"id":"a","certificate":{}}]}',
        b'{"clients":[{"id":"a","certificate":{"oin":"1","dns":"a.example"}}]}',
    ],
    ids=str,
)
def test_a_wrong_file_of_clients_stops_the_start(content: bytes, tmp_path: Path) -> None:
    """A slip there would let somebody see too much."""
    path = tmp_path / "clients.json"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="LDV_SERVE_CLIENTS"):
        configured_authentication(ServeSettings(clients=path))


@pytest.mark.parametrize("algorithm", ["PS256", "RS256"])
def test_every_algorithm_that_is_accepted_works(served_settings: Settings, tmp_path: Path, algorithm: str) -> None:
    """With a key of its own kind."""
    issuer = Issuer(tmp_path)
    key = RSAKey.generate_key(2048, {"kid": "rsa"})
    issuer.jwks.write_bytes(msgspec.json.encode({"keys": [key.as_dict(private=False)]}))
    with opened(configured(served_settings, **issuer.environ)) as client:
        assert status(client, issuer.token(key=key, header={"alg": algorithm, "kid": "rsa"})) == 200


@pytest.mark.parametrize("form", ["rfc9440", "nginx"])
def test_a_proxy_tells_of_a_certificate(
    served_settings: Settings, authority: Authority, tmp_path: Path, form: str
) -> None:
    """Believed from its own address only, and only when it is there once."""
    certificate = x509.load_pem_x509_certificate(authority.client(f"a-{form}.example", oin=OIN).read_bytes())
    der = certificate.public_bytes(serialization.Encoding.DER)
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    value = f":{base64.b64encode(der).decode()}:" if form == "rfc9440" else quote(pem)
    path = clients_file(
        tmp_path,
        {
            "id": "a",
            "certificate": {"fingerprint": certificate.fingerprint(hashes.SHA256()).hex(":")},
            "scopes": ["ldv:read"],
        },
    )
    settings = configured(
        served_settings,
        LDV_SERVE_CLIENTS=str(path),
        LDV_SERVE_PROXIES="10.0.0.0/24",
        LDV_SERVE_CERTIFICATE_HEADER="X-Certificate",
    )
    with opened(settings, "10.0.0.7") as proxy:
        assert proxy.post(PATH, json=QUESTION, headers={"X-Certificate": value}).status_code == 200
        assert proxy.post(PATH, json=QUESTION, headers=[("X-Certificate", value)] * 2).status_code == 401
        for bad in ["", ":x:", "%FF", value[:-20], "x" * 20_000]:
            assert proxy.post(PATH, json=QUESTION, headers={"X-Certificate": bad}).status_code == 401
    with opened(settings, "10.0.1.7") as somebody:
        assert somebody.post(PATH, json=QUESTION, headers={"X-Certificate": value}).status_code == 401


def test_client_certificates_over_tls(
    served_settings: Settings, authority: Authority, issuer: Issuer, tmp_path: Path
) -> None:
    """By OIN or DNS name; one of another authority breaks the handshake; a token needs none."""
    stranger_directory = tmp_path / "stranger"
    stranger_directory.mkdir()
    server = authority.server()
    environ = environ_of(served_settings) | issuer.environ
    environ |= {
        "LDV_SERVE_CERTIFICATE": str(server),
        "LDV_SERVE_PRIVATE_KEY": str(server),
        "LDV_SERVE_CLIENT_CA": str(authority.file),
        "LDV_SERVE_CLIENTS": str(
            clients_file(
                tmp_path,
                {"id": "oin", "certificate": {"oin": OIN}, "scopes": ["ldv:read"]},
                {"id": "dns", "certificate": {"dns": "b.example"}, "scopes": []},
            )
        ),
    }

    def ask(certificate: Path | None = None, token: str = "") -> int:
        context = ssl.create_default_context(cafile=authority.file)
        if certificate:
            context.load_cert_chain(certificate)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.post(f"{process.address}{PATH}", json=QUESTION, verify=context, headers=headers).status_code

    with ServeProcess(environ, log=tmp_path / "log") as process:
        assert process.address.startswith("https://")
        known = authority.client("a.example", oin=OIN)
        assert ask(known) == 200
        assert ask(authority.client("b.example")) == 403
        assert ask(authority.client("c.example")) == 401
        assert ask() == 401
        assert ask(token=issuer.token()) == 200
        fingerprint = x509.load_pem_x509_certificate(known.read_bytes()).fingerprint(hashes.SHA256())
        bound = issuer.token(cnf={"x5t#S256": _base64(fingerprint)})
        assert ask(known, token=bound) == 200
        assert ask(token=bound) == ask(authority.client("b.example"), token=bound) == 401
        assert ask(known, token=issuer.token(cnf={"jkt": "x"})) == 401
        with pytest.raises(httpx.TransportError):
            ask(Authority(stranger_directory).client("a.example", oin=OIN))
    assert process.says("INFO oin POST /lezenapi/v1/processing-activities 200")


@pytest.mark.parametrize(
    ("environ", "host", "words"),
    [
        ({}, "127.0.0.1", "No authentication"),
        ({"LDV_SERVE_ISSUER": "https://login.example"}, "127.0.0.1", "LDV_SERVE_AUDIENCE and LDV_SERVE_JWKS"),
        ({"LDV_SERVE_PROXIES": "10.0.0.1"}, "127.0.0.1", "LDV_SERVE_CLIENTS"),
        ({"tokens": "1"}, "192.0.2.1", "no TLS"),
        ({"tokens": "1", "LDV_SERVE_CERTIFICATE": "/nergens.pem"}, "127.0.0.1", "LDV_SERVE_PRIVATE_KEY"),
        (
            {"tokens": "1", "LDV_SERVE_CERTIFICATE": "/nergens.pem", "LDV_SERVE_PRIVATE_KEY": "/nergens.pem"},
            "127.0.0.1",
            "cannot be used",
        ),
        ({"tokens": "1", "LDV_ALLOW_INSECURE": "1"}, "192.0.2.1", "Cannot listen"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_safe_does_not_start(
    served_settings: Settings, issuer: Issuer, environ: dict[str, str], host: str, words: str
) -> None:
    """And the message says what to set."""
    given = {name: value for name, value in environ.items() if name != "tokens"}
    given |= issuer.environ if "tokens" in environ else {}
    with pytest.raises(ConfigurationError, match=words) as caught:
        serve(configured(served_settings, **given), host, 0)
    assert "Nothing was started" in str(caught.value)


def test_a_port_that_does_not_exist_is_told_as_such(served_settings: Settings) -> None:
    """In a sentence."""
    with pytest.raises(ConfigurationError, match="Cannot listen"):
        serve(configured(served_settings), "127.0.0.1", 99_999, without_authentication=True)


def test_without_authentication_is_for_this_machine(served_settings: Settings, issuer: Issuer) -> None:
    """Not for others, and not beside an authentication that somebody took the trouble to configure."""
    with pytest.raises(ConfigurationError, match="loopback"):
        serve(configured(served_settings), "0.0.0.0", 0, without_authentication=True)  # noqa: S104
    with pytest.raises(ConfigurationError, match="contradicts"):
        serve(configured(served_settings, **issuer.environ), "127.0.0.1", 0, without_authentication=True)


def test_a_web_page_cannot_reach_a_development_server(served_settings: Settings, tmp_path: Path) -> None:
    """A page whose name was made to point at this machine sends that name as host."""
    with ServeProcess(environ_of(served_settings), "--without-authentication", log=tmp_path / "log") as process:
        assert httpx.post(f"{process.address}{PATH}", json=QUESTION).status_code == 200
        answer = httpx.post(f"{process.address}{PATH}", json=QUESTION, headers={"Host": "attacker.example"})
        assert answer.status_code == 400
