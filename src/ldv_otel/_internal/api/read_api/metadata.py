"""Who answers: the `metadata` of answers of the read API (LDV-N3)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from starlette.requests import Request

from ldv_otel._internal.api.messages import server_url
from ldv_otel._internal.api.read_api.openapi import BASE_PATH
from ldv_otel._internal.api.services import Services
from ldv_otel._internal.clickhouse.queries.models import RecordQuery
from ldv_otel._internal.config.settings import Settings

#: For a server on this machine only, which starts without `LDV_ORGANISATION`.
_NO_ORGANISATION: Final = "organisatie niet ingesteld"


async def answer_metadata(
    request: Request, services: Services, queries: Iterable[RecordQuery | None]
) -> dict[str, str | bool]:
    """Return `logbook_metadata`, and for questions about people whether there are records whose people are not found.

    Args:
        queries: What was asked; None for a question that nothing can answer.
    """
    metadata: dict[str, str | bool] = {**logbook_metadata(request, services.settings)}
    about_people = any(query is None or query.subjects for query in queries)
    if about_people and await services.missing_keys.counts():
        # Which, and how many, `ldv status` tells those whose Logboek it is.
        metadata["missingKeys"] = True
    return metadata


def logbook_metadata(request: Request, settings: Settings) -> dict[str, str]:
    """Return the URI of this read API, by which records of others name it, and the name of the organisation."""
    return {
        "logbookId": settings.logboek_id or f"{server_url(request, settings.serve)}{BASE_PATH}",
        "organizationName": settings.organisation or _NO_ORGANISATION,
    }
