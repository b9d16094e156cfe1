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
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from ldv_otel._internal.api.problem import Problem, unavailable
from ldv_otel._internal.http.bounded_answers import content_of
from ldv_otel.errors import ConfigurationError, LogboekUnavailable

_logger = logging.getLogger(__name__)

_MAX_TOKEN: Final = 8_192
_MAX_JWKS: Final = 1 << 20
_LEEWAY_SECONDS: Final = 30
#: Keys from an address are good for so long, and are asked for again no sooner than the second of these.
_FRESH_SECONDS: Final = 3_600
_RETRY_SECONDS: Final = 30


class IssuerKeys:
    """The keys of an issuer, from a file or an address; fetched again when they get old or a token names a new one.

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
        """Return the keys, fetching them first when there are none or they are old.

        Raises:
            LogboekUnavailable: There are none, and the address does not answer.
        """
        if self._remote and self._clock() - self._fetched > _FRESH_SECONDS:
            await self.refresh()
        if self._keys is None:
            raise LogboekUnavailable(f"LDV_SERVE_JWKS: no keys from {self._source} yet; no token can be checked.")
        return self._keys

    async def refresh(self) -> None:
        """Fetch the keys again, unless that was tried a moment ago; on failure the old ones stay."""
        async with self._lock:
            if not self._remote or self._clock() - self._tried < _RETRY_SECONDS:
                return
            self._tried = self._clock()
            try:
                self._keys = key_set(await self._fetch())
                self._fetched = self._clock()
            except (httpx.HTTPError, ValueError) as error:
                _logger.error("LDV_SERVE_JWKS: %s gave no keys (%s).", self._source, type(error).__name__)

    async def _fetch(self) -> bytes:
        async with (
            httpx.AsyncClient(timeout=5, follow_redirects=False, trust_env=False) as client,
            client.stream("GET", self._source, headers={"Accept": "application/json"}) as answer,
        ):
            answer.raise_for_status()
            return await content_of(answer, _MAX_JWKS)

    def _from_file(self) -> KeySet:
        try:
            return key_set(Path(self._source).read_bytes())
        except OSError as error:
            raise ConfigurationError(f"LDV_SERVE_JWKS: {self._source} cannot be read ({error.strerror}).") from error
        except ValueError as error:
            raise ConfigurationError(f"LDV_SERVE_JWKS: {self._source} holds no JWKS of public keys.") from error


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
            leeway=_LEEWAY_SECONDS,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
        )

    async def verify(self, token: str, fingerprint: bytes = b"") -> tuple[str, frozenset[str], str]:
        """Return client id and scopes of a token, and who the client acts for (`sub`; empty when it does not say).

        Args:
            fingerprint: SHA-256 of the client's certificate; a token that is bound to one is good only with that one
                (RFC 8705), and one that is bound in another way is not good here.

        Raises:
            Problem: 401, the token is not good; 503, there are no keys to check it with.
        """
        claims = await self.claims(token)
        bound = claims.get("cnf")
        if bound is not None and (not fingerprint or bound != {"x5t#S256": _base64(fingerprint)}):
            raise refused("Het toegangstoken hoort bij een ander clientcertificaat.")
        # Not `sub`: that may be a person's identifier, and this goes into the access log.
        client_id = next((claims[name] for name in ("client_id", "azp") if claims.get(name)), None)
        scope = claims.get("scope", "")
        if not isinstance(client_id, str) or not isinstance(scope, str):
            raise refused("Het toegangstoken noemt geen client.")
        person = claims.get("sub")
        return client_id, frozenset(scope.split()), person if isinstance(person, str) else ""

    async def claims(self, token: str) -> dict[str, Any]:
        """Return what a token says, when signature, issuer, audience, time and type are right.

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
        if len(token) > _MAX_TOKEN or not token.isascii():
            raise ValueError("no token")
        try:
            decoded = jwt.decode(token, await self._keys.current(), algorithms=self._algorithms)
        except InvalidKeyIdError:
            # The issuer may have a new key.
            await self._keys.refresh()
            decoded = jwt.decode(token, await self._keys.current(), algorithms=self._algorithms)
        if str(decoded.header.get("typ", "JWT")).lower().removeprefix("application/") not in self._types:
            raise ValueError("another kind of token")
        self._claims.validate(decoded.claims)
        return decoded.claims


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def key_set(content: bytes) -> KeySet:
    """Return the keys of a JWKS.

    Raises:
        ValueError: It is none, has none, or has secret ones.
    """
    found = json.loads(content)
    if not isinstance(found, dict) or not isinstance(found.get("keys"), list) or not found["keys"]:
        raise ValueError("no keys")
    if any(not isinstance(key, dict) or key.get("kty") == "oct" for key in found["keys"]):
        raise ValueError("a shared secret is no key for this")
    try:
        return KeySet.import_key_set({"keys": found["keys"]})
    except JoseError as error:
        raise ValueError("no keys") from error


def refused(detail: str) -> Problem:
    """Return the answer for a token that is not good (RFC 6750)."""
    return Problem(
        HTTPStatus.UNAUTHORIZED, detail, headers={"WWW-Authenticate": 'Bearer realm="ldv", error="invalid_token"'}
    )
