"""Who a citizen is: by the signed assertion of an authentication proxy, or, in a demonstration, by their own word.

A real identifier becomes pseudonyms in this module and goes no further (LDV-R7).
"""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ldv_otel._internal.api.auth.authentication import all_or_none
from ldv_otel._internal.api.auth.issuer_keys import IssuerKeys
from ldv_otel._internal.api.auth.tokens import LEEWAY_SECONDS, TokenVerifier, TrustedIssuer
from ldv_otel._internal.api.problem import Problem
from ldv_otel._internal.config.networks import asgi_peer
from ldv_otel._internal.config.settings import InzageSettings, Settings
from ldv_otel._internal.privacy.pseudonyms import Pseudonymiser

_DEMO_COOKIE: Final = "ldv_demo"
_MAX_SESSIONS: Final = 1_000
_MAX_IDENTIFIER: Final = 200


class Citizen(msgspec.Struct, frozen=True):
    """A data subject who looks at their own records.

    Attributes:
        subjects: Their pseudonym under each live key, 16 bytes each.
    """

    subjects: tuple[bytes, ...]


class Identity(Protocol):
    """Tells which citizen makes a request."""

    async def citizen(self, request: Request) -> Citizen:
        """Return the citizen.

        Raises:
            Problem: 401, nobody is signed in; 503, that cannot be checked now.
        """
        ...


class ProxyIdentity:
    """Takes the ID token (OpenID Connect) that an authentication proxy in front passes on in a header.

    The session is the proxy's: each request brings its token, and one that is over some minutes old is not taken.

    Args:
        audiences: As `TrustedIssuer`.
        clock: Seconds since 1970-01-01 UTC.
    """

    def __init__(
        self,
        settings: InzageSettings,
        algorithms: tuple[str, ...],
        pseudonymiser: Pseudonymiser,
        *,
        audiences: dict[str, str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._pseudonymiser = pseudonymiser
        self._clock = clock
        self._verifier = TokenVerifier(
            TrustedIssuer(
                settings.issuer,
                settings.audience,
                IssuerKeys(settings.jwks, variable="LDV_INZAGE_JWKS", proxy=settings.outbound_proxy),
                audiences or {},
            ),
            algorithms=algorithms,
            # An ID token; an access token of the same issuer (`at+jwt`) says nothing about who sits at the browser.
            types=frozenset({"jwt"}),
        )

    async def citizen(self, request: Request) -> Citizen:
        """Return the citizen that the assertion names."""
        assertions = request.headers.getlist(self._settings.header)
        # Of two, the client sent one.
        if len(assertions) != 1:
            raise not_signed_in(f"the header {self._settings.header} is there {len(assertions)} times and not once")
        if asgi_peer(request.scope) not in self._settings.proxies:
            raise not_signed_in(f"{self._settings.header} comes from an address that LDV_INZAGE_PROXIES does not name")
        claims = await self._verifier.claims(assertions[0].strip())
        issued_at = claims.get("iat")
        # Beside `exp`, which proxies set to hours: somebody who left a shared computer must be signed out sooner.
        age = self._clock() - issued_at if isinstance(issued_at, int | float) else float("inf")
        if not -LEEWAY_SECONDS <= age <= self._settings.minutes * 60:
            raise not_signed_in("the token is older than LDV_INZAGE_MINUTES, or does not say when it was made (`iat`)")
        identifier = claims.get(self._settings.claim)
        return citizen_of(identifier, self._settings.subject_type, self._pseudonymiser)


class DemoIdentity:
    """Believes people who they say they are: for a demonstration on this machine only.

    Sessions are in memory, so that a cookie holds only a random word and no identifier.

    Args:
        minutes: After which a session ends.
        clock: Seconds; monotonic.
    """

    def __init__(
        self,
        subject_type: str,
        pseudonymiser: Pseudonymiser,
        *,
        minutes: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._subject_type = subject_type
        self._pseudonymiser = pseudonymiser
        self._seconds = minutes * 60
        self._clock = clock
        self._sessions: OrderedDict[str, tuple[float, Citizen]] = OrderedDict()

    async def citizen(self, request: Request) -> Citizen:
        """Return the citizen that signed in with this browser."""
        began, citizen = self._sessions.get(request.cookies.get(_DEMO_COOKIE, ""), (float("-inf"), None))
        if citizen is None or self._clock() - began > self._seconds:
            raise not_signed_in("no session of the demonstration, or one that is over")
        return citizen

    def sign_in(self, identifier: str, response: Response) -> None:
        """Begin a session.

        Raises:
            Problem: 401, the text is no identifier.
        """
        citizen = citizen_of(identifier, self._subject_type, self._pseudonymiser)
        session = secrets.token_urlsafe(32)
        self._sessions[session] = (self._clock(), citizen)
        # The oldest go, so that signing in over and over does not fill the memory.
        while len(self._sessions) > _MAX_SESSIONS:
            self._sessions.popitem(last=False)
        response.set_cookie(
            # No `secure`: a demonstration is on this machine, over plain http.
            _DEMO_COOKIE,
            session,
            max_age=int(self._seconds),
            path="/inzage",
            httponly=True,
            samesite="strict",
        )

    def sign_out(self, request: Request, response: Response) -> None:
        """End the session."""
        self._sessions.pop(request.cookies.get(_DEMO_COOKIE, ""), None)
        response.delete_cookie(_DEMO_COOKIE, path="/inzage", httponly=True, samesite="strict")


def citizen_of(identifier: object, subject_type: str, pseudonymiser: Pseudonymiser) -> Citizen:
    """Return the citizen with an identifier.

    Raises:
        Problem: 401, it is no identifier.
    """
    subjects: tuple[bytes, ...] = ()
    if isinstance(identifier, str) and 0 < len(identifier.strip()) <= _MAX_IDENTIFIER:
        subjects = tuple(pseudonymiser.candidates(identifier, subject_type))
    if not subjects:
        raise not_signed_in("what should name the citizen is no identifier (LDV_INZAGE_CLAIM, LDV_INZAGE_SUBJECT_TYPE)")
    return Citizen(subjects)


def not_signed_in(reason: str) -> Problem:
    """Return the answer to a request of nobody who is signed in, or no longer.

    Args:
        reason: For the log; never an identifier.
    """
    return Problem(HTTPStatus.UNAUTHORIZED, "U bent niet ingelogd, of uw sessie is voorbij.", reason=reason)


def configured_identity(settings: Settings, pseudonymiser: Pseudonymiser) -> ProxyIdentity | None:
    """Return what identifies citizens by the settings, or None when these ask for no page.

    Raises:
        ConfigurationError: They name half of it; the message names what is missing.
    """
    inzage = settings.inzage
    needed = {
        "LDV_INZAGE_ISSUER": inzage.issuer,
        "LDV_INZAGE_AUDIENCE": inzage.audience,
        "LDV_INZAGE_JWKS": inzage.jwks,
        "LDV_INZAGE_PROXIES": inzage.proxies,
    }
    if not all_or_none(needed, "The page for citizens needs"):
        return None
    serve = settings.serve
    return ProxyIdentity(inzage, serve.algorithms, pseudonymiser, audiences=serve.audiences)
