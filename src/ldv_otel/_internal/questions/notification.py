"""Whom to notify of a data breach: the numbers behind sealed pseudonyms, opened after that is on record."""

from __future__ import annotations

import csv
import io
import secrets
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries.breakdowns import people_with_seals
from ldv_otel._internal.privacy.pseudonyms import DataSubject, Pseudonymiser
from ldv_otel._internal.privacy.redaction import Redactor
from ldv_otel._internal.privacy.stray_numbers import StrayNumbers
from ldv_otel._internal.questions.filters import period_filter
from ldv_otel._internal.questions.model import Asked
from ldv_otel._internal.record.builder import LogregelBuilder, resource_of
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.times.instants import now_ms
from ldv_otel.attributes import OFFICER, REASON
from ldv_otel.errors import ConfigurationError, QueryError

NAME: Final = "Nummer geopend om te waarschuwen na een datalek"
#: A list of more is made in parts, by a shorter period: all of it is in memory.
MOST_PSEUDONYMS: Final = 100_000
_REASON_CHARACTERS: Final = 500
_RESOURCE: Final = resource_of({"service.name": "ldv"})


class PersonToNotify(msgspec.Struct, frozen=True):
    """Somebody that a breach is about.

    Attributes:
        number: The identifier itself.
    """

    type: str
    number: str

    def __repr__(self) -> str:
        """Show nothing."""
        return "PersonToNotify()"


class PeopleToNotify(msgspec.Struct, frozen=True):
    """Everybody that a breach is about, as far as their pseudonyms can be opened.

    Attributes:
        unopened: Pseudonyms without a sealed number, or of a key that is not here.
    """

    people: list[PersonToNotify]
    unopened: int


def people_to_notify(client: LogboekClient, asked: Asked, pseudonymiser: Pseudonymiser) -> PeopleToNotify:
    """Open the pseudonyms of a period; somebody under several keys is there once.

    Raises:
        QueryError: There are more than `MOST_PSEUDONYMS`.
    """
    pseudonyms = people_with_seals(client, period_filter(asked), limit=MOST_PSEUDONYMS + 1)
    if len(pseudonyms) > MOST_PSEUDONYMS:
        raise QueryError(
            f"There are more than {MOST_PSEUDONYMS} pseudonyms. Nothing was written. Ask by shorter periods, or by "
            "application."
        )
    people: dict[PersonToNotify, None] = {}
    unopened = 0
    for each in pseudonyms:
        subject = DataSubject(each.pseudonym, each.type, each.key_id, each.sealed)
        try:
            number = pseudonymiser.identifier(subject)
        except ConfigurationError:
            number = ""
        if number:
            people[PersonToNotify(each.type, number)] = None
        else:
            unopened += 1
    return PeopleToNotify(sorted(people, key=lambda person: (person.type, person.number)), unopened)


class NumbersOpened(msgspec.Struct, frozen=True):
    """What the records of opening numbers have in common.

    Attributes:
        activity: URI of the processing activity under which it is logged.
        reason: Why, in the words of who did it.
        officer: Who did it, as a pseudonym.
        stray: What becomes of BSNs of others in the reason.
    """

    activity: str
    reason: str
    officer: DataSubject
    stray: StrayNumbers

    def __repr__(self) -> str:
        """Leave the reason out: it may quote a number."""
        return "NumbersOpened()"

    def logregels(self, people: Sequence[PersonToNotify], pseudonymiser: Pseudonymiser) -> Iterator[Logregel]:
        """Give a record about each person that their number was opened, and why; all in one trace."""
        moment_ms, trace_id = now_ms(), secrets.token_bytes(16)
        for person in people:
            redactor = Redactor([(person.number, person.type)])
            builder = LogregelBuilder(trace_id, secrets.token_bytes(8), redactor, stray=self.stray)
            builder.name(NAME, of_code=True)
            builder.period(moment_ms, moment_ms)
            builder.activities(self.activity, "")
            builder.subject(pseudonymiser.subject(person.number, person.type))
            # Cut after redaction: a part of a number would not be found.
            builder.attribute(REASON, builder.text(self.reason)[:_REASON_CHARACTERS])
            builder.computed(OFFICER, self.officer.pseudonym.hex())
            builder.resource(_RESOURCE)
            yield builder.build()


def as_list(people: Sequence[PersonToNotify]) -> bytes:
    """Return the list as CSV, for a program that sends letters: type and number."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["soort", "nummer"])
    lines.writerows([person.type, person.number] for person in people)
    return text.getvalue().encode()
