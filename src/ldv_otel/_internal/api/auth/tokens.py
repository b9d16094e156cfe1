"""Access tokens: JWTs (RFC 9068) of one issuer, for one audience, signed with a key of its JWKS."""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec
from joserfc import jws, jwt
from joserfc.errors import BadSignatureError, ClaimError, ExpiredTokenError, JoseError
from starlette.requests import Request

from ldv_otel._internal.api.auth.claims import RFC_9068, ClaimNames, UnreadableClaimError
from ldv_otel._internal.api.auth.issuer_keys import IssuerKeys, NoFittingKeyError, keys_for
from ldv_otel._internal.api.problem import Problem, unavailable
from ldv_otel._internal.parties.evidence import Certificate
from ldv_otel.errors import LogboekUnavailable

_logger = logging.getLogger(__name__)

#: How far the clock of the other side may be ahead of ours, or behind it.
LEEWAY_SECONDS: Final = 30
#: Tokens with a role for each group of a person are long: those of Entra ID and Keycloak pass 8 kB.
_MAX_TOKEN_CHARACTERS: Final = 16_384


class AccessToken(msgspec.Struct, frozen=True):
    """A valid access token.

    Attributes:
        client_id: The client to which it was given.
        claims: All that it says.
        scopes: What it lets the client do; None when it says nothing about that.
    """

    client_id: str
    claims: dict[str, Any]
    scopes: frozenset[str] | None = None

    def __repr__(self) -> str:
        """Leave the claims out: they may name a person."""
        return f"AccessToken({self.client_id!r})"

    @property
    def person(self) -> str:
        """Return who the client acts for (`sub`); empty when it does not say."""
        person = self.claims.get("sub")
        return person if isinstance(person, str) else ""


class TrustedIssuer(msgspec.Struct, frozen=True):
    """Who gives out tokens that are taken.

    Attributes:
        name: The claim `iss` of its tokens.
        audience: In the claim `aud` of those that are meant for here.
        audiences: Those of all tenants of this server, each with its tenant: a token for two is taken by neither.
    """

    name: str
    audience: str
    keys: IssuerKeys
    audiences: dict[str, str] = {}


class TokenVerifier:
    """Checks access tokens.

    Args:
        algorithms: The only signatures that are accepted.
        types: What `typ` in the header may say, in lower case; an absent one means `jwt`.
        without: A claim that gives a token another meaning, so that it is none of these; empty for none.
        names: In which claims this issuer names the client and its scopes.
    """

    def __init__(
        self,
        issuer: TrustedIssuer,
        *,
        algorithms: tuple[str, ...],
        types: frozenset[str] = frozenset({"jwt", "at+jwt"}),
        without: str = "",
        names: ClaimNames = RFC_9068,
    ) -> None:
        self._without = without
        self._names = names
        self._keys = issuer.keys
        self._audiences = issuer.audiences
        self._types = types
        self._algorithms = list(algorithms)
        self._claims = jwt.JWTClaimsRegistry(
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": issuer.name},
            # Without it a token that was given for another API would be valid here.
            aud={"essential": True, "value": issuer.audience},
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
        if self._without and self._without in claims:
            raise refused(
                "Dit toegangstoken opent één trace van de lezen-API, en geldt hier niet.",
                f"the token opens one trace: it has the claim {self._without}",
            )
        bound_to = claims.get("cnf")
        if bound_to is not None and (certificate is None or bound_to != _confirmation(certificate)):
            raise refused(
                "Het toegangstoken hoort bij een ander clientcertificaat.",
                "the token is bound to another client certificate than the one shown, or to one and none is shown",
            )
        try:
            return AccessToken(self._names.client_of(claims), claims, self._names.scopes_of(claims))
        except UnreadableClaimError as error:
            raise refused("Het toegangstoken noemt geen client, of geen leesbare rechten.", str(error)) from error

    async def claims(self, token: str) -> dict[str, Any]:
        """Return the claims of a token whose signature, issuer, audience, time and type are right.

        Raises:
            Problem: As `verify`.
        """
        try:
            return await self._checked(token)
        except LogboekUnavailable as error:
            _logger.error("%s", str(error))
            raise unavailable() from error
        except (JoseError, ValueError, RecursionError) as error:
            raise refused("Het toegangstoken is niet geldig.", reason_of(error)) from error

    async def _checked(self, token: str) -> dict[str, Any]:
        check_token_form(token)
        header = jws.extract_compact(token.encode()).headers()
        if header.get("alg") not in self._algorithms:
            raise TokenFormError("its algorithm is none of LDV_SERVE_ALGORITHMS")
        try:
            decoded = await self._decoded(token, header)
        except (NoFittingKeyError, BadSignatureError):
            # The issuer may have begun to sign with a new key since its keys were fetched.
            await self._keys.refresh()
            decoded = await self._decoded(token, header)
        # The issuer signs other kinds of tokens with the same keys, such as `logout+jwt`, which give no rights.
        if str(decoded.header.get("typ", "JWT")).lower().removeprefix("application/") not in self._types:
            raise TokenFormError("it is a token of another kind (`typ`)")
        self._claims.validate(decoded.claims)
        audience = decoded.claims["aud"]
        meant_for = [audience] if isinstance(audience, str) else audience
        if len({self._audiences[name] for name in meant_for if name in self._audiences}) > 1:
            raise TokenFormError("it is meant for two tenants (`aud`)")
        return decoded.claims

    async def _decoded(self, token: str, header: Mapping[str, Any]) -> jwt.Token:
        """Return the token as the first key gives it whose signature fits."""
        failure: JoseError = BadSignatureError()
        for key in keys_for(await self._keys.current(), header):
            try:
                return jwt.decode(token, key, algorithms=self._algorithms)
            except JoseError as error:
                failure = error
        raise failure


class TokenFormError(ValueError):
    """What is wrong with a token; its text says it without a value."""


def reason_of(error: Exception) -> str:
    """Return in a sentence for the log why a token is refused; never anything of the token itself."""
    match error:
        case ExpiredTokenError():
            return "the token has expired (`exp`)"
        case ClaimError(claim=claim):
            return f"the claim `{claim}` of the token is missing or not the expected one"
        case BadSignatureError():
            return "the signature of the token fits no key of the issuer"
        case TokenFormError() | NoFittingKeyError():
            return f"the token is refused: {error}"
    return f"the token cannot be read ({type(error).__name__})"


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
        raise TokenFormError(f"it has over {_MAX_TOKEN_CHARACTERS} characters, or others than ASCII")


def refused(detail: str, reason: str = "") -> Problem:
    """Return the answer to a token that is not valid (RFC 6750).

    Args:
        reason: For the log of this server, where the client's developer need not know it.
    """
    return Problem(
        HTTPStatus.UNAUTHORIZED,
        detail,
        headers={"WWW-Authenticate": 'Bearer realm="ldv", error="invalid_token"'},
        reason=reason,
    )
