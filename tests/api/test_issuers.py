"""Tokens in the forms of common issuers, what a JWKS may hold, and the reason of each refusal in the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, RSAKey
from starlette.testclient import TestClient

from ldv_otel._internal.api.auth.authentication import configured_authentication
from ldv_otel._internal.api.auth.claims import ClaimNames, UnreadableClaimError
from ldv_otel._internal.api.auth.issuer_keys import key_set
from ldv_otel._internal.config.settings import Settings, read_settings
from ldv_otel.errors import ConfigurationError
from tests.api.conftest import BSN
from tests.api.test_authentication import OIN, PATH, QUESTION, clients_file, configured, opened, status
from tests.support.serving import Issuer, ServeProcess, environ_of
from tests.support.tls import Authority

Form = tuple[dict[str, str], dict[str, Any]]

#: What each issuer's documentation shows of its access tokens, and the settings for it in docs/serve-clients.md.
DUENDE: Form = ({}, {"client_id": "portaal", "scope": ["openid", "ldv:read"]})
SPRING: Form = ({}, {"client_id": None, "azp": "portaal", "scope": ["ldv:read"], "sub": "portaal"})
AUTH0: Form = ({}, {"client_id": None, "azp": "portaal", "scope": "openid ldv:read", "gty": "client-credentials"})
_ENTRA = {"LDV_SERVE_CLIENT_CLAIMS": "azp,appid", "LDV_SERVE_SCOPE_CLAIMS": "scp,roles"}
ENTRA_2: Form = (_ENTRA, {"client_id": None, "scope": None, "azp": "portaal", "scp": "profile ldv:read", "ver": "2.0"})
ENTRA_1: Form = (_ENTRA, {"client_id": None, "scope": None, "appid": "portaal", "roles": ["ldv:read"], "ver": "1.0"})
OKTA: Form = (
    {"LDV_SERVE_CLIENT_CLAIMS": "cid", "LDV_SERVE_SCOPE_CLAIMS": "scp"},
    {"client_id": None, "scope": None, "cid": "portaal", "scp": ["ldv:read"], "uid": None},
)
KEYCLOAK: Form = (
    {"LDV_SERVE_CLIENT_CLAIMS": "azp", "LDV_SERVE_SCOPE_CLAIMS": "scope,realm_access.roles"},
    {
        "client_id": None,
        "azp": "portaal",
        "scope": "email profile",
        "realm_access": {"roles": ["offline_access", "ldv:read"]},
        "resource_access": {"account": {"roles": ["ldv:identify"]}},
    },
)
FORMS: dict[str, Form] = {
    "duende": DUENDE,
    "spring": SPRING,
    "auth0": AUTH0,
    "entra-2": ENTRA_2,
    "entra-1": ENTRA_1,
    "okta": OKTA,
    "keycloak": KEYCLOAK,
}


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    """The one that is trusted."""
    return Issuer(tmp_path_factory.mktemp("issuer"))


@pytest.fixture(scope="module")
def with_tokens(served_settings: Settings, issuer: Issuer) -> Iterator[TestClient]:
    """An application that takes tokens."""
    with opened(configured(served_settings, **issuer.environ)) as client:
        yield client


def access_log(caplog: pytest.LogCaptureFixture) -> str:
    """The lines of the access log, without times."""
    return "\n".join(record.getMessage() for record in caplog.records if record.name.endswith("api.access"))


# --- claims


@pytest.mark.parametrize("form", FORMS)
def test_an_issuers_own_form(
    served_settings: Settings, issuer: Issuer, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The client and its scopes are read, no more than what is there, and nobody gets in on another claim."""
    environ, claims = FORMS[form]
    caplog.set_level(logging.INFO, logger="ldv_otel")
    with opened(configured(served_settings, **issuer.environ, **environ)) as client:
        assert status(client, issuer.token(**claims)) == 200
        answer = client.post(
            PATH,
            json={"dpl.core.data_subject_id": BSN},
            headers={"Authorization": f"Bearer {issuer.token(**claims)}"},
        )
        assert answer.status_code == 403  # `ldv:identify` is nowhere that was named
    assert access_log(caplog).startswith("portaal POST")


@pytest.mark.parametrize(
    "environ",
    [
        {"LDV_SERVE_CLIENT_CLAIMS": "client_id,sub"},
        {"LDV_SERVE_CLIENT_CLAIMS": ","},
        {"LDV_SERVE_SCOPE_CLAIMS": "scp roles"},
        {"LDV_SERVE_SCOPE_CLAIMS": "scp,trace_id", "LDV_SERVE_TRACE_CLAIM": "trace_id"},
        {"LDV_SERVE_CLIENT_CLAIMS": "trace_id", "LDV_SERVE_TRACE_CLAIM": "trace_id"},
    ],
    ids=str,
)
def test_claims_that_cannot_be_named_stop_the_start(
    served_settings: Settings, issuer: Issuer, environ: dict[str, str]
) -> None:
    """A person's identifier for a client, no claim at all, a list without commas, a claim with another meaning."""
    with pytest.raises(ConfigurationError, match="LDV_SERVE_"):
        configured_authentication(
            read_settings(environ_of(served_settings) | issuer.environ | environ).serve,
        )


def test_a_claim_whose_name_is_an_address() -> None:
    """The name as it stands goes before the path that its dots would make."""
    names = ClaimNames(client=("azp",), scopes=("https://portaal.example/roles",))
    assert names.scopes_of({"https://portaal.example/roles": ["ldv:read"]}) == frozenset({"ldv:read"})
    assert names.scopes_of({"realm": {"roles": ["ldv:read"]}}) is None
    path = ClaimNames(scopes=("realm.roles",))
    assert path.scopes_of({"realm": {"roles": ["ldv:read"]}}) == frozenset({"ldv:read"})
    assert path.scopes_of({"realm": "roles"}) is None


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["roles", "a", ""]), inner, max_size=3),
    max_leaves=8,
)


@given(claims=st.dictionaries(st.sampled_from(["scope", "realm_access", "azp", "realm_access.roles"]), _VALUES))
def test_a_claim_gives_its_own_words_or_none(claims: dict[str, Any]) -> None:
    """Whatever stands in the claims: the scopes are words of theirs, and anything else is refused, never guessed."""
    names = ClaimNames(client=("azp",), scopes=("scope", "realm_access.roles"))
    try:
        scopes = names.scopes_of(claims) or frozenset()
        client = names.client_of(claims)
    except UnreadableClaimError:
        return
    said = msgspec.json.encode(claims).decode()
    assert client == claims["azp"]
    assert all(msgspec.json.encode(scope).decode()[1:-1] in said for scope in scopes)


# --- keys


@pytest.mark.parametrize("kind", ["EC", "RSA"])
def test_a_token_that_names_no_key(served_settings: Settings, tmp_path: Path, kind: str) -> None:
    """One of several keys fits; one that is for encryption or for another algorithm does not."""
    issuer = Issuer(tmp_path)
    signing: ECKey | RSAKey = (
        ECKey.generate_key("P-256", {"kid": "signs"}) if kind == "EC" else RSAKey.generate_key(2048, {"kid": "signs"})
    )
    algorithm = "ES256" if kind == "EC" else "RS256"
    others: list[ECKey | RSAKey] = [
        ECKey.generate_key("P-256", {"kid": "a"}),
        RSAKey.generate_key(2048, {"kid": "b"}),
        ECKey.generate_key("P-384", {"kid": "c"}),
    ]
    keys = [key.as_dict(private=False) for key in [*others, signing]]
    issuer.jwks.write_bytes(msgspec.json.encode({"keys": keys}))

    def token() -> str:
        return issuer.token(key=signing, header={"alg": algorithm}, without_kid=True)

    with opened(configured(served_settings, **issuer.environ)) as client:
        assert status(client, token()) == 200
        assert status(client, issuer.token(key=signing, header={"alg": algorithm, "kid": "a"})) == 401
    for wrong in ({"use": "enc"}, {"alg": "ES512" if kind == "EC" else "PS256"}):
        issuer.jwks.write_bytes(msgspec.json.encode({"keys": [*keys[:3], keys[3] | wrong]}))
        with opened(configured(served_settings, **issuer.environ)) as client:
            assert status(client, token()) == 401


def test_the_keys_that_are_tried_are_bounded(
    served_settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A token that names none of a hundred keys costs no hundred checks, and the log says why it is refused."""
    issuer = Issuer(tmp_path)
    many = [ECKey.generate_key("P-256", {"kid": str(number)}) for number in range(100)]
    issuer.publish(issuer.key, *many)
    caplog.set_level(logging.INFO, logger="ldv_otel")
    with opened(configured(served_settings, **issuer.environ)) as client:
        assert status(client, issuer.token()) == 200
        assert status(client, issuer.token(without_kid=True)) == 401
    assert "names no key, and the issuer has over 16" in access_log(caplog)


def test_two_keys_with_one_id(served_settings: Settings, tmp_path: Path) -> None:
    """The one that fits is found, wherever it stands."""
    issuer = Issuer(tmp_path)
    twin = RSAKey.generate_key(2048, {"kid": "one"})
    same = ECKey.generate_key("P-256", {"kid": "one"})
    keys = [key.as_dict(private=False) for key in (twin, same, issuer.key)]
    issuer.jwks.write_bytes(msgspec.json.encode({"keys": keys}))
    with opened(configured(served_settings, **issuer.environ)) as client:
        assert status(client, issuer.token()) == 200
        assert status(client, issuer.token(key=twin, header={"alg": "PS256"})) == 200


BROKEN = [
    {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA", "kid": "b"},
    {"kty": "EC", "crv": "P-999", "x": "AA", "y": "AA"},
    {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
    {"kty": "EC", "crv": "P-256", "x": "AA"},
    {"kty": "RSA", "n": "!!!", "e": "AQAB"},
    {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
    {"kty": "OKP", "crv": "Ed25519", "x": "AA"},
    {"kty": []},
    {},
    "no key",
    None,
]


@pytest.mark.parametrize("broken", BROKEN, ids=str)
def test_a_key_that_cannot_be_used_is_left_out(
    served_settings: Settings, tmp_path: Path, broken: object, caplog: pytest.LogCaptureFixture
) -> None:
    """With a warning that says which; the others serve. Where it is the only one nothing starts."""
    issuer = Issuer(tmp_path)
    good = issuer.key.as_dict(private=False)
    issuer.jwks.write_bytes(msgspec.json.encode({"keys": [broken, good]}))
    with opened(configured(served_settings, **issuer.environ)) as client:
        (warning,) = (record.getMessage() for record in caplog.records if record.levelno == logging.WARNING)
        assert warning.startswith("LDV_SERVE_JWKS: 1 of the keys")
        assert "in the list at 1)" in warning
        assert status(client, issuer.token()) == 200
    issuer.jwks.write_bytes(msgspec.json.encode({"keys": [broken]}))
    with pytest.raises(ConfigurationError, match="holds no JWKS"):
        configured_authentication(configured(served_settings, **issuer.environ).serve)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    keys=st.lists(
        st.dictionaries(
            st.sampled_from(["kty", "crv", "x", "y", "n", "e", "kid", "use", "alg", "key_ops"]),
            _JSON | st.sampled_from(["EC", "RSA", "OKP", "P-256", "P-521", "Ed25519", "AQAB", "sig"]),
        )
        | _JSON,
        max_size=5,
    )
)
def test_no_list_of_keys_breaks_the_reading(issuer: Issuer, keys: list[Any]) -> None:
    """Every entry is a key or named by its place, beside a good one."""
    content = msgspec.json.encode({"keys": [*keys, issuer.key.as_dict(private=False)]})
    usable, unusable = key_set(content)
    assert len(list(usable)) + len(unusable) == len(keys) + 1


# --- size, and the reasons


def test_a_token_of_16_kb_gets_through_the_server(served_settings: Settings, issuer: Issuer, tmp_path: Path) -> None:
    """Past the limits of the server on heads too, and a longer one is a 401."""
    environ = environ_of(served_settings) | issuer.environ | {"LDV_SERVE_URL": "https://logboek.example"}
    bare = len(issuer.token(groups=""))

    def token(characters: int) -> str:
        # Three bytes of claims are four characters.
        return issuer.token(groups="g" * ((characters - bare) * 3 // 4))

    with ServeProcess(environ, log=tmp_path / "log") as server:
        for text, expected in ((token(16_380), 200), (token(16_500), 401)):
            answer = httpx.post(f"{server.address}{PATH}", json=QUESTION, headers={"Authorization": f"Bearer {text}"})
            assert answer.status_code == expected, len(text)
        assert server.says("it has over 16384 characters")
        assert "ggg" not in server.log


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"iss": "https://login.attacker.example"}, "the claim `iss` of the token is missing or not the expected one"),
        ({"aud": "https://elders.example"}, "the claim `aud` of the token"),
        ({"exp": 1_700_000_000}, "the token has expired"),
        ({"nbf": 9_000_000_000}, "the claim `nbf` of the token"),
        ({"client_id": None}, "it has none of the claims client_id, azp"),
        ({"client_id": 7}, "the claim `client_id` of the token is no name of a client"),
        ({"scope": 7}, "the claim `scope` of the token is neither a text nor a list of texts"),
        ({"scope": "openid"}, "ldv:read"),
        ({"cnf": {"x5t#S256": "AA"}}, "bound to another client certificate"),
        ({"header": {"kid": "two"}}, "the issuer has no key with the id that it names"),
        ({"header": {"typ": "logout+jwt"}}, "a token of another kind"),
        ({"header": {"alg": "ES384"}, "key": ECKey.generate_key("P-384")}, "none of LDV_SERVE_ALGORITHMS"),
        ({"key": ECKey.generate_key("P-256")}, "the signature of the token fits no key"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_refusal_leaves_its_reason(
    with_tokens: TestClient, issuer: Issuer, caplog: pytest.LogCaptureFixture, claims: dict[str, Any], reason: str
) -> None:
    """In the access log, and nothing of the token: neither itself nor what it says about a person."""
    caplog.set_level(logging.DEBUG, logger="ldv_otel")
    token = issuer.token(**({"sub": BSN, "jti": "quite-unique"} | claims))
    assert status(with_tokens, token) in {401, 403}
    (line,) = access_log(caplog).splitlines()
    assert reason in line.partition("; ")[2]
    for part in (token, *token.split("."), BSN, "quite-unique", "attacker"):
        assert part not in caplog.text


def test_a_request_that_is_answered_has_no_reason(
    with_tokens: TestClient, issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    """And one without a token has one."""
    caplog.set_level(logging.INFO, logger="ldv_otel")
    assert status(with_tokens, issuer.token()) == 200
    assert ";" not in access_log(caplog)
    caplog.clear()
    assert with_tokens.post(PATH, json=QUESTION).status_code == 401
    assert "; Geef een toegangstoken mee" in access_log(caplog)


def test_a_certificate_that_is_not_listed_leaves_its_reason(
    served_settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the certificate nor its subject is in the log."""
    authority = Authority(tmp_path)
    path = clients_file(tmp_path, {"id": "rdw", "certificate": {"oin": OIN}, "scopes": ["ldv:read"]})
    environ = {"LDV_SERVE_CLIENTS": str(path), "LDV_SERVE_PROXIES": "127.0.0.1"}
    caplog.set_level(logging.INFO, logger="ldv_otel")
    with opened(configured(served_settings, **environ)) as client:
        assert client.post(PATH, json=QUESTION).status_code == 401
    assert "; Geef een toegangstoken mee, of gebruik een clientcertificaat" in access_log(caplog)
    assert authority
