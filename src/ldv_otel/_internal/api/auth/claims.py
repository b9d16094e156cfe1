"""In which claims of an access token an issuer names the client, and what it may do: issuers differ in that.

RFC 9068 has `client_id` and `scope`, a text of words. Others have a list of words, other names (`cid`, `appid`, `scp`,
`roles`), or an object around it (`realm_access.roles`): docs/serve-clients.md has the names of common ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ldv_otel._internal.config.variables import CLIENT_CLAIMS, SCOPE_CLAIMS

_ABSENT: Final = object()


class UnreadableClaimError(ValueError):
    """A claim is missing or of another form; the text names the claim and no value."""


class ClaimNames(msgspec.Struct, frozen=True):
    """The names of the claims.

    Attributes:
        client: The first of these that a token has names the client.
        scopes: The words of all of these together are its scopes.
    """

    client: tuple[str, ...] = CLIENT_CLAIMS
    scopes: tuple[str, ...] = SCOPE_CLAIMS

    def client_of(self, claims: Mapping[str, Any]) -> str:
        """Return the client of a token.

        Raises:
            UnreadableClaimError: It names none.
        """
        # Never `sub`: that may be a person's identifier, and this goes into the access log.
        for name in self.client:
            client_id = _claim(claims, name)
            if client_id is _ABSENT or not client_id:
                continue
            if isinstance(client_id, str) and client_id.isprintable():
                return client_id
            raise UnreadableClaimError(f"the claim `{name}` of the token is no name of a client")
        raise UnreadableClaimError(f"the token names no client: it has none of the claims {', '.join(self.client)}")

    def scopes_of(self, claims: Mapping[str, Any]) -> frozenset[str] | None:
        """Return the scopes of a token; None when it has none of the claims.

        Raises:
            UnreadableClaimError: A claim is neither a text nor a list of texts, so that what it means is a guess.
        """
        words: set[str] = set()
        present = False
        for name in self.scopes:
            value = _claim(claims, name)
            if value is _ABSENT or value is None:
                continue
            present = True
            if isinstance(value, str):
                words.update(value.split())
            elif isinstance(value, list) and all(isinstance(word, str) for word in value):
                words.update(value)
            else:
                raise UnreadableClaimError(f"the claim `{name}` of the token is neither a text nor a list of texts")
        return frozenset(words) if present else None


RFC_9068: Final = ClaimNames()


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """Return a claim, by its name or by a path of names with dots between them; `_ABSENT` when it is not there."""
    # The name as it stands goes first: that of a claim may be a URL.
    if name in claims:
        return claims[name]
    value: Any = claims
    for step in name.split("."):
        if not isinstance(value, Mapping) or step not in value:
            return _ABSENT
        value = value[step]
    return value
