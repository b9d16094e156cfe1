"""Access tokens: JWTs (RFC 9068) of one issuer, for one audience, signed with a key of its JWKS."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from starlette.requests import Request

from ldv_otel._internal.api.problem import Problem, unavailable
from ldv_otel._internal.http.bounded_answers import content_of
from ldv_otel._internal.parties.evidence import Certificate
from ldv_otel.errors import ConfigurationError, LogboekUnavailable

_logger = logging.getLogger(__name__)

#: How far the clock of the other side may be ahead of ours, or behind it.
LEEWAY_SECONDS: Final = 30
_MAX_TOKEN_CHARACTERS: Final = 8_192
_MAX_JWKS_BYTES: Final = 1 << 20
#: Keys from an address are good for so long, and are fetched again no sooner than the second of these: tokens with a
#: key id that nobody has are free to make, and must not make us knock at the issuer's for each.
_FRESH_SECONDS: Final = 3_600
_RETRY_SECONDS: Final = 30


class IssuerKeys:
    """The keys of an issuer, from a file or an address; fetched again when they are old or a token names another one.

    Args:
        source: Path, or https URL.
        clock: Seconds; monotonic.

    Raises:
        ConfigurationError: The file is not there or holds no keys. An address is asked when first needed.
    """

    def __init__(self, source: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._remote = "://" in source
        self._keys: KeySet | None = None
        self._fetched = float("-inf")
        self._tried = float("-inf")
        self._lock = asyncio.Lock()
        if not self._remote:
            self._keys = self._from_file()

    async def current(self) -> KeySet:
        """Return the keys; they are fetched first when there are none or they are old.

        Raises:
            LogboekUnavailable: There are none, and the address does not answer.
        """
        if self._remote and self._clock() - self._fetched > _FRESH_SECONDS:
            await self.refresh()
        if self._keys is None:
            raise LogboekUnavailable(f"LDV_SERVE_JWKS: no keys from {self._source} yet; no token can be checked.")
        return self._keys

    async def refresh(self) -> None:
        """Fetch the keys again, unless that was tried a moment ago; on failure the old ones stay.

        The lock lets requests that need the keys at the same time wait for one fetch.
        """
        async with self._lock:
            if not self._remote or self._clock() - self._tried < _RETRY_SECONDS:
                return
            self._tried = self._clock()
            try:
                self._keys = key_set(await self._fetch())
                self._fetched = self._clock()
            except (httpx.HTTPError, ValueError) as error:
                # Old keys go on to be good: an issuer that is away for a moment must not take this server with it.
                _logger.error("LDV_SERVE_JWKS: %s gave no keys (%s).", self._source, type(error).__name__)

    async def _fetch(self) -> bytes:
        async with (
            # No redirect and no proxy of the environment: whoever answers in the issuer's place decides who is let in.
            httpx.AsyncClient(timeout=5, follow_redirects=False, trust_env=False) as client,
            client.stream("GET", self._source, headers={"Accept": "application/json"}) as answer,
        ):
            answer.raise_for_status()
            return await content_of(answer, _MAX_JWKS_BYTES)

    def _from_file(self) -> KeySet:
        try:
            return key_set(Path(self._source).read_bytes())
        except OSError as error:
            raise ConfigurationError(f"LDV_SERVE_JWKS: {self._source} cannot be read ({error.strerror}).") from error
        except ValueError as error:
            raise ConfigurationError(f"LDV_SERVE_JWKS: {self._source} holds no JWKS of public keys.") from error


class AccessToken(msgspec.Struct, frozen=True):
    """A valid access token.

    Attributes:
        client_id: The client to which it was given.
        claims: All that it says.
    """

    client_id: str
    claims: dict[str, Any]

    def __repr__(self) -> str:
        """Leave the claims out: they may name a person."""
        return f"AccessToken({self.client_id!r})"

    @property
    def scopes(self) -> frozenset[str]:
        """Return its scopes."""
        return frozenset(self.claims.get("scope", "").split())

    @property
    def person(self) -> str:
        """Return who the client acts for (`sub`); empty when it does not say."""
        person = self.claims.get("sub")
        return person if isinstance(person, str) else ""


class TokenVerifier:
    """Checks access tokens.

    Args:
        algorithms: The only signatures that are accepted.
        types: What `typ` in the header may say, in lower case; an absent one means `jwt`.
    """

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        keys: IssuerKeys,
        algorithms: tuple[str, ...],
        types: frozenset[str] = frozenset({"jwt", "at+jwt"}),
    ) -> None:
        self._keys = keys
        self._types = types
        self._algorithms = list(algorithms)
        self._claims = jwt.JWTClaimsRegistry(
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": issuer},
            # Without it a token that was given for another API would be valid here.
            aud={"essential": True, "value": audience},
            exp={"essential": True},
        )

    async def verify(self, token: str, certificate: Certificate | None = None) -> AccessToken:
        """Return what a valid token says.

        Args:
            certificate: The client's; a token that is bound to one is valid with that one only (RFC 8705), and one that
                is bound in another way is not valid here.

        Raises:
            Problem: 401, the token is not valid; 503, there are no keys to check it with.
        """
        claims = await self.claims(token)
        bound_to = claims.get("cnf")
        if bound_to is not None and (certificate is None or bound_to != _confirmation(certificate)):
            raise refused("Het toegangstoken hoort bij een ander clientcertificaat.")
        # Not `sub`: that may be a person's identifier, and this goes into the access log.
        client_id = next((claims[name] for name in ("client_id", "azp") if claims.get(name)), None)
        if not isinstance(client_id, str) or not isinstance(claims.get("scope", ""), str):
            raise refused("Het toegangstoken noemt geen client.")
        return AccessToken(client_id, claims)

    async def claims(self, token: str) -> dict[str, Any]:
        """Return the claims of a token whose signature, issuer, audience, time and type are right.

        Raises:
            Problem: As `verify`.
        """
        try:
            return await self._checked(token)
        except LogboekUnavailable as error:
            _logger.error("%s", error)
            raise unavailable() from error
        except (JoseError, ValueError, RecursionError) as error:
            raise refused("Het toegangstoken is niet geldig.") from error

    async def _checked(self, token: str) -> dict[str, Any]:
        check_token_form(token)
        try:
            decoded = jwt.decode(token, await self._keys.current(), algorithms=self._algorithms)
        except InvalidKeyIdError:
            # The issuer may have begun to sign with a new key since its keys were fetched.
            await self._keys.refresh()
            decoded = jwt.decode(token, await self._keys.current(), algorithms=self._algorithms)
        # The issuer signs other kinds of tokens with the same keys, such as `logout+jwt`, which give no rights.
        if str(decoded.header.get("typ", "JWT")).lower().removeprefix("application/") not in self._types:
            raise ValueError("another kind of token")
        self._claims.validate(decoded.claims)
        return decoded.claims


def _confirmation(certificate: Certificate) -> dict[str, str]:
    """Return the claim `cnf` of a token that is bound to a certificate (RFC 8705, section 3.1)."""
    digest = bytes.fromhex(certificate.fingerprint)
    return {"x5t#S256": base64.urlsafe_b64encode(digest).decode().rstrip("=")}


def bearer_token(request: Request) -> str | None:
    """Return the token in the header `Authorization`, which may be empty; None when the header has no bearer token."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def check_token_form(token: str) -> None:
    """Check a token before anything parses it: parsers of JSON and base64 need not see what is too long.

    Raises:
        ValueError: It is too long for a token, or has other characters.
    """
    if len(token) > _MAX_TOKEN_CHARACTERS or not token.isascii():
        raise ValueError("no token")


def key_set(content: bytes) -> KeySet:
    """Return the keys of a JWKS.

    Raises:
        ValueError: It is none, has none, or has secret ones.
    """
    jwks = json.loads(content)
    if not isinstance(jwks, dict) or not isinstance(jwks.get("keys"), list) or not jwks["keys"]:
        raise ValueError("no keys")
    # With a shared secret among them whoever can check a token could also make one.
    if any(not isinstance(key, dict) or key.get("kty") == "oct" for key in jwks["keys"]):
        raise ValueError("a shared secret is no key for this")
    try:
        return KeySet.import_key_set({"keys": jwks["keys"]})
    except JoseError as error:
        raise ValueError("no keys") from error


def refused(detail: str) -> Problem:
    """Return the answer to a token that is not valid (RFC 6750)."""
    return Problem(
        HTTPStatus.UNAUTHORIZED, detail, headers={"WWW-Authenticate": 'Bearer realm="ldv", error="invalid_token"'}
    )
