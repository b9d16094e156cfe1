"""Clients of ours, which all go out in the same way. It imports httpx, an extra, so it is imported late itself.

Nothing of the environment decides where a request goes: a proxy that was set for others (`HTTP_PROXY`, `ALL_PROXY`)
would get records, passwords and tokens. `LDV_PROXY` is the explicit way, and this machine is reached without it.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Mapping
from typing import Any, Final

import httpx

#: Answers come as they are: one that unpacks to more than it is could not be bounded by what was read of it.
HEADERS: Final[Mapping[str, str]] = {"Accept-Encoding": "identity", "User-Agent": "ldv_otel"}


def async_client(
    url: str, proxy: str, *, tls: ssl.SSLContext | bool, timeout: httpx.Timeout | float, **headers: str
) -> httpx.AsyncClient:
    """Return a client for one address that follows no redirect.

    Args:
        url: Where it goes.
        proxy: `LDV_PROXY`; may be empty.
        headers: Further ones for every request.
    """
    return httpx.AsyncClient(**_options(url, proxy, timeout, headers), verify=tls)


def transport(url: str, proxy: str, *, tls: ssl.SSLContext, **options: Any) -> httpx.HTTPTransport:
    """Return the transport of a client that is not asynchronous, for one address."""
    return httpx.HTTPTransport(verify=tls, trust_env=False, proxy=proxy_for(url, proxy), **options)


def proxy_for(url: str, proxy: str) -> str | None:
    """Return the proxy through which an address is reached; None for none."""
    host = httpx.URL(url).host
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    return None if local or not proxy else proxy


def _options(url: str, proxy: str, timeout: httpx.Timeout | float, headers: Mapping[str, str]) -> dict[str, Any]:
    return {
        "timeout": timeout,
        "follow_redirects": False,
        "trust_env": False,
        "proxy": proxy_for(url, proxy),
        "headers": {**HEADERS, **headers},
    }
