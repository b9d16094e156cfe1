"""Forged tokens let nobody in, at any of the four doors, and lead the server nowhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey

from ldv_otel._internal.gemma.zgw_token import zgw_token
from tests.across.test_outgoing import Proxy
from tests.api.conftest import BSN
from tests.attack.conftest import EVERYTHING, GEMMA_CLIENT, Target
from tests.attack.forging import Forger
from tests.attack.tally import Tally, rounds, tally
from tests.gemma.provider import SECRET
from tests.support.chance import dice

#: The server says no, or cannot read the request at all.
REFUSALS = {400, 401, 403, 414, 431}


@pytest.fixture
def listener() -> Any:
    """Where headers of forged tokens lead to."""
    found = Proxy()
    yield found
    found.close()


def try_all(counts: Tally, ask: Callable[[str], httpx.Response], tokens: Any) -> None:
    """Send each token; anything but a refusal got through, an error of the server too."""
    for token in tokens:
        try:
            answer = ask(token)
        except (httpx.LocalProtocolError, httpx.RemoteProtocolError, UnicodeEncodeError):
            continue  # no header can hold it
        counts.note((answer.status_code, token[:200]), got_through=answer.status_code not in REFUSALS)


def test_access_tokens(target: Target, listener: Proxy) -> None:
    """For the lezen API and for privacy officers."""

    def good(**more: Any) -> str:
        return target.issuer.token(EVERYTHING if "scope" not in more else more.pop("scope"), **more)

    forger = Forger(good, target.issuer.key, dice("access tokens"), listener.address)
    with tally("forged tokens", "lezen API") as counts:
        try_all(counts, target.lezen, forger.tokens(rounds(200, 10_000)))
        try_all(counts, target.lezen, forger.claimed(target.issuer.issuer))
    with tally("forged tokens", "pages for privacy officers") as counts:
        try_all(counts, target.toezicht, forger.tokens(rounds(50, 3_000)))
        try_all(counts, target.toezicht, forger.claimed(target.issuer.issuer))
    assert listener.seen == []


def test_assertions_about_citizens(target: Target, listener: Proxy) -> None:
    """An access token is none, and an old one is none any more."""

    def good(*, header: dict[str, Any] | None = None, **more: Any) -> str:
        return target.issuer.token(header={"typ": "JWT"} | (header or {}), **({"sub": BSN} | more))

    forger = Forger(good, target.issuer.key, dice("assertions"), listener.address)
    now = int(time.time())
    with tally("forged tokens", "pages for citizens") as counts:
        try_all(counts, target.inzage, forger.tokens(rounds(100, 5_000)))
        try_all(counts, target.inzage, forger.claimed(target.issuer.issuer))
        others: list[dict[str, Any]] = [{"iat": now - 86_400}, {"iat": now + 86_400}, {"iat": None}, {"iat": "now"}]
        subjects: list[Any] = [None, "", [], {}, ["123456782"], "0", "***", float("nan"), "x" * 300]
        others += [{"sub": value} for value in subjects]
        try_all(counts, target.inzage, (good(**more) for more in others))
        try_all(counts, target.inzage, [target.token, target.issuer.token(EVERYTHING, sub=BSN)])
    assert listener.seen == []


def test_tokens_of_gemma(target: Target, listener: Proxy) -> None:
    """Signed with another secret, with none, with the public key of the issuer, or of a client that is not there."""
    public = ECKey.import_key(target.issuer.key.as_dict(private=False))

    def good(**more: Any) -> str:
        # The server's own issuer may sign them as well: what is wrong with such a token is wrong here too.
        return target.issuer.token(more.pop("scope", None), **({"client_id": GEMMA_CLIENT} | more))

    forger = Forger(good, public, dice("GEMMA tokens"), listener.address)
    head, claims, signature = zgw_token(GEMMA_CLIENT, SECRET).split(".")
    own = [
        zgw_token(GEMMA_CLIENT, "another secret of enough characters"),
        zgw_token("niemand", SECRET),
        zgw_token("", SECRET),
        f"{head}.{claims}.",
        f"{head}.{claims}",
        f"eyJhbGciOiJub25lIn0.{claims}.",
        f"eyJhbGciOiJub25lIn0.{claims}.{signature}",
    ]
    with tally("forged tokens", "APIs of GEMMA") as counts:
        try_all(counts, target.gemma, own)
        try_all(counts, target.gemma, forger.tokens(rounds(100, 5_000)))
        try_all(counts, target.gemma, forger.claimed(target.issuer.issuer))
    assert listener.seen == []
