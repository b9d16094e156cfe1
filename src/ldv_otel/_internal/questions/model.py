"""What a question is, what it is asked with, and what its answer is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.register_table import StoredVersions, version_at
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.parties.party_names import PartyNames
from ldv_otel._internal.register.register import ProcessingActivity

#: The most rows of a table in an answer; an answer with more says that it is not whole.
MOST_ROWS: Final = 10_000


class Said(msgspec.Struct, frozen=True):
    """A text in Dutch and in English."""

    nl: str
    en: str

    def in_language(self, language: str) -> str:
        """Return the text in a language: Dutch for `nl`, else English."""
        return self.nl if language == "nl" else self.en


def counted(number: int, singular: str, plural: str) -> str:
    """Return a number with its noun."""
    return f"{number} {singular if number == 1 else plural}"


class CellKind(StrEnum):
    """What the values of a column are."""

    TEXT = "text"
    NUMBER = "number"
    #: Milliseconds since 1970-01-01 UTC; None for never.
    MOMENT = "moment"
    YES_NO = "yes/no"
    #: A number, or a text that says why it is not shown.
    HIDDEN_NUMBER = "hidden number"


class AnswerColumn(msgspec.Struct, frozen=True):
    """A column of an answer.

    Attributes:
        name: As JSON has it.
    """

    name: str
    caption: Said
    kind: CellKind = CellKind.TEXT


Cell = str | int | bool | None


#: Not that there is nothing: only what the Logboek has, and may show, was looked at.
NOTHING_TO_SHOW: Final = Said("Hier is niets te zien.", "There is nothing to see here.")
#: What every answer without what is confidential says.
CONFIDENTIAL_LEFT_OUT: Final = Said(
    "Wat vertrouwelijk is, telt niet mee in dit antwoord.", "What is confidential does not count in this answer."
)


class AnswerTable(msgspec.Struct, frozen=True):
    """Some rows of an answer.

    Attributes:
        name: As JSON has it.
        complete: Whether all rows are there.
        empty: What is said in place of rows where there are none; another text where nothing was looked at.
    """

    name: str
    title: Said
    columns: tuple[AnswerColumn, ...]
    rows: Sequence[tuple[Cell, ...]]
    complete: bool = True
    empty: Said = NOTHING_TO_SHOW


class Answer(msgspec.Struct, frozen=True):
    """An answer: sentences first, then what they rest on.

    Attributes:
        sentences: The answer in words.
        cautions: What may not be concluded from this very answer, beside what holds for each.
    """

    sentences: tuple[Said, ...]
    tables: tuple[AnswerTable, ...]
    cautions: tuple[Said, ...] = ()


class Parameter(StrEnum):
    """What a question can be asked with, by the name of its option."""

    PERIOD = "from"
    ACTIVITY = "activity"
    SERVICE = "service"
    PERSON = "person"
    ON = "on"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """With what a question is asked, and what names things.

    Attributes:
        since_ms: Acties that started then or later, in ms since 1970-01-01 UTC.
        until_ms: Acties that started before then.
        on: For which moment, where the question is about one to come.
        activity: URI of the only processing activity; empty for all.
        service: `service.name` of the only application; empty for all.
        pseudonyms: Those of the person, one for each live key.
        confidential: Whether confidential activities are shown.
        register: All versions of the activities in the Logboek.
    """

    settings: Settings
    now_ms: int
    since_ms: int
    until_ms: int
    on: datetime | None = None
    activity: str = ""
    service: str = ""
    pseudonyms: tuple[bytes, ...] = ()
    confidential: bool = False
    register: StoredVersions = msgspec.field(default_factory=dict)
    parties: PartyNames = msgspec.field(default_factory=PartyNames)

    def __repr__(self) -> str:
        """Leave the person out."""
        return f"Asked({self.since_ms}, {self.until_ms})"

    def entry(self, uri: str, time_ms: int) -> ProcessingActivity | None:
        """Return the entry of the Register that explains an activity at a time; None where it has none to show."""
        version = version_at(self.register.get(uri, ()), time_ms)
        if version is None or (version.activity.confidential and not self.confidential):
            return None
        return version.activity

    def name(self, uri: str, time_ms: int) -> str:
        """Return the name of an activity, else its URI."""
        entry = self.entry(uri, time_ms)
        return uri if entry is None else entry.name

    def hidden(self, uri: str) -> bool:
        """Return whether an activity may not be shown."""
        return not self.confidential and any(version.activity.confidential for version in self.register.get(uri, ()))

    def is_confidential(self, uri: str, time_ms: int) -> bool:
        """Return whether the Register calls an activity confidential."""
        entry = self.entry(uri, time_ms)
        return entry is not None and entry.confidential


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A question, as it is defined once for every way to ask it.

    Attributes:
        name: As it is typed: `ldv question NAME`.
        address: As it stands in the address of its page.
        explanation: A sentence: what the answer shows.
        limits: What may not be concluded from any answer.
        by_the_minute: Whether a period of it may begin and end within a day.
        for_officer: Whether confidential activities are shown unless the reader asks otherwise.
        about_activities: Whether an answer differs by whether what is confidential counts.
        days: So many days are asked about unless the reader says otherwise; None for all.
        answer: Reads the Logboek.
    """

    name: str
    address: str
    title: Said
    explanation: Said
    parameters: tuple[Parameter, ...]
    limits: tuple[Said, ...]
    for_officer: bool = True
    about_activities: bool = True
    days: int | None = 30
    by_the_minute: bool = False
    answer: Callable[[LogboekClient, Asked], Answer]

    @property
    def about_person(self) -> bool:
        """Whether it is about one person, so that asking it is on record."""
        return Parameter.PERSON in self.parameters
