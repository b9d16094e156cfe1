"""Who a client is, by an access token or a client certificate; and whether it may do what it asks for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Protocol

from starlette.requests import Request

from ldv_otel._internal.api.auth.certificates import certificate_of
from ldv_otel._internal.api.auth.claims import ClaimNames
from ldv_otel._internal.api.auth.clients import Client, ClientList, Scope, read_clients
from ldv_otel._internal.api.auth.issuer_keys import IssuerKeys
from ldv_otel._internal.api.auth.tokens import TokenVerifier, TrustedIssuer, bearer_token
from ldv_otel._internal.api.auth.trace_tokens import TraceTokenVerifier
from ldv_otel._internal.api.envelope import log_client
from ldv_otel._internal.api.limits import RateLimiter
from ldv_otel._internal.api.problem import Problem
from ldv_otel._internal.api.state import state_of
from ldv_otel._internal.config.settings import ServeSettings
from ldv_otel.errors import ConfigurationError


class Authentication(Protocol):
    """Tells which client makes a request."""

    async def client(self, request: Request) -> Client:
        """Return the client.

        Raises:
            Problem: 401; no registered client has proven itself.
        """
        ...


class NoAuthentication:
    """Lets everybody do everything: for development on loopback only."""

    async def client(self, request: Request) -> Client:
        """Return one client for all requests."""
        del request
        return Client(id="development", scopes=frozenset(Scope))


class CredentialAuthentication:
    """Takes access tokens and client certificates, whichever are configured.

    Args:
        clients: The file of the clients.
        tokens: None when tokens are not accepted.
        trace_tokens: None when tokens that open one trace are not accepted.
    """

    def __init__(
        self,
        settings: ServeSettings,
        clients: ClientList,
        tokens: TokenVerifier | None = None,
        trace_tokens: TraceTokenVerifier | None = None,
    ) -> None:
        self._settings = settings
        self._clients = clients
        self._tokens = tokens
        self._trace_tokens = trace_tokens

    async def client(self, request: Request) -> Client:
        """Return the client; a token goes before a certificate."""
        certificate = certificate_of(request, self._settings)
        token = bearer_token(request)
        # With a token the certificate identifies no client: it only binds the token (RFC 8705).
        if token is not None and self._trace_tokens is not None and self._trace_tokens.recognises(token):
            return self._clients.by_trace_token(await self._trace_tokens.verify(token, certificate))
        if token is not None and self._tokens is not None:
            return self._clients.by_token(await self._tokens.verify(token, certificate))
        client = self._clients.by_certificate(certificate) if certificate is not None else None
        if client is None:
            # A 401 has to name a way to authenticate (RFC 9110, section 15.5.2).
            challenge = "Bearer" if self._tokens is not None or self._trace_tokens is not None else "Mutual-TLS"
            raise Problem(
                HTTPStatus.UNAUTHORIZED,
                "Geef een toegangstoken mee, of gebruik een clientcertificaat dat hier bekend is.",
                headers={"WWW-Authenticate": f'{challenge} realm="ldv"'},
            )
        return client


def configured_authentication(settings: ServeSettings, *, others: bool = False) -> Authentication | None:
    """Return the authentication that the settings name, or None when they name none.

    Args:
        others: Whether there are APIs with clients of their own, for whom certificates may be asked for.

    Raises:
        ConfigurationError: They name half of one; the message says what is missing.
    """
    clients = read_clients(settings.clients)
    asks_certificates = settings.client_ca is not None or bool(settings.proxies)
    # A server that asks for certificates and takes none would refuse everybody, which its owner should hear at the
    # start.
    if asks_certificates and not clients.with_certificate:
        if not others:
            raise ConfigurationError(
                "Client certificates are asked for, and no client has one. Nothing was started. "
                "Let LDV_SERVE_CLIENTS name a file with the certificates of the clients."
            )
        asks_certificates = False
    tokens, trace_tokens = configured_tokens(settings), configured_trace_tokens(settings)
    if tokens is None and trace_tokens is None and not asks_certificates:
        return None
    return CredentialAuthentication(settings, clients, tokens, trace_tokens)


def configured_tokens(settings: ServeSettings) -> TokenVerifier | None:
    """Return what checks access tokens; None when the settings name no issuer.

    Raises:
        ConfigurationError: They name half of one, or its keys cannot be used.
    """
    needed = {
        "LDV_SERVE_ISSUER": settings.issuer,
        "LDV_SERVE_AUDIENCE": settings.audience,
        "LDV_SERVE_JWKS": settings.jwks,
    }
    if not all_or_none(needed, "Access tokens need"):
        return None
    return TokenVerifier(
        TrustedIssuer(
            settings.issuer,
            settings.audience,
            IssuerKeys(settings.jwks, proxy=settings.outbound_proxy),
            settings.audiences,
        ),
        algorithms=settings.algorithms,
        # Wherever access tokens are taken, in the APIs of GEMMA too, one for a single trace is not: its other claims
        # could say more.
        without=settings.trace_claim,
        names=_claim_names(settings),
    )


def configured_trace_tokens(settings: ServeSettings) -> TraceTokenVerifier | None:
    """Return what checks tokens that open one trace; None when the settings name no claim for it.

    Raises:
        ConfigurationError: They name half of what is needed, or its keys cannot be used.
    """
    own = {
        "LDV_SERVE_TRACE_ISSUER": settings.trace_issuer,
        "LDV_SERVE_TRACE_AUDIENCE": settings.trace_audience,
        "LDV_SERVE_TRACE_JWKS": settings.trace_jwks,
    }
    has_own = all_or_none(own, "Tokens for one trace, of another issuer than access tokens, need")
    if not settings.trace_claim:
        if has_own:
            raise ConfigurationError(
                "An issuer of tokens for one trace is named, and LDV_SERVE_TRACE_CLAIM is not set. Nothing was "
                "started. Let it name the claim with the trace, such as trace_id."
            )
        return None
    issuer, audience, jwks = own.values() if has_own else (settings.issuer, settings.audience, settings.jwks)
    if settings.trace_claim in {*settings.client_claims, *settings.scope_claims}:
        raise ConfigurationError(
            "LDV_SERVE_TRACE_CLAIM names a claim that LDV_SERVE_CLIENT_CLAIMS or LDV_SERVE_SCOPE_CLAIMS names too, so "
            "every access token would be one for a single trace. Nothing was started. Let it name a claim of its own."
        )
    if not jwks:
        raise ConfigurationError(
            "LDV_SERVE_TRACE_CLAIM is set, and nothing says whose tokens are meant. Nothing was started. Set "
            f"{', '.join(own)}, or those of access tokens, LDV_SERVE_ISSUER and so on, when it is the same issuer."
        )
    variable = "LDV_SERVE_TRACE_JWKS" if has_own else "LDV_SERVE_JWKS"
    verifier = TokenVerifier(
        TrustedIssuer(
            issuer,
            audience,
            IssuerKeys(jwks, variable=variable, proxy=settings.outbound_proxy),
            settings.audiences,
        ),
        algorithms=settings.algorithms,
        names=_claim_names(settings),
    )
    return TraceTokenVerifier(verifier, settings.trace_claim)


def _claim_names(settings: ServeSettings) -> ClaimNames:
    return ClaimNames(settings.client_claims, settings.scope_claims)


def all_or_none(variables: Mapping[str, object], sentence: str) -> bool:
    """Say whether variables that go together are set.

    Args:
        variables: Each with its value.
        sentence: The beginning of the error: what needs them.

    Raises:
        ConfigurationError: Some are set and some are not; the message names those that are missing.
    """
    missing = [name for name, value in variables.items() if not value]
    if missing and len(missing) < len(variables):
        raise ConfigurationError(
            f"{sentence} {', '.join(variables)}, and {' and '.join(missing)} is not set. Nothing was started."
        )
    return not missing


class AccessGuard:
    """Lets a client in: authenticated, within its rate, and with the scopes that are needed.

    Args:
        requests_per_minute: For a client without a limit of its own.
    """

    def __init__(self, authentication: Authentication, limiter: RateLimiter, *, requests_per_minute: int) -> None:
        self._authentication = authentication
        self._limiter = limiter
        self._requests_per_minute = requests_per_minute

    async def enter(self, request: Request, scopes: frozenset[Scope]) -> Client:
        """Return the client.

        Its rate is counted before its scopes are checked, so that trying what it may not do is limited as well.

        Raises:
            Problem: 401 not authenticated, 403 a scope is missing, 429 too many requests.
        """
        client = await self._authentication.client(request)
        log_client(request, client.id)
        self._limiter.check(client.id, client.requests_per_minute or self._requests_per_minute)
        require(client, scopes)
        return client


def require(client: Client, scopes: frozenset[Scope]) -> None:
    """Check that a client has these scopes.

    Raises:
        Problem: 403; it names the scopes that are missing.
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
    """Return a FastAPI dependency that gives the client of a request, if it has these scopes."""
    needed = frozenset(scopes)

    async def dependency(request: Request) -> Client:
        # Not `services_of`: `services` stands above this module, because it holds the guard.
        guard: AccessGuard = state_of(request).services.access_guard
        return await guard.enter(request, needed)

    return dependency
