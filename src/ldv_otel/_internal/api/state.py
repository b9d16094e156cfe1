"""Where the parts behind a request are: in the state of the application, or of the tenant whose request it is."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import State
from starlette.requests import Request

#: In the scope of a request. Not `state`, which belongs to the server and to whoever mounts this application.
TENANT_STATE: Final = "ldv.tenant_state"


def state_of(request: Request) -> State:
    """Return the state behind a request.

    An application for several tenants has nothing in its own: a request that came by no tenant fails.
    """
    state: State = request.scope.get(TENANT_STATE, request.app.state)
    return state
