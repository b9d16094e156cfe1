"""The clients of the APIs, and what each may do: JWTs, the file of `LDV_GEMMA_CLIENTS`, and the Autorisatiecomponent.

A client proves itself with a JWT: signed with its own secret, as is the practice of the ZGW standards (HS256; claims
`iss`, `client_id`, `iat`), or by the issuer of access tokens that `ldv serve` trusts (`LDV_SERVE_ISSUER`). Its scopes
stand in the file, or the Autorisatiecomponent (AC) is asked; a `scope` claim in the token only restricts them.

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

Source: GEMMA Verwerkingenlogging, GW-01, GW-22, GW-23 and section 5.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from starlette.requests import Request

from ldv_otel._internal.api.auth.authentication import configured_tokens
from ldv_otel._internal.api.auth.certificates import certificate_of
from ldv_otel._internal.api.auth.clients import Client
from ldv_otel._internal.api.auth.tokens import LEEWAY_SECONDS, TokenVerifier, bearer_token, check_token_form, refused
from ldv_otel._internal.api.problem import Problem
from ldv_otel._internal.config.settings import ServeSettings
from ldv_otel._internal.config.yaml_file import read_yaml
from ldv_otel._internal.gemma.provider.autorisaties import Autorisatiecomponent, Autorisaties, Grants
from ldv_otel._internal.gemma.provider.scopes import SCOPES, Component, with_included
from ldv_otel._internal.gemma.zgw_token import SecretHolder, read_secret
from ldv_otel._internal.parties.evidence import Certificate
from ldv_otel.errors import ConfigurationError


class GemmaClientEntry(SecretHolder, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An entry of the file.

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
            if unknown := scopes - SCOPES[component]:
                raise ValueError(f"{min(unknown)!r} is no scope of the {component} API")

    @property
    def granted(self) -> Grants | None:
        """Return its scopes; None when the file leaves them to the AC."""
        if self.bewerking is None and self.inzage is None:
            return None
        return {
            Component.BEWERKING: self.bewerking or frozenset(),
            Component.INZAGE: self.inzage or frozenset(),
        }


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
        ids = [entry.id for entry in self.clients]
        if len(set(ids)) < len(ids) or "" in ids:
            raise ValueError("a client has no id, or two have the same")
        without_scopes = [entry.id for entry in self.clients if entry.granted is None]
        if self.autorisaties is None and without_scopes:
            raise ValueError(f"client {without_scopes[0]!r} has no scopes here, and there is no autorisaties to ask")


class RegisteredClient(Client, frozen=True, kw_only=True):
    """A registered client that has proven itself.

    Attributes:
        token_scopes: All that its token leaves it with; None when the token names no scopes.
    """

    token_scopes: frozenset[str] | None = None


class RegisteredClients:
    """Tells which client makes a request (`Authentication`), and what that client may do (`Authorisation`).

    Args:
        secrets: Of clients with tokens of their own, by client id.
        serve: How the server, or a proxy before it, shows client certificates.
        issued: Checks tokens of the issuer; None when there is none.
        component: The AC; None when the file knows all scopes.
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
        self._entries = {entry.id: entry for entry in file.clients}
        self._token_seconds = file.token_minutes * 60
        self._secrets = secrets
        self._serve = serve
        self._issued = issued
        self._component = component
        self._clock = clock

    async def client(self, request: Request) -> RegisteredClient:
        """Return the client; only one that the file does not have costs a question to the AC (GW-23).

        Raises:
            Problem: 401, no or no valid token, or a client that is not registered; 403, its header `OIN` names another
                organisation (B9177); 503, who it is cannot be known now.
        """
        token = bearer_token(request)
        if not token:
            raise Problem(
                HTTPStatus.UNAUTHORIZED,
                "Geef een JWT mee in de header Authorization.",
                headers={"WWW-Authenticate": 'Bearer realm="ldv"'},
            )
        certificate = certificate_of(request, self._serve)
        client = await self._proven(token, certificate)
        entry = self._entries.get(client.id)
        if entry is None and await self._granted_by_component(client.id) is None:
            raise refused("Deze client is hier niet bekend.")
        oins = (entry.oins if entry is not None else frozenset()) or _oins_of(certificate)
        # All values of the header: a second one could be meant for whoever reads only the last.
        if oins and not oins.issuperset(request.headers.getlist("OIN")):
            raise Problem(HTTPStatus.FORBIDDEN, "De header OIN noemt een andere organisatie dan die van deze client.")
        return client

    async def scopes(self, client: Client, component: Component) -> frozenset[str]:
        """Return the scopes of a client in an API; `confidential` includes `normal`.

        Raises:
            Problem: 401, the AC no longer knows the client; 503, the AC has to be asked and does not answer.
        """
        entry = self._entries.get(client.id)
        grants = entry.granted if entry is not None else None
        if grants is None:
            grants = await self._granted_by_component(client.id)
        if grants is None:
            raise refused("Deze client is hier niet bekend.")
        scopes = with_included(grants[component])
        if component is Component.BEWERKING:
            # To log what is `normaal` it is enough to be a client (GW-22).
            scopes |= {"create:normal"}
        # A token may leave a client with less than it is granted, never with more.
        token_scopes = client.token_scopes if isinstance(client, RegisteredClient) else None
        return scopes if token_scopes is None else scopes & with_included(token_scopes)

    async def _granted_by_component(self, client_id: str) -> Grants | None:
        return await self._component.granted(client_id) if self._component is not None else None

    async def _proven(self, token: str, certificate: Certificate | None) -> RegisteredClient:
        try:
            check_token_form(token)
            header = jws.extract_compact(token.encode()).headers()
        except (JoseError, ValueError, RecursionError) as error:
            raise refused("Het JWT is niet geldig.") from error
        # The header chooses between two sorts of key and never between keys of one sort: a token that claims HS256 is
        # checked with a client's secret only, so that nobody signs one with the issuer's public key as the secret.
        if header.get("alg") == "HS256":
            return self._with_own_token(token)
        if self._issued is None:
            raise refused("Het JWT is niet ondertekend op een manier die hier geldt.")
        access_token = await self._issued.verify(token, certificate)
        if access_token.scopes is None:
            return _registered(access_token.client_id, access_token.claims)
        return RegisteredClient(id=access_token.client_id, scopes=frozenset(), token_scopes=access_token.scopes)

    def _with_own_token(self, token: str) -> RegisteredClient:
        """Return the client that signed a token with its secret.

        The client id has to be read before the signature can be checked, because it says with which secret.
        """
        try:
            payload = jws.extract_compact(token.encode()).payload
            claimed = msgspec.json.decode(payload, type=dict[str, Any])
            # ZGW applications name themselves in both claims; `iss` alone is enough.
            client_id = claimed.get("client_id") or claimed.get("iss")
            secret = self._secrets.get(client_id) if isinstance(client_id, str) else None
            if secret is None:
                raise ValueError("no such client")  # noqa: TRY301  (one answer to all of it)
            claims = jwt.decode(token, secret, algorithms=["HS256"]).claims
            self._check_times(claims)
        except (JoseError, ValueError, TypeError, msgspec.DecodeError, RecursionError) as error:
            raise refused("Het JWT is niet geldig.") from error
        return _registered(str(client_id), claims)

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        registry = jwt.JWTClaimsRegistry(now=int(self._clock()), leeway=LEEWAY_SECONDS, iat={"essential": True})
        registry.validate(dict(claims))
        # The registry refuses what was issued in the future; how old a token may be, it has no claim for.
        if self._clock() - claims["iat"] > self._token_seconds + LEEWAY_SECONDS:
            raise ValueError("too old")


def read_registered_clients(path: Path, serve: ServeSettings) -> RegisteredClients:
    """Return the clients of the file of `LDV_GEMMA_CLIENTS`.

    Args:
        serve: Has the issuer of access tokens, if there is one.

    Raises:
        ConfigurationError: It, or a file that it names, cannot be used.
    """
    file = read_yaml(path, "LDV_GEMMA_CLIENTS", GemmaClientsFile)
    issued = configured_tokens(serve)
    component = None
    if file.autorisaties is not None:
        component = Autorisatiecomponent(
            file.autorisaties, read_secret(file.autorisaties, path), proxy=serve.outbound_proxy
        )
    secrets = {entry.id: OctKey.import_key(read_secret(entry, path)) for entry in file.clients if entry.secret_file}
    if not secrets and issued is None:
        raise ConfigurationError(
            f"LDV_GEMMA_CLIENTS: {path} has no client with a secret_file, and LDV_SERVE_ISSUER names no issuer of "
            "tokens, so nobody could be let in. Nothing was started."
        )
    return RegisteredClients(file, secrets, serve=serve, issued=issued, component=component)


def _registered(client_id: str, claims: Mapping[str, Any]) -> RegisteredClient:
    """Return a client with the scopes that its token names, if it names any: as one text, or as a list."""
    scope = claims.get("scope", claims.get("scopes"))
    words = scope.split() if isinstance(scope, str) else scope if isinstance(scope, list) else []
    token_scopes = None if scope is None else frozenset(word for word in words if isinstance(word, str))
    return RegisteredClient(id=client_id, scopes=frozenset(), token_scopes=token_scopes)


def _oins_of(certificate: Certificate | None) -> frozenset[str]:
    return frozenset({certificate.oin}) if certificate is not None and certificate.oin else frozenset()
