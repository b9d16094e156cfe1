"""Tokens that open one trace of the lezen API, and nothing else."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from ldv_otel._internal.api.app import LEZEN, create_app
from ldv_otel._internal.api.auth.authentication import configured_authentication, configured_tokens
from ldv_otel._internal.api.pages.officer.router import TOEZICHT
from ldv_otel._internal.api.problem import Problem
from ldv_otel._internal.config.settings import ServeSettings, Settings, read_settings
from ldv_otel.errors import ConfigurationError
from tests.api.conftest import BSN, FOREIGN, PARKING, TRACES
from tests.support.serving import Issuer, environ_of

BASE = "/lezenapi/v1"
OLD, NEW = f"{BASE}/processing-activities", f"{BASE}/data-processing-operations"
OWN, OTHER = TRACES[1].hex(), TRACES[0].hex()
#: What is for everybody, with or without a token.
PUBLIC = {f"{BASE}/{name}" for name in ("openapi.json", "context", "terms")}
MEMBERS = {OLD: "processingActivities", NEW: "dataProcessingOperations"}


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    """The one of access tokens and of those for one trace."""
    return Issuer(tmp_path_factory.mktemp("issuer"))


def opened(served_settings: Settings, environ: dict[str, str]) -> TestClient:
    """An application with these variables."""
    settings = read_settings(environ_of(served_settings) | environ)
    authentication = configured_authentication(settings.serve)
    assert authentication
    return TestClient(create_app(settings, authentication, apis=[LEZEN, TOEZICHT]))


@pytest.fixture(scope="module")
def served(served_settings: Settings, issuer: Issuer) -> Iterator[TestClient]:
    """An application that takes both kinds of tokens from one issuer."""
    with opened(served_settings, issuer.environ | {"LDV_SERVE_TRACE_CLAIM": "trace_id"}) as client:
        yield client


def ask(client: TestClient, token: str, question: Any, path: str = NEW) -> Any:
    """What comes of a question."""
    return client.post(path, json=question, headers={"Authorization": f"Bearer {token}"})


def traces_of(answer: Any) -> set[str]:
    """The traces of the records in an answer, of either form or of a batch."""
    assert answer.status_code == 200, answer.text
    content = answer.json()
    pages = [page["items"] for page in content["results"]] if "results" in content else []
    for member in MEMBERS.values():
        pages += [content[member]] if member in content else []
    return {record["traceId"].replace("-", "") for page in pages for record in page}


@pytest.mark.parametrize("path", [OLD, NEW])
@pytest.mark.parametrize("scope", [None, "", "ldv:read ldv:confidential ldv:identify ldv:chain ldv:oversee"])
def test_it_opens_its_trace_and_no_other(served: TestClient, issuer: Issuer, path: str, scope: str | None) -> None:
    """Whatever its scopes say; a trace that nobody has is refused just as one that is there."""
    token = issuer.token(scope, trace_id=OWN)
    assert traces_of(ask(served, token, {"traceId": OWN}, path)) == {OWN}
    assert traces_of(ask(served, token, {"dpl.core.processing_activity_id": PARKING}, path)) == {OWN}
    answers = [ask(served, token, {"traceId": trace}, path) for trace in (OTHER, "c0ffee" + "0" * 26)]
    assert [answer.status_code for answer in answers] == [403, 403]
    assert answers[0].json()["detail"] == answers[1].json()["detail"]
    assert ask(served, token, {"startTime": 0}, path).status_code == 400
    # A real identifier would tell whether the trace is about somebody; scopes of such a token give no right to ask.
    assert ask(served, token, {"dpl.core.data_subject_id": BSN}, path).status_code == 403


@pytest.mark.parametrize("form", [OWN, OWN.upper(), f"{OWN[:8]}-{OWN[8:12]}-{OWN[12:16]}-{OWN[16:20]}-{OWN[20:]}"])
def test_the_claim_is_a_uuid_or_hex(served: TestClient, issuer: Issuer, form: str) -> None:
    """As `traceId` in a question."""
    assert traces_of(ask(served, issuer.token(trace_id=form), {"traceId": OWN})) == {OWN}


def test_a_batch_is_within_the_trace_or_refused(served: TestClient, issuer: Issuer) -> None:
    """Each question by itself: one that names another trace refuses the whole."""
    token = issuer.token(trace_id=OWN)
    inside: list[Any] = [{"traceId": OWN}, {"attributes": {"dpl": {"core": {"processingActivityId": PARKING}}}}]
    assert traces_of(ask(served, token, {"requests": inside}, f"{NEW}/_batch")) == {OWN}
    assert ask(served, token, {"requests": [*inside, {"traceId": OTHER}]}, f"{NEW}/_batch").status_code == 403


def test_what_was_done_for_a_foreign_trace_is_within_it_too(served: TestClient, issuer: Issuer) -> None:
    """The trace of the token is the one of the records, not the foreign one."""
    for trace_id, expected in ((OWN, {OWN}), (OTHER, set()), (FOREIGN.hex(), set())):
        answer = served.get(
            f"{BASE}/foreign-operations",
            params={"traceId": FOREIGN.hex()},
            headers={"Authorization": f"Bearer {issuer.token(trace_id=trace_id)}"},
        )
        assert traces_of(answer) == expected


def test_pages_stay_within_the_trace(served: TestClient, issuer: Issuer) -> None:
    """A cursor says where to go on, and not what may be seen."""
    token = issuer.token(trace_id=OWN)
    seen, address = [], f"{NEW}?limit=2"
    while address:
        answer = ask(served, token, {"attributes": {"dpl": {"core": {"processingActivityId": PARKING}}}}, address)
        assert traces_of(answer) == {OWN}
        seen += [record["spanId"] for record in answer.json()["dataProcessingOperations"]]
        link = answer.headers["link"]
        address = NEW + link[1:].partition(">")[0] if 'rel="next"' in link else ""
    assert len(seen) == len(set(seen)) == 4


def test_every_route_knows_such_tokens_or_refuses_them(served: TestClient, issuer: Issuer) -> None:
    """Also one that is added later: it gives records of that trace, or none."""
    token = issuer.token("ldv:read ldv:chain ldv:oversee ldv:identify", trace_id=OWN)
    headers = {"Authorization": f"Bearer {token}"}
    answered, refused = set(), set()
    for template, methods in served.app.openapi()["paths"].items():  # type: ignore[attr-defined]
        path = template.replace("{trace_id}", OWN).replace("{record_id}", OWN)
        for method in methods:
            body = {"requests": [{"traceId": OWN}]} if path.endswith("_batch") else {"traceId": OWN}
            sent = {"json": body} if method == "post" else {"params": {"traceId": OWN} if "foreign" in path else {}}
            answer = served.request(method, path, headers=headers, **sent)
            if answer.status_code == 200 and path not in PUBLIC:
                assert traces_of(answer) <= {OWN}
                answered.add(path)
            elif path not in PUBLIC:
                # What is no page at all is not found by anybody.
                assert answer.status_code == (404 if path.endswith("{rest}") else 403), path
                refused.add(path)
    assert answered == {BASE, OLD, NEW, f"{NEW}/_batch", f"{BASE}/foreign-operations"}
    assert f"{BASE}/chains/{OWN}" in refused
    assert len(refused) > 5


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        OWN[1:],
        OWN + "0",
        f" {OWN}",
        f"{OWN}\n",
        "0" * 32,
        "*",
        "%",
        "x" * 5_000,
        [],
        [OWN],
        [OWN, OTHER],
        {},
        {"": OWN},
        {"$ne": ""},
        7,
        int(OWN, 16) % 10**18,
        0,
        1.5,
        True,
        False,
        "\u0661" * 32,
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_claim_that_names_no_trace_opens_nothing(served: TestClient, issuer: Issuer, value: Any) -> None:
    """It is no access token either: somebody who empties the claim would gain everything by it."""
    for question in ({"traceId": OWN}, {"dpl.core.processing_activity_id": PARKING}):
        answer = ask(served, issuer.token("ldv:read ldv:confidential", trace_id=value), question)
        assert answer.status_code == 401
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
        assert OWN not in answer.text


def test_a_claim_of_null_is_no_access_token(served: TestClient, issuer: Issuer) -> None:
    """The claim is there, so the token says that it opens one trace."""
    now = int(time.time())
    claims = {
        "iss": issuer.issuer,
        "aud": issuer.audience,
        "exp": now + 60,
        "client_id": "auditor",
        "scope": "ldv:read",
    }
    from joserfc import jwt

    token = jwt.encode({"alg": "ES256", "kid": "one", "typ": "at+jwt"}, claims | {"trace_id": None}, issuer.key)
    assert ask(served, token, {"traceId": OWN}).status_code == 401


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://login.attacker.example"},
        {"aud": "https://elders.example"},
        {"exp": 1_700_000_000},
        {"exp": None},
        {"exp": 4_102_444_800},
        {"exp": float("1e18")},
        {"client_id": None},
        {"cnf": {"x5t#S256": "x"}},
    ],
    ids=str,
)
def test_what_makes_an_access_token_invalid_makes_this_one_invalid(
    served: TestClient, issuer: Issuer, claims: dict[str, Any]
) -> None:
    """And beside that it has to end soon."""
    assert ask(served, issuer.token(trace_id=OWN, **claims), {"traceId": OWN}).status_code == 401


def test_a_token_that_somebody_changed_is_refused(served: TestClient, issuer: Issuer) -> None:
    """With another trace in it, or without the claim, its signature is wrong."""
    import base64

    head, payload, signature = issuer.token(trace_id=OWN).split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    without = {name: value for name, value in claims.items() if name != "trace_id"}
    for changed in (claims | {"trace_id": OTHER}, without):
        text = base64.urlsafe_b64encode(json.dumps(changed).encode()).decode().rstrip("=")
        for question in ({"traceId": OTHER}, {"traceId": OWN}):
            assert ask(served, f"{head}.{text}.{signature}", question).status_code == 401
    for rubbish in ("", ".", "..", "a.b.c", f"{head}.{payload}", "x" * 20_000, f"{head}.W10.{signature}"):
        assert ask(served, rubbish, {"traceId": OWN}).status_code == 401


def test_an_issuer_of_its_own_opens_traces_only(served_settings: Settings, issuer: Issuer, tmp_path: Path) -> None:
    """Its tokens without the claim are worth nothing, and the other issuer cannot make tokens for a trace."""
    index = Issuer(tmp_path)
    theirs: dict[str, Any] = {"iss": "https://index.example", "aud": "https://traces.example"}
    environ: dict[str, str] = {
        "LDV_SERVE_TRACE_CLAIM": "urn:example:trace",
        "LDV_SERVE_TRACE_ISSUER": theirs["iss"],
        "LDV_SERVE_TRACE_AUDIENCE": theirs["aud"],
        "LDV_SERVE_TRACE_JWKS": str(index.jwks),
    }
    claim: dict[str, Any] = {"urn:example:trace": OWN}
    for others in ({}, issuer.environ):
        with opened(served_settings, environ | others) as client:
            assert traces_of(ask(client, index.token(**theirs, **claim), {"traceId": OWN})) == {OWN}
            assert ask(client, index.token(**theirs), {"traceId": OWN}).status_code == 401
            assert ask(client, index.token(**claim), {"traceId": OWN}).status_code == 401
            assert ask(client, issuer.token(**claim), {"traceId": OWN}).status_code == 401
            assert ask(client, issuer.token(), {"traceId": OWN}).status_code == (200 if others else 401)
            answer = client.post(NEW, json={"traceId": OWN})
            assert answer.headers["www-authenticate"].startswith("Bearer")


def test_the_file_of_clients_narrows_it(served_settings: Settings, issuer: Issuer, tmp_path: Path) -> None:
    """As it does access tokens: activities, and the right to read at all."""
    path = tmp_path / "clients.json"
    entries = [{"id": "portaal", "activities": [PARKING]}, {"id": "weg", "scopes": []}]
    path.write_bytes(msgspec.json.encode({"clients": entries}))
    environ = issuer.environ | {"LDV_SERVE_TRACE_CLAIM": "trace_id", "LDV_SERVE_CLIENTS": str(path)}
    with opened(served_settings, environ) as client:
        records = [
            len(ask(client, issuer.token(client_id=name, trace_id=OWN), {"traceId": OWN}).json()[MEMBERS[NEW]])
            for name in ("auditor", "portaal")
        ]
        assert records == [5, 4]
        assert ask(client, issuer.token(client_id="weg", trace_id=OWN), {"traceId": OWN}).status_code == 403


async def _verified(settings: ServeSettings, token: str) -> None:
    verifier = configured_tokens(settings)
    assert verifier
    await verifier.verify(token)


def test_it_is_no_access_token_to_any_other_api(served_settings: Settings, issuer: Issuer) -> None:
    """The APIs of GEMMA check tokens with the same verifier."""
    import asyncio

    environ = environ_of(served_settings) | issuer.environ | {"LDV_SERVE_TRACE_CLAIM": "trace_id"}
    settings = read_settings(environ).serve
    asyncio.run(_verified(settings, issuer.token()))
    with pytest.raises(Problem) as caught:
        asyncio.run(_verified(settings, issuer.token(trace_id=OWN)))
    assert caught.value.status == 401


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"LDV_SERVE_TRACE_CLAIM": "trace_id"}, "LDV_SERVE_TRACE_ISSUER"),
        ({"LDV_SERVE_TRACE_CLAIM": "trace_id", "LDV_SERVE_TRACE_ISSUER": "x"}, "LDV_SERVE_TRACE_AUDIENCE and"),
        (
            {
                "LDV_SERVE_TRACE_ISSUER": "x",
                "LDV_SERVE_TRACE_AUDIENCE": "x",
                "LDV_SERVE_TRACE_JWKS": "https://x.example",
            },
            "LDV_SERVE_TRACE_CLAIM is not set",
        ),
        ({"LDV_SERVE_TRACE_CLAIM": "scope"}, "LDV_SERVE_TRACE_CLAIM cannot be used"),
    ],
    ids=str,
)
def test_half_a_configuration_stops_the_start(served_settings: Settings, environ: dict[str, str], words: str) -> None:
    """And the message says what is missing."""
    with pytest.raises(ConfigurationError, match=words):
        configured_authentication(read_settings(environ_of(served_settings) | environ).serve)
