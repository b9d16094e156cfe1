"""Evidence for a complaint: the records about a person, with what shows that they are unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import ldv_otel.attributes as names
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.columns import StoredLogregel
from ldv_otel._internal.clickhouse.verification.prove import RecordId, prove_records
from ldv_otel._internal.questions import person
from ldv_otel._internal.questions.model import (
    Answer,
    AnswerColumn,
    AnswerTable,
    Asked,
    CellKind,
    Parameter,
    Question,
    Said,
)
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.tamper.proof import RecordProof

#: The most proofs of one answer: each may be in a batch of its own, whose rows are all read.
MOST_PROOFS: Final = 500
_AT_A_TIME: Final = 25
#: What a record may have beside the standard's own attributes for its proof, which shows it whole, to be given away.
#: Others may quote somebody else or name an officer: messages of exceptions, originals of values, reasons.
_HARMLESS: Final = frozenset(
    {
        names.EXCEPTION_TYPE, names.FLAGS, names.INTERRUPTED, names.JSON_VALUES, names.KEPT_UNTIL, names.OUTCOME_OF,
        names.VERSION, names.VERSION_OF,
    }
)  # fmt: skip
_COLUMNS: Final = (
    *person.COLUMNS,
    AnswerColumn("bewezen", Said("Met bewijs", "With proof"), CellKind.YES_NO),
)


def may_be_given_away(record: Logregel) -> bool:
    """Return whether a record may be shown whole, as its proof shows it, to the person that it is about."""
    return all(name.startswith(names.NAMESPACE) or name in _HARMLESS for name in record.attributes)


def proofs_of_records(client: LogboekClient, records: Sequence[StoredLogregel]) -> list[RecordProof | None]:
    """Return the proof of each record; None of one that is not sealed as it is, or may not be shown whole.

    Nor of those after `MOST_PROOFS`.
    """
    ids = [RecordId.of(each) for each in records]
    provable = [
        record_id
        for record_id, each in zip(ids[:MOST_PROOFS], records, strict=False)
        if may_be_given_away(each.logregel)
    ]
    proofs: dict[RecordId, RecordProof | None] = {}
    for at in range(0, len(provable), _AT_A_TIME):
        proofs |= prove_records(client, provable[at : at + _AT_A_TIME])
    return [proofs.get(record_id) for record_id in ids]


def answer_with(
    records: Sequence[StoredLogregel], proofs: Sequence[RecordProof | None], asked: Asked, *, complete: bool
) -> Answer:
    """Return the answer of records and their proofs."""
    rows = [
        (*person.row_of(record.logregel, asked), proof is not None)
        for record, proof in zip(records, proofs, strict=True)
    ]
    proven = sum(proof is not None for proof in proofs)
    sentences = (
        person.counts(records),
        Said(f"Van {proven} handelingen is er een bewijs.", f"There is a proof of {proven} actions."),
    )
    return Answer(sentences, (AnswerTable("handelingen", Said("Handelingen", "Actions"), _COLUMNS, rows, complete),))


def answer(client: LogboekClient, asked: Asked) -> Answer:
    """Return the records about the person, each with whether there is a proof of it."""
    records, complete = person.person_records(client, asked)
    return answer_with(records, proofs_of_records(client, records), asked, complete=complete)


COMPLAINT: Final = Question(
    name="complaint",
    address="klacht",
    title=Said("Bewijs voor een klacht", "Evidence for a complaint"),
    explanation=Said(
        "De handelingen over één persoon, met uitleg en bewijs. Als bestand om te bewaren en te printen.",
        "The actions about a person, with explanation and proof, as a file to keep and to print.",
    ),
    parameters=(Parameter.PERSON, Parameter.PERIOD),
    days=None,
    limits=(
        Said(
            "Een bewijs laat zien dat een regel er was en niet veranderd is. Niet dat er geen andere regels zijn.",
            "A proof shows that a record was there and is unchanged. Not that there are no others.",
        ),
        Said(
            f"Van ten hoogste {MOST_PROOFS} handelingen zit er een bewijs bij.",
            f"There are proofs of {MOST_PROOFS} actions at most.",
        ),
        Said(
            "Van wat een ander noemt, zoals een reden, is er geen bewijs: dat laat een regel in zijn geheel zien.",
            "There is no proof of what may name others, such as a reason: a proof shows a record whole.",
        ),
        *person.LIMITS,
    ),
    for_officer=False,
    answer=answer,
)
