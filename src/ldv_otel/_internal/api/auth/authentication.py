"""Who asks: a client with an access token, or with a certificate; and whether it may."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Protocol

from starlette.requests import Request

from ldv_otel._internal.api.auth.certificates import certificate_of
from ldv_otel._internal.api.auth.clients import Client, ClientList, Scope, read_clients
from ldv_otel._internal.api.auth.tokens import IssuerKeys, TokenVerifier
from ldv_otel._internal.api.limits import RateLimiter
from ldv_otel._internal.api.problem import Problem
from ldv_otel._internal.config.settings import ServeSettings
from ldv_otel.errors import ConfigurationError


class Authentication(Protocol):
    """Tells who asks."""

    async def client(self, request: Request) -> Client:
        """Return the client.

        Raises:
            Problem: 401; nobody we know.
        """
        ...


class NoAuthentication:
    """Everybody may do everything: for development on loopback only."""

    async def client(self, request: Request) -> Client:
        """Return one client for all."""
        del request
        return Client(id="development", scopes=frozenset(Scope))


class CredentialAuthentication:
    """Access tokens and client certificates, whichever are configured.

    Args:
        tokens: None when tokens are not accepted.
    """

    def __init__(self, settings: ServeSettings, known: ClientList, tokens: TokenVerifier | None) -> None:
        self._settings = settings
        self._known = known
        self._tokens = tokens

    async def client(self, request: Request) -> Client:
        """Return the client; a token goes before a certificate."""
        certificate = certificate_of(request, proxies=self._settings.proxies, header=self._settings.certificate_header)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._tokens is not None:
            fingerprint = bytes.fromhex(certificate.fingerprint) if certificate is not None else b""
            return self._known.by_token(*await self._tokens.verify(token.strip(), fingerprint))
        found = self._known.by_certificate(certificate) if certificate is not None else None
        if found is None:
            challenge = "Bearer" if self._tokens is not None else "Mutual-TLS"
            raise Problem(
                HTTPStatus.UNAUTHORIZED,
                "Geef een toegangstoken mee, of gebruik een clientcertificaat dat hier bekend is.",
                headers={"WWW-Authenticate": f'{challenge} realm="ldv"'},
            )
        return found


def configured_authentication(settings: ServeSettings, *, others: bool = False) -> Authentication | None:
    """Return what the settings ask for, or None when they ask for nothing.

    Args:
        others: There are APIs with clients of their own, whom certificates may be asked for.

    Raises:
        ConfigurationError: They ask for half of something; the message names what is missing.
    """
    given = {
        "LDV_SERVE_ISSUER": settings.issuer,
        "LDV_SERVE_AUDIENCE": settings.audience,
        "LDV_SERVE_JWKS": settings.jwks,
    }
    missing = [name for name, value in given.items() if not value]
    if missing and len(missing) < len(given):
        raise ConfigurationError(
            f"Access tokens need {', '.join(given)}, and {' and '.join(missing)} is not set. Nothing was started."
        )
    known = read_clients(settings.clients)
    certificates = settings.client_ca is not None or bool(settings.proxies)
    if certificates and not known.with_certificate and others:
        certificates = False
    elif certificates and not known.with_certificate:
        raise ConfigurationError(
            "Client certificates are asked for, and no client is known by one. Nothing was started. "
            "Let LDV_SERVE_CLIENTS name a file that says which certificate is whose."
        )
    tokens = None
    if not missing:
        tokens = TokenVerifier(
            issuer=settings.issuer,
            audience=settings.audience,
            keys=IssuerKeys(settings.jwks),
            algorithms=settings.algorithms,
        )
    return CredentialAuthentication(settings, known, tokens) if tokens is not None or certificates else None


class AccessGuard:
    """Lets a client in: authenticated, with the scopes that are needed, and within its rate.

    Args:
        requests_per_minute: For a client without a limit of its own.
    """

    def __init__(self, authentication: Authentication, limiter: RateLimiter, *, requests_per_minute: int) -> None:
        self._authentication = authentication
        self._limiter = limiter
        self._requests_per_minute = requests_per_minute

    async def enter(self, request: Request, scopes: frozenset[Scope]) -> Client:
        """Return the client.

        Raises:
            Problem: 401 not authenticated, 403 a scope is missing, 429 too many requests.
        """
        client = await self._authentication.client(request)
        request.scope["ldv.client"] = client.id
        self._limiter.check(client.id, client.requests_per_minute or self._requests_per_minute)
        require(client, scopes)
        return client


def require(client: Client, scopes: frozenset[Scope]) -> None:
    """Check that a client has these scopes.

    Raises:
        Problem: 403; names what is missing.
    """
    missing = sorted(scopes - client.scopes)
    if missing:
        raise Problem(
            HTTPStatus.FORBIDDEN,
            f"Deze client mist het recht {' en '.join(missing)}.",
            headers={
                "WWW-Authenticate": f'Bearer realm="ldv", error="insufficient_scope", scope="{" ".join(missing)}"'
            },
        )


def client_with(*scopes: Scope) -> Callable[[Request], Awaitable[Client]]:
    """Return a FastAPI dependency that gives the client, if it has these scopes."""
    wanted = frozenset(scopes)

    async def dependency(request: Request) -> Client:
        access_guard: AccessGuard = request.app.state.services.access_guard
        return await access_guard.enter(request, wanted)

    return dependency
