"""What an answer is that a Logboek would not give: which thing on the way probably gave it, and what to do.

Balancers, gateways, portals and wrong ports answer in place of the server that was asked. Clients of every kind of
Logboek describe such an answer alike: its status, what kind of content came, and the likely cause.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

_CAUSES: Final = {
    HTTPStatus.BAD_REQUEST: "Is this the right port, and is http or https right?",
    HTTPStatus.UNAUTHORIZED: "User, password or token are not accepted there, or by a gateway before it.",
    HTTPStatus.FORBIDDEN: "A gateway or the server refuses this user or this machine.",
    HTTPStatus.NOT_FOUND: "Is this the right host and port?",
    HTTPStatus.METHOD_NOT_ALLOWED: "Is this the right host and port?",
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED: "A proxy on the way wants a sign-in of its own (HTTP_PROXY, NO_PROXY).",
    HTTPStatus.REQUEST_TIMEOUT: "Something on the way did not wait long enough.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "A proxy on the way lets no request of this size through (in nginx: "
    "client_max_body_size).",
    HTTPStatus.TOO_MANY_REQUESTS: "It limits how often it may be asked.",
    HTTPStatus.BAD_GATEWAY: "A proxy on the way cannot reach the server.",
    HTTPStatus.SERVICE_UNAVAILABLE: "A proxy on the way has no server at the moment, or the server is busy.",
    HTTPStatus.GATEWAY_TIMEOUT: "A proxy on the way got no answer from the server in time.",
}


def answered(status: int, content_type: str = "") -> str:
    """Return status and kind of content of an answer, for a sentence: `answered 502 Bad Gateway (text/html)`.

    The kind is left out where it is none of the usual words: the answer may be anybody's.
    """
    try:
        said = f"answered {status} {HTTPStatus(status).phrase}"
    except ValueError:
        said = f"answered {status}"
    kind = content_type.partition(";")[0].strip().lower()
    return f"{said} ({kind})" if kind.replace("/", "").replace("-", "").isalnum() and len(kind) < 60 else said  # noqa: PLR2004  (a line)


def likely_cause(status: int, content_type: str = "") -> str:
    """Return in a sentence why something on the way may have answered so; empty where no cause is likely."""
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return "It sends us elsewhere, as login pages do, and servers that want https."
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        if "html" in content_type.lower():
            return "That is a page: a login page, a portal, or the wrong port."
        return "Something else answers there: a balancer, a portal, or the wrong port."
    try:
        return _CAUSES.get(HTTPStatus(status), "")
    except ValueError:
        return ""
