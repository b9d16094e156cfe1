"""Verwerkingsacties and verwerkte objecten as the APIs show them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ldv_otel._internal.api.envelope import log_records
from ldv_otel._internal.api.messages import json_response, query_with, server_url
from ldv_otel._internal.api.services import services_of
from ldv_otel._internal.gemma.model import Version
from ldv_otel._internal.gemma.provider.openapi import BASE_PATH, MISSING_KEYS
from ldv_otel._internal.gemma.provider.requests import MOMENT, VerwerkingsactiesQuery
from ldv_otel._internal.times.instants import rfc3339_from_ms

#: What no data subject sees: the privacy of employees, the security of systems (GI-10).
_HIDDEN: Final = frozenset({"systeem", "gebruiker", "gegevensbron"})


def base_url(request: Request) -> str:
    """Return the address of the APIs as clients know it."""
    return server_url(request, services_of(request).settings.serve) + BASE_PATH


def actie_url(base: str, actie_id: str) -> str:
    """Return the address of a Verwerkingsactie."""
    return f"{base}/verwerkingsacties/{actie_id}"


def verwerkingsactie(version: Version, base: str) -> dict[str, Any]:
    """Return a version as the contract's `VerwerkingsactieUitgebreid`; every element is there (GW-27)."""
    content: dict[str, Any] = msgspec.to_builtins(version.actie)
    objects = [
        {"url": f"{base}/verwerkte-objecten/{each['verwerktObjectId']}", **each}
        for each in content.pop("verwerkteObjecten")
    ]
    return {
        "url": actie_url(base, version.actie_id),
        "actieId": version.actie_id,
        **content,
        "tijdstipRegistratie": version.tijdstip_registratie,
        "verwerkteObjecten": objects,
    }


def verwerkte_objecten(version: Version, base: str) -> list[dict[str, Any]]:
    """Return the objects of a version, each as the contract's `VerwerktObjectUitgebreid` (4.3)."""
    whole = verwerkingsactie(version, base)
    shown = {name: value for name, value in whole.items() if name not in _HIDDEN}
    return [{**each, "verwerkingsactie": {**shown, "verwerkteObjecten": [each]}} for each in whole["verwerkteObjecten"]]


async def page(request: Request, query: VerwerkingsactiesQuery, results: Sequence[Any]) -> Response:
    """Return a page of all results of a query, with the addresses of the pages beside it (GW-49, GW-50).

    Where records are under keys of pseudonyms that are missing here, a member says that the person may be in those too
    (LDV-R7); otherwise an answer has the members of the contract and no other.
    """
    begin = (query.page - 1) * query.page_size
    end = begin + query.page_size
    on_page = results[begin:end]
    log_records(request, len(on_page))
    return json_response(
        {
            "count": len(results),
            "next": _page_url(request, query, query.page + 1) if end < len(results) else None,
            "previous": _page_url(request, query, query.page - 1) if query.page > 1 else None,
            "results": on_page,
            **({MISSING_KEYS: True} if await services_of(request).missing_keys.counts() else {}),
        }
    )


def _page_url(request: Request, query: VerwerkingsactiesQuery, number: int) -> str:
    # With the moment of the first page: new acties would push others from one page to the next.
    target = query_with(request, **{"page": number, MOMENT: rfc3339_from_ms(query.moment_ms)})
    resource = request.scope["path"].rpartition("/")[2]
    return f"{base_url(request)}/{resource}?{target}"
