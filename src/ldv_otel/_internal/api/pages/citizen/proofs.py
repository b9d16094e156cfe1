"""Proofs that a citizen takes home: of the records that the page shows, and the page that checks them."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from starlette.requests import Request

from ldv_otel._internal.api.problem import Problem
from ldv_otel._internal.api.services import services_of
from ldv_otel._internal.clickhouse.columns import StoredLogregel
from ldv_otel._internal.questions.complaint import MOST_PROOFS, proofs_of_records
from ldv_otel._internal.tamper.proof import RecordProof

#: Proofs of one query, so that each is done within the time of a request.
_AT_A_TIME: Final = 25


def check_proofs_are_given(request: Request) -> None:
    """Answer as for an address that is not there when citizens get no proofs.

    Raises:
        Problem: 404.
    """
    if not services_of(request).settings.inzage.proof:
        raise Problem(HTTPStatus.NOT_FOUND, "")


async def proofs_of(request: Request, records: Sequence[StoredLogregel]) -> list[RecordProof | None]:
    """Return the proofs of records that this citizen may see; None of one that is not sealed as it is.

    Nor of one that has attributes which the page never shows. A batch with rows that the account of the server may not
    see cannot be proven either.
    """
    reader = services_of(request).reader
    proofs: list[RecordProof | None] = []
    for at in range(0, min(len(records), MOST_PROOFS), _AT_A_TIME):
        proofs += await reader.ask(proofs_of_records, records[at : at + _AT_A_TIME])
    return proofs + [None] * (len(records) - len(proofs))
