"""Pages of records: the parameters that choose one, and the address of the next."""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

import msgspec
from starlette.requests import Request

from ldv_otel._internal.api.auth.clients import Client, Scope
from ldv_otel._internal.api.messages import query_with
from ldv_otel._internal.api.problem import InputError, Problem
from ldv_otel._internal.api.read_api.response import within_bytes
from ldv_otel._internal.api.read_api.selection import seen_by
from ldv_otel._internal.api.services import Services
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.queries.models import Cursor, Page, RecordQuery
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel.errors import QueryError

#: JSON of one answer; records beyond it are for the next page.
MAX_ANSWER_BYTES: Final = 4 << 20


class EncodedPage(msgspec.Struct, frozen=True):
    """A page of records in JSON; `following` is None on the last."""

    records: list[msgspec.Raw]
    following: Cursor | None


async def read_page(  # noqa: PLR0913  (what selects a page, and what becomes of its records)
    services: Services,
    client: Client,
    query: RecordQuery | None,
    as_json: Callable[[Logregel], dict[str, Any]],
    *,
    after: Cursor | None,
    limit: int,
    max_bytes: int = MAX_ANSWER_BYTES,
) -> EncodedPage:
    """Return a page of the records that a client may see.

    Args:
        query: None when no record can meet the request.
        as_json: Writes one record, in the form of 2025 or that of 2026.

    Raises:
        Problem: 403, this client may not ask that.
    """
    page = Page([], None)
    if query is not None:
        # Records that the client may not see are left out by the query itself: filtered here, pages would tell how
        # many there are.
        confidential = Scope.CONFIDENTIAL in client.scopes
        seen = seen_by(client, query)
        page = await services.reader.ask(read.search, seen, after=after, limit=limit, confidential=confidential)
    encoded = within_bytes(page.records, max_bytes, as_json)
    following = page.following if len(encoded) == len(page.records) else Cursor.after(page.records[len(encoded) - 1])
    return EncodedPage(list(map(msgspec.Raw, encoded)), following)


def last_page(request: Request) -> str:
    """Return the value of `Link` that says of a page that it is the last.

    A client that knows implementations which cut their answers off without a sign (LDV-N7a) can believe this one.
    """
    query = query_with(request)
    return f'<?{query}>; rel="last"' if query else '<>; rel="last"'


def next_page(request: Request, following: Cursor | None, limit: int) -> str:
    """Return the value of `Link` that names the next page; empty when there is none."""
    if following is None:
        return ""
    # A relative address with only a query is right too behind a proxy that has this API at another path.
    return f'<?{query_with(request, cursor=following, limit=limit)}>; rel="next"'


def page_parameters(
    request: Request, services: Services, *others: str, cursor: bool = True
) -> tuple[Cursor | None, int]:
    """Return the cursor and the length of a page, from the parameters of the address.

    Args:
        others: Names of further parameters that may be there.
        cursor: Whether a page other than the first can be asked for.

    Raises:
        Problem: 400; a parameter that does not exist, comes twice, or cannot be read.
    """
    parameters = request.query_params
    names = {"limit", *others} | ({"cursor"} if cursor else set())
    errors = [
        # A parameter that is ignored could be a condition that the client believes to hold for the answer.
        InputError("query", "Deze parameter bestaat niet.", code="unknown")
        for name in parameters
        if name not in names
    ]
    errors += [
        InputError("query", "Deze parameter staat er meer dan eens.", name, "double")
        for name in names
        if len(parameters.getlist(name)) > 1
    ]
    limit = parameters.get("limit")
    highest = services.settings.serve.records
    if limit is not None and not re.fullmatch(r"[1-9][0-9]{0,8}", limit):
        errors.append(InputError("query", "Dit moet een geheel getal vanaf 1 zijn.", "limit", "invalid"))
    after = None
    if cursor and "cursor" in parameters:
        try:
            after = Cursor.parse(parameters["cursor"])
        except QueryError:
            detail = "Dit is geen cursor; neem het adres uit de header Link over zoals het is."
            errors.append(InputError("query", detail, "cursor", "invalid"))
    if errors:
        raise Problem(HTTPStatus.BAD_REQUEST, errors[0].detail, errors=errors)
    return after, min(int(limit), highest) if limit else highest
