"""What a client may do in the two APIs: the scopes of the standard, and where they come from.

Who the client is, `api.authentication.Authentication` tells; this is what that client may do. Source: section 5 of the
specification.
"""

from __future__ import annotations

from enum import StrEnum
from http import HTTPStatus
from typing import NamedTuple, Protocol

from ldv_otel._internal.api.auth.clients import Client
from ldv_otel._internal.api.problem import Problem


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


class AllRights:
    """All scopes for everybody: for development on loopback only."""

    async def scopes(self, client: Client, component: Component) -> frozenset[str]:
        """Return the scopes that have the others in them."""
        del client, component
        return frozenset(f"{action}:confidential" for action in ("create", "read", "update", "delete"))


class Right(NamedTuple):
    """That a client may do something with what is `normaal`; and whether with the rest too."""

    confidential: bool


async def right_to(action: str, authorisation: Authorisation, client: Client, component: Component) -> Right:
    """Return what a client may do.

    Args:
        action: `create`, `read`, `update` or `delete`.

    Raises:
        Problem: 403, it may not; 503, that cannot be known now.
    """
    scopes = await authorisation.scopes(client, component)
    if f"{action}:confidential" in scopes:
        return Right(confidential=True)
    if f"{action}:normal" in scopes:
        return Right(confidential=False)
    raise forbidden(f"Deze client mist het recht {action}:normal of {action}:confidential.")


def forbidden(detail: str) -> Problem:
    """Return the answer for a client whose scope does not cover the call."""
    return Problem(HTTPStatus.FORBIDDEN, detail)
