"""What a client may do in the two APIs: the scopes of the standard.

Who the client is, `api.auth.authentication.Authentication` tells; this is what that client may do.

Source: section 5 of the specification.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from http import HTTPStatus
from typing import Final, NamedTuple, Protocol

from ldv_otel._internal.api.auth.clients import Client
from ldv_otel._internal.api.problem import Problem


class Component(StrEnum):
    """The API for which a scope is granted: `read:normal` exists in both, and means something else in each."""

    BEWERKING = "bewerking"
    INZAGE = "inzage"


#: What a client may do in an API, with what is `normaal` and with the rest.
_ACTIONS: Final = {
    Component.BEWERKING: ("create", "read", "update", "delete"),
    Component.INZAGE: ("read",),
}
#: Every scope that an API has.
SCOPES: Final[Mapping[Component, frozenset[str]]] = {
    component: frozenset(f"{action}:{kind}" for action in actions for kind in ("normal", "confidential"))
    for component, actions in _ACTIONS.items()
}


class Authorisation(Protocol):
    """Knows the scopes of clients."""

    async def scopes(self, client: Client, component: Component) -> frozenset[str]:
        """Return the scopes of a client, such as `create:confidential`.

        Called only where the standard needs scopes: to log what is `normaal` it is enough to be a client (GW-22).

        Raises:
            Problem: 503; they cannot be known now.
        """
        ...


class AllRights:
    """Gives all scopes to everybody: for development on loopback only."""

    async def scopes(self, client: Client, component: Component) -> frozenset[str]:
        """Return every scope of the API."""
        del client
        return SCOPES[component]


class Right(NamedTuple):
    """A client may do something with what is `normaal`; `confidential` says whether with the rest too."""

    confidential: bool


async def right_to(action: str, authorisation: Authorisation, client: Client, component: Component) -> Right:
    """Return the right of a client to an action.

    Args:
        action: `create`, `read`, `update` or `delete`.

    Raises:
        Problem: 403, it has no right to it; 503, that cannot be known now.
    """
    scopes = await authorisation.scopes(client, component)
    # Looked for first, because it includes the other.
    if f"{action}:confidential" in scopes:
        return Right(confidential=True)
    if f"{action}:normal" in scopes:
        return Right(confidential=False)
    raise forbidden(f"Deze client mist het recht {action}:normal of {action}:confidential.")


def with_included(scopes: Iterable[str]) -> frozenset[str]:
    """Return scopes with those that they include: `*:confidential` includes `*:normal`."""
    granted = frozenset(scopes)
    return granted | {scope.replace(":confidential", ":normal") for scope in granted}


def forbidden(detail: str) -> Problem:
    """Return the answer to a client whose scope does not cover the call."""
    return Problem(HTTPStatus.FORBIDDEN, detail)
