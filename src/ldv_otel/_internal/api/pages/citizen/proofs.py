"""Proofs that a citizen takes home: of the records that the page shows, and the page that checks them."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from starlette.requests import Request

import ldv_otel.attributes as names
from ldv_otel._internal.api.problem import Problem
from ldv_otel._internal.api.services import services_of
from ldv_otel._internal.clickhouse.columns import StoredLogregel
from ldv_otel._internal.clickhouse.verification.prove import RecordId, prove_records
from ldv_otel._internal.tamper.proof import RecordProof

#: What a record may have beside the standard's own attributes for its proof, which shows it whole, to be given away.
#: Others may quote somebody else or name an officer: messages of exceptions, originals of values, reasons.
_HARMLESS: Final = frozenset(
    {
        names.EXCEPTION_TYPE, names.FLAGS, names.INTERRUPTED, names.JSON_VALUES, names.KEPT_UNTIL, names.OUTCOME_OF,
        names.VERSION, names.VERSION_OF,
    }
)  # fmt: skip
#: The most proofs in a file: each may be in a batch of its own, whose rows are all read.
MOST_PROOFS: Final = 500
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
    wanted = [RecordId(each.logregel.trace_id, each.logregel.span_id, each.writer_id, each.seq) for each in records]
    provable = [
        record_id
        for record_id, each in zip(wanted[:MOST_PROOFS], records, strict=False)
        if all(name.startswith(names.NAMESPACE) or name in _HARMLESS for name in each.logregel.attributes)
    ]
    proofs: dict[RecordId, RecordProof | None] = {}
    for at in range(0, len(provable), _AT_A_TIME):
        proofs |= await reader.ask(prove_records, provable[at : at + _AT_A_TIME])
    return [proofs.get(record_id) for record_id in wanted]
