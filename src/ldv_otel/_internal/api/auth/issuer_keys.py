"""The public keys of an issuer of tokens (JWKS, RFC 7517): fetched, kept fresh, and which may have signed a token."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import httpx
from cryptography.exceptions import UnsupportedAlgorithm
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key, KeySet

from ldv_otel._internal.http.bounded_answers import content_of
from ldv_otel._internal.http.outgoing import async_client
from ldv_otel.errors import ConfigurationError, LogboekUnavailable

_logger = logging.getLogger(__name__)

_MAX_JWKS_BYTES: Final = 1 << 20
#: Keys from an address are good for so long, and are fetched again no sooner than the second of these: tokens with a
#: key id that nobody has are free to make, and must not make us knock at the issuer's for each.
_FRESH_SECONDS: Final = 3_600
_RETRY_SECONDS: Final = 30
_FETCH_SECONDS: Final = 5
#: So many keys are tried for a token that names none: each costs a check of a signature, before anybody is let in.
_MAX_TRIED: Final = 16
#: The type of key that signs with an algorithm, by the first letters of its name.
_KEY_TYPES: Final = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
#: What the libraries raise for a key that they cannot read: another type, curve, encoding or number.
_UNREADABLE: Final = (JoseError, ValueError, TypeError, KeyError, UnsupportedAlgorithm)


class NoFittingKeyError(ValueError):
    """The issuer has no key that may have signed the token; its keys may have changed since they were fetched."""


class IssuerKeys:
    """The keys of an issuer, from a file or an address; fetched again when they are old or a token names another one.

    Args:
        source: Path, or https URL.
        variable: Which names the source, for messages.
        proxy: `LDV_PROXY`; may be empty.
        clock: Seconds; monotonic.

    Raises:
        ConfigurationError: The file is not there or holds no keys. An address is asked when first needed.
    """

    def __init__(
        self,
        source: str,
        *,
        variable: str = "LDV_SERVE_JWKS",
        proxy: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._variable = variable
        self._proxy = proxy
        self._clock = clock
        self._remote = "://" in source
        self._keys: KeySet | None = None
        self._fetched = float("-inf")
        self._tried = float("-inf")
        self._lock = asyncio.Lock()
        self._refreshing: asyncio.Task[None] | None = None
        if not self._remote:
            self._keys = self._from_file()

    async def current(self) -> KeySet:
        """Return the keys; they are fetched first when there are none, and beside the request when they are old.

        Raises:
            LogboekUnavailable: There are none, and the address does not answer.
        """
        if self._remote and self._clock() - self._fetched > _FRESH_SECONDS:
            if self._keys is None:
                await self.refresh()
            elif self._refreshing is None or self._refreshing.done():
                # Known keys go on to serve: an address that hangs must not hold every request.
                self._refreshing = asyncio.get_running_loop().create_task(self.refresh())
        if self._keys is None:
            raise LogboekUnavailable(f"{self._variable}: no keys from {self._source} yet; no token can be checked.")
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
                # One bound for all of it: an answer that comes by single bytes keeps any other timeout from ending.
                self._keys = self._read(await asyncio.wait_for(self._fetch(), _FETCH_SECONDS))
                self._fetched = self._clock()
            except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError, RecursionError) as error:
                # Old keys go on to be good: an issuer that is away for a moment must not take this server with it.
                _logger.error("%s: %s gave no keys (%s).", self._variable, self._source, type(error).__name__)

    async def _fetch(self) -> bytes:
        async with (
            # No redirect and no proxy of the environment: whoever answers in the issuer's place decides who is let in.
            async_client(self._source, self._proxy, tls=True, timeout=_FETCH_SECONDS) as client,
            client.stream("GET", self._source, headers={"Accept": "application/json"}) as answer,
        ):
            answer.raise_for_status()
            return await content_of(answer, _MAX_JWKS_BYTES)

    def _from_file(self) -> KeySet:
        try:
            return self._read(Path(self._source).read_bytes())
        except OSError as error:
            raise ConfigurationError(f"{self._variable}: {self._source} cannot be read ({error.strerror}).") from error
        except ValueError as error:
            raise ConfigurationError(f"{self._variable}: {self._source} holds no JWKS of public keys.") from error

    def _read(self, content: bytes) -> KeySet:
        keys, unusable = key_set(content)
        if unusable:
            _logger.warning(
                "%s: %d of the keys of %s cannot be used here (in the list at %s); tokens signed with them are "
                "refused, the other keys serve.",
                self._variable,
                len(unusable),
                self._source,
                ", ".join(map(str, unusable[:_MAX_TRIED])),
            )
        return keys


def key_set(content: bytes) -> tuple[KeySet, list[int]]:
    """Return the keys of a JWKS, and the places of those that cannot be used, counted from 1.

    One key of a kind that is not known here, or that is broken, must not lock everybody out: issuers add keys of new
    kinds beside the old ones.

    Raises:
        ValueError: It is none, has no usable key, or has secret ones.
    """
    jwks = json.loads(content)
    listed = jwks.get("keys") if isinstance(jwks, dict) else None
    entries: list[Any] = listed if isinstance(listed, list) else []
    # With a shared secret among them whoever can check a token could also make one.
    if any(isinstance(entry, dict) and entry.get("kty") == "oct" for entry in entries):
        raise ValueError("a shared secret is no key for this")
    keys: list[Key] = []
    unusable = []
    for place, entry in enumerate(entries, start=1):
        try:
            # What is no object has no type of key, and is refused as such.
            keys.append(JWKRegistry.import_key(entry if isinstance(entry, dict) else {}))
        except _UNREADABLE:
            unusable.append(place)
    if not keys:
        raise ValueError("no keys")
    return KeySet(keys), unusable


def keys_for(keys: KeySet, header: Mapping[str, Any]) -> list[Key]:
    """Return the keys that may have signed a token, by what its header says: one of them has to fit.

    A header may leave out the id of the key (RFC 7515, section 4.1.4), and two keys may have the same one.

    Raises:
        NoFittingKeyError: None may have; or there are too many to try for a token that names no key.
    """
    algorithm = str(header.get("alg", ""))
    kid = header.get("kid")
    fitting = [
        key
        for key in keys
        if key.key_type == _KEY_TYPES.get(algorithm[:2])
        and (kid is None or key.kid == kid)
        and key.get("use") in {None, "sig"}
        and key.get("alg") in {None, algorithm}
    ]
    if not fitting:
        named = "with the id that it names" if kid is not None else "for its algorithm"
        raise NoFittingKeyError(f"the issuer has no key {named}")
    if len(fitting) > _MAX_TRIED:
        raise NoFittingKeyError(f"it names no key, and the issuer has over {_MAX_TRIED} for its algorithm")
    return fitting
