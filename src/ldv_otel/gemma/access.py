"""What a client may do in the two APIs: the scopes of the standard, and where they come from.

Who the client is, `api.authentication.Authentication` tells; this is what that client may do. Source: section 5 of the
specification.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from ldv_otel.api.clients import Client


class Component(StrEnum):
    """The API for which a scope is granted: `read:normal` exists in both, and means something else in each."""

    BEWERKING = "bewerking"
    INZAGE = "inzage"


class Authorisation(Protocol):
    """Knows the scopes of clients."""

    async def scopes(self, client: Client, component: Component) -> frozenset[str]:
        """Return the scopes of a client, such as `create:confidential`.

        Asked for only where the standard needs them: to log what is `normaal` it is enough to be a client (GW-22).

        Raises:
            Problem: 503; they cannot be known now.
        """
        ...


class TokenScopes:
    """Scopes from the access token, or from the file of clients, each after its API: `bewerking:read:normal`."""

    async def scopes(self, client: Client, component: Component) -> frozenset[str]:
        """Return those of this API."""
        prefix = f"{component}:"
        return frozenset(scope.removeprefix(prefix) for scope in client.scopes if scope.startswith(prefix))
