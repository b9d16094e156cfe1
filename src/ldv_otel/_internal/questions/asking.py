"""How a question is asked: with defaults, and with what names things in the Logboek."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries.breakdowns import BreakdownBy, PeriodFilter, breakdown
from ldv_otel._internal.clickhouse.register_table import stored_versions
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.parties.party_names import PartyNames
from ldv_otel._internal.questions.model import CONFIDENTIAL_LEFT_OUT, Answer, Asked, Parameter, Question, Said
from ldv_otel._internal.times.instants import ms_from_datetime, now_ms, within_query_time
from ldv_otel.errors import QueryError

_DAY_MS: Final = 86_400_000
#: Before every answer about an application of which nothing is there: its name may be spelled otherwise.
_UNSEEN: Final = Said(
    "Van een applicatie met deze naam is in deze dagen niets te zien. Kijk de naam na, ook de hoofdletters: "
    "'Is het Logboek compleet?' noemt alle namen.",
    "Of an application of this name there is nothing to see in these days. Check the name, capitals too: "
    "'Is the Logboek complete?' lists all names.",
)


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """What a reader chose; None and empty text for nothing, as `Asked` has them otherwise.

    Attributes:
        confidential: Whether confidential activities are shown; None as the question has it.
    """

    since_ms: int | None = None
    until_ms: int | None = None
    on: datetime | None = None
    activity: str = ""
    service: str = ""
    pseudonyms: tuple[bytes, ...] = ()
    confidential: bool | None = None

    def __repr__(self) -> str:
        """Leave the person out."""
        return "Choices()"

    @property
    def parameters(self) -> set[Parameter]:
        """What was chosen."""
        chosen = {
            Parameter.PERIOD: self.since_ms is not None or self.until_ms is not None,
            Parameter.ON: self.on is not None,
            Parameter.ACTIVITY: bool(self.activity),
            Parameter.SERVICE: bool(self.service),
            Parameter.PERSON: bool(self.pseudonyms),
        }
        return {parameter for parameter, is_chosen in chosen.items() if is_chosen}


def asked_of(
    question: Question, settings: Settings, client: LogboekClient, choices: Choices, parties: PartyNames
) -> Asked:
    """Return with what a question is asked: the choices, the question's own defaults, and the names of the Register.

    Raises:
        QueryError: Something was chosen that this question is not asked with, or cannot be.
    """
    extra = choices.parameters.difference(question.parameters)
    if extra:
        options = ", ".join(sorted(f"--{parameter}" for parameter in extra))
        raise QueryError(f"The question {question.name} is not asked with {options}. Nothing was asked.")
    moment_ms = now_ms()
    if choices.on is not None and ms_from_datetime(choices.on) < moment_ms:
        raise QueryError("--on is over already. Nothing was asked. Name a day to come.")
    until_ms = within_query_time(moment_ms + 1 if choices.until_ms is None else choices.until_ms)
    first_ms = 0 if question.days is None else max(until_ms - question.days * _DAY_MS, 0)
    return Asked(
        settings=settings,
        now_ms=moment_ms,
        since_ms=first_ms if choices.since_ms is None else within_query_time(choices.since_ms),
        until_ms=until_ms,
        on=choices.on,
        activity=choices.activity,
        service=choices.service,
        pseudonyms=choices.pseudonyms,
        confidential=question.for_officer if choices.confidential is None else choices.confidential,
        register=stored_versions(client),
        parties=parties,
    )


def answer_question(
    client: LogboekClient, question: Question, settings: Settings, choices: Choices, parties: PartyNames
) -> tuple[Asked, Answer]:
    """Return with what a question was asked, and its answer.

    Raises:
        QueryError: As `asked_of`.
        LdvError: The Logboek cannot be asked.
    """
    asked = asked_of(question, settings, client, choices, parties)
    answer = question.answer(client, asked)
    if question.about_activities and not asked.confidential:
        answer = msgspec.structs.replace(answer, cautions=(*answer.cautions, CONFIDENTIAL_LEFT_OUT))
    if choices.service and not _was_seen(client, asked):
        answer = msgspec.structs.replace(answer, sentences=(_UNSEEN, *answer.sentences))
    return asked, answer


def _was_seen(client: LogboekClient, asked: Asked) -> bool:
    """Return whether the application that was chosen did anything: a slip in its name would look like nothing."""
    chosen = PeriodFilter(
        since_ms=asked.since_ms, until_ms=asked.until_ms, service=asked.service, confidential=asked.confidential
    )
    return bool(breakdown(client, chosen, BreakdownBy.SERVICE, zone="UTC"))
