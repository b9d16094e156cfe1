"""Verwerkingsacties and verwerkte objecten as the APIs show them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ldv_otel._internal.api.services import services_of
from ldv_otel._internal.gemma.model import Version
from ldv_otel._internal.gemma.provider.openapi import BASE_PATH
from ldv_otel._internal.gemma.provider.requests import MOMENT, VerwerkingsactiesQuery
from ldv_otel._internal.times.instants import rfc3339_from_ms

#: What no data subject sees: the privacy of employees, the security of systems (GI-10).
_HIDDEN: Final = frozenset({"systeem", "gebruiker", "gegevensbron"})


def base_url(request: Request) -> str:
    """Return the address of the APIs as clients know it."""
    # Not `base_url`, which is that of the application around, where we are mounted into one.
    here = f"{request.url.scheme}://{request.url.netloc}{request.scope.get('root_path', '')}"
    return (services_of(request).settings.serve.url or here) + BASE_PATH


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


def page(request: Request, question: VerwerkingsactiesQuery, found: Sequence[Any]) -> Response:
    """Return a page of a list, with the addresses of the pages beside it (GW-49, GW-50)."""
    begin = (question.page - 1) * question.page_size
    end = begin + question.page_size
    results = found[begin:end]
    request.scope["ldv.records"] = len(results)
    return answer(
        {
            "count": len(found),
            "next": _page_url(request, question, question.page + 1) if end < len(found) else None,
            "previous": _page_url(request, question, question.page - 1) if question.page > 1 else None,
            "results": results,
        }
    )


def answer(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return an answer in JSON."""
    return Response(msgspec.json.encode(content), status, headers, "application/json")


def _page_url(request: Request, question: VerwerkingsactiesQuery, number: int) -> str:
    target = request.url.include_query_params(**{"page": number, MOMENT: rfc3339_from_ms(question.moment_ms)})
    resource = request.url.path.rpartition("/")[2]
    return f"{base_url(request)}/{resource}?{target.query}"
