"""Who the clients of the APIs are, and what each may do: JWTs, a local list, and the Autorisatiecomponent (AC).

A client proves itself with a JWT: signed with its own secret, as is the practice of the ZGW standards (HS256; claims
`iss`, `client_id`, `iat`), or by the issuer of access tokens that `ldv serve` trusts (`LDV_SERVE_ISSUER`). Its scopes
stand in the file of `LDV_GEMMA_CLIENTS`, or the AC is asked; a `scope` claim in the token only narrows them.

    clients:
      - id: zaaksysteem
        secret_file: /etc/ldv/zaaksysteem.secret
        bewerking: ["create:confidential", "read:normal"]
      - id: burgerportaal            # no scopes here, so the AC knows them
        secret_file: /etc/ldv/burgerportaal.secret
    autorisaties:
      url: https://autorisaties.gemeente.example/api/v1
      client_id: verwerkingenlog
      secret_file: /etc/ldv/autorisaties.secret

Source: GEMMA Verwerkingenlogging, GW-01, GW-22, GW-23 and section 5; the ZGW Autorisaties API 1.0.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from starlette.requests import Request

from ldv_otel._internal.api.auth.certificates import certificate_of
from ldv_otel._internal.api.auth.clients import Client
from ldv_otel._internal.api.auth.tokens import IssuerKeys, TokenVerifier, refused
from ldv_otel._internal.api.problem import Problem, unavailable
from ldv_otel._internal.config.address import is_loopback
from ldv_otel._internal.config.settings import ServeSettings
from ldv_otel._internal.config.yaml_file import read_yaml
from ldv_otel._internal.gemma.provider.scopes import Component
from ldv_otel._internal.gemma.zgw_token import SecretHolder, read_secret, zgw_token
from ldv_otel._internal.http.bounded_answers import content_of
from ldv_otel._internal.http.tls import tls_context
from ldv_otel.errors import ConfigurationError

_logger = logging.getLogger(__name__)

_ACTIONS: Final = {
    Component.BEWERKING: ("create", "read", "update", "delete"),
    Component.INZAGE: ("read",),
}
_SCOPES: Final[Mapping[Component, frozenset[str]]] = {
    component: frozenset(f"{action}:{kind}" for action in actions for kind in ("normal", "confidential"))
    for component, actions in _ACTIONS.items()
}
_MAX_TOKEN: Final = 8_192
_MAX_ANSWER: Final = 1 << 20
_LEEWAY_SECONDS: Final = 30
_TIMEOUT_SECONDS: Final = 5.0
#: After a failure the AC is left alone for so long.
_RETRY_SECONDS: Final = 2.0


class GemmaClientEntry(SecretHolder, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A client on the local list.

    Attributes:
        id: As in `client_id` of its tokens.
        secret_file: Of its tokens; left out for a client with tokens of the issuer.
        bewerking: Its scopes in the Bewerking API; when both are left out, the AC is asked.
        inzage: And in the Inzage API.
        oins: What it may name in the header `OIN`; by default the one in its certificate, and without that any.
    """

    id: str
    oins: frozenset[str] = frozenset()
    bewerking: frozenset[str] | None = None
    inzage: frozenset[str] | None = None

    def __post_init__(self) -> None:
        """Refuse scopes that mean nothing."""
        for component, scopes in (self.granted or {}).items():
            if unknown := scopes - _SCOPES[component]:
                raise ValueError(f"{min(unknown)!r} is no scope of the {component} API")

    @property
    def granted(self) -> Mapping[Component, frozenset[str]] | None:
        """Its scopes; None when they do not stand here."""
        if self.bewerking is None and self.inzage is None:
            return None
        return {
            Component.BEWERKING: self.bewerking or frozenset(),
            Component.INZAGE: self.inzage or frozenset(),
        }


class Autorisaties(SecretHolder, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The AC: a ZGW Autorisaties API.

    Attributes:
        url: Its base, which has `/applicaties` below it.
        client_id: Under which it knows us, with our secret there.
        component_bewerking: What it calls the Bewerking API in `autorisaties[].component`.
        component_inzage: And the Inzage API.
        cache_seconds: How long an answer is good; 0 asks each time.
        ca_file: PEM file of the authority that signed its certificate.
    """

    url: str
    client_id: str
    component_bewerking: str = "verwerkingenlogging-bewerking"
    component_inzage: str = "verwerkingenlogging-inzage"
    cache_seconds: float = 60.0
    ca_file: str = ""

    def __post_init__(self) -> None:
        """Refuse an address to which a secret would go in the clear."""
        url = httpx.URL(self.url)
        if url.scheme != "https" and not (url.scheme == "http" and is_loopback(url.host)):
            raise ValueError("url is no https address")


class GemmaClientsFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file as it is written.

    Attributes:
        token_minutes: How old a token of a client's own may be, counted from `iat`.
    """

    clients: list[GemmaClientEntry] = []
    autorisaties: Autorisaties | None = None
    token_minutes: float = 60.0

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        ids = [client.id for client in self.clients]
        if len(set(ids)) < len(ids) or "" in ids:
            raise ValueError("a client has no id, or two have the same")
        if self.autorisaties is None and (lost := [client.id for client in self.clients if client.granted is None]):
            raise ValueError(f"client {lost[0]!r} has no scopes here, and there is no autorisaties to ask")


class RegisteredClient(Client, frozen=True, kw_only=True):
    """A registered client that has proven itself.

    Attributes:
        left: All that its token leaves it with; None when the token says nothing of scopes.
    """

    left: frozenset[str] | None = None


class RegisteredClients:
    """Tells who asks (`api.authentication.Authentication`), and what that client may do (`access.Authorisation`).

    Args:
        secrets: Of clients with tokens of their own.
        serve: How the server, or a proxy before it, shows client certificates.
        issued: Checks tokens of the issuer; None when there is none.
        clock: Seconds since 1970, for the age of tokens.
    """

    def __init__(  # noqa: PLR0913  (parts that can be had without the others)
        self,
        file: GemmaClientsFile,
        secrets: Mapping[str, OctKey],
        *,
        serve: ServeSettings = ServeSettings(),  # noqa: B008  (frozen)
        issued: TokenVerifier | None = None,
        component: Autorisatiecomponent | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._known = {client.id: client for client in file.clients}
        self._token_seconds = file.token_minutes * 60
        self._secrets = secrets
        self._serve = serve
        self._issued = issued
        self._component = component
        self._clock = clock

    async def client(self, request: Request) -> RegisteredClient:
        """Return the client; only one that is not on the local list costs a look at the AC (GW-23).

        Raises:
            Problem: 401, no or no good token, or a client that is not registered; 403, its header `OIN` names another
                organisation (B9177); 503, who it is cannot be found out now.
        """
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise Problem(
                HTTPStatus.UNAUTHORIZED,
                "Geef een JWT mee in de header Authorization.",
                headers={"WWW-Authenticate": 'Bearer realm="ldv"'},
            )
        certificate = certificate_of(request, proxies=self._serve.proxies, header=self._serve.certificate_header)
        client = await self._proven(token, bytes.fromhex(certificate.fingerprint) if certificate is not None else b"")
        known = self._known.get(client.id)
        if known is None and await self._asked(client.id) is None:
            raise refused("Deze client is hier niet bekend.")
        proven = frozenset({certificate.oin} if certificate is not None and certificate.oin else ())
        oins = (known.oins if known is not None else frozenset()) or proven
        if oins and not oins.issuperset(request.headers.getlist("OIN")):
            raise Problem(HTTPStatus.FORBIDDEN, "De header OIN noemt een andere organisatie dan die van deze client.")
        return client

    async def scopes(self, client: Client, component: Component) -> frozenset[str]:
        """Return what a client may do in an API; `confidential` has `normal` in it.

        Raises:
            Problem: 401, the AC no longer knows the client; 503, the AC has to be asked and does not answer.
        """
        known = self._known.get(client.id)
        granted = known.granted if known is not None else None
        if granted is None and (granted := await self._asked(client.id)) is None:
            raise refused("Deze client is hier niet bekend.")
        scopes = _whole(granted[component])
        if component is Component.BEWERKING:
            scopes |= {"create:normal"}
        left = client.left if isinstance(client, RegisteredClient) else None
        return scopes if left is None else scopes & _whole(left)

    async def _asked(self, client_id: str) -> Mapping[Component, frozenset[str]] | None:
        return await self._component.granted(client_id) if self._component is not None else None

    async def _proven(self, token: str, fingerprint: bytes) -> RegisteredClient:
        if len(token) > _MAX_TOKEN or not token.isascii():
            raise refused("Het JWT is niet geldig.")
        try:
            header = jws.extract_compact(token.encode()).headers()
        except (JoseError, ValueError, RecursionError) as error:
            raise refused("Het JWT is niet geldig.") from error
        if header.get("alg") == "HS256":
            return self._own(token)
        if self._issued is None:
            raise refused("Het JWT is niet ondertekend op een manier die hier geldt.")
        client_id, _, _ = await self._issued.verify(token, fingerprint)
        # What was just verified is read again: `verify` does not tell an absent scope from an empty one.
        return _registered(client_id, _payload(token))

    def _own(self, token: str) -> RegisteredClient:
        """Return the client that signed a token with its secret.

        Which one it says that it is has to be read before the signature can be checked.
        """
        try:
            claims = _payload(token)
            client_id = claims.get("client_id") or claims.get("iss")
            secret = self._secrets.get(client_id) if isinstance(client_id, str) else None
            if secret is None:
                raise ValueError("no such client")  # noqa: TRY301  (one answer to all of it)
            claims = jwt.decode(token, secret, algorithms=["HS256"]).claims
            self._check_times(claims)
        except (JoseError, ValueError, TypeError, msgspec.DecodeError, RecursionError) as error:
            raise refused("Het JWT is niet geldig.") from error
        return _registered(str(client_id), claims)

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        jwt.JWTClaimsRegistry(now=int(self._clock()), leeway=_LEEWAY_SECONDS, iat={"essential": True}).validate(
            dict(claims)
        )
        if self._clock() - claims["iat"] > self._token_seconds + _LEEWAY_SECONDS:
            raise ValueError("too old")


class Autorisatiecomponent:
    """Asks an AC what clients may do, and remembers its answers for a while.

    Args:
        secret: Ours there.
        clock: Seconds; monotonic.
    """

    def __init__(self, settings: Autorisaties, secret: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._secret = secret
        self._clock = clock
        self._answers: dict[str, tuple[float, Mapping[Component, frozenset[str]] | None]] = {}
        self._failed = float("-inf")
        self._lock = asyncio.Lock()

    async def granted(self, client_id: str) -> Mapping[Component, frozenset[str]] | None:
        """Return the scopes of a client in both APIs; None for one that the AC does not know.

        Raises:
            Problem: 503, the AC does not answer, or not so that it could be understood. What it said before and is no
                longer good does not count: never allow.
        """
        async with self._lock:
            asked, answer = self._answers.get(client_id, (float("-inf"), None))
            if self._clock() - asked < self._settings.cache_seconds:
                return answer
            if self._clock() - self._failed < _RETRY_SECONDS:
                raise unavailable()
            try:
                answer = await self._ask(client_id)
            except (httpx.HTTPError, msgspec.DecodeError, ValueError) as error:
                self._failed = self._clock()
                _logger.error("The Autorisaties API at %s does not answer (%s).", self._settings.url, _label(error))
                raise unavailable() from error
            self._answers[client_id] = (self._clock(), answer)
            return answer

    async def _ask(self, client_id: str) -> Mapping[Component, frozenset[str]] | None:
        headers = {"Authorization": f"Bearer {zgw_token(self._settings.client_id, self._secret)}"}
        verify = tls_context(
            self._settings.ca_file or None, None, named_by="LDV_GEMMA_CLIENTS: ca_file of autorisaties"
        )
        async with httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, trust_env=False, verify=verify) as http:
            url = f"{self._settings.url.rstrip('/')}/applicaties/consumer"
            async with http.stream("GET", url, params={"clientId": client_id}, headers=headers) as answer:
                if answer.status_code == HTTPStatus.NOT_FOUND:
                    return None
                answer.raise_for_status()
                content = await content_of(answer, _MAX_ANSWER)
        return self._scopes(client_id, msgspec.json.decode(content, type=_Applicatie))

    def _scopes(self, client_id: str, found: _Applicatie) -> Mapping[Component, frozenset[str]]:
        if client_id not in found.client_ids:
            raise ValueError("an answer about somebody else")
        if found.heeft_alle_autorisaties:
            return _SCOPES
        called = {
            Component.BEWERKING: self._settings.component_bewerking,
            Component.INZAGE: self._settings.component_inzage,
        }
        return {
            component: _SCOPES[component]
            & {scope for given in found.autorisaties if given.component == name for scope in given.scopes}
            for component, name in called.items()
        }


class _Autorisatie(msgspec.Struct, rename="camel"):
    component: str
    scopes: list[str] = []


class _Applicatie(msgspec.Struct, rename="camel"):
    client_ids: list[str]
    heeft_alle_autorisaties: bool = False
    autorisaties: list[_Autorisatie] = []


def read_registered_clients(path: Path, serve: ServeSettings) -> RegisteredClients:
    """Return what the file of `LDV_GEMMA_CLIENTS` says.

    Args:
        serve: Has the issuer of access tokens, if there is one.

    Raises:
        ConfigurationError: It, or a file that it names, cannot be used.
    """
    file = read_yaml(path, "LDV_GEMMA_CLIENTS", GemmaClientsFile)
    issued = None
    if serve.jwks:
        issued = TokenVerifier(
            issuer=serve.issuer, audience=serve.audience, keys=IssuerKeys(serve.jwks), algorithms=serve.algorithms
        )
    component = None
    if file.autorisaties is not None:
        component = Autorisatiecomponent(file.autorisaties, read_secret(file.autorisaties, path))
    secrets = {client.id: OctKey.import_key(read_secret(client, path)) for client in file.clients if client.secret_file}
    if not secrets and issued is None:
        raise ConfigurationError(
            f"LDV_GEMMA_CLIENTS: {path} has no client with a secret_file, and LDV_SERVE_ISSUER names no issuer of "
            "tokens, so nobody could be let in. Nothing was started."
        )
    return RegisteredClients(file, secrets, serve=serve, issued=issued, component=component)


def _registered(client_id: str, claims: Mapping[str, Any]) -> RegisteredClient:
    """Return a client with the scopes that its token names, if it names any: as one text, or as a list."""
    given = claims.get("scope", claims.get("scopes"))
    words = given.split() if isinstance(given, str) else given if isinstance(given, list) else []
    left = None if given is None else frozenset(word for word in words if isinstance(word, str))
    return RegisteredClient(id=client_id, scopes=frozenset(), left=left)


def _payload(token: str) -> dict[str, Any]:
    return msgspec.json.decode(jws.extract_compact(token.encode()).payload, type=dict[str, Any])


def _whole(scopes: Iterable[str]) -> frozenset[str]:
    """Return the scopes with what they include: `*:confidential` has `*:normal` in it."""
    found = frozenset(scopes)
    return found | {scope.replace(":confidential", ":normal") for scope in found}


def _label(error: Exception) -> str:
    return f"HTTP {error.response.status_code}" if isinstance(error, httpx.HTTPStatusError) else type(error).__name__
