"""What the pages show: records with the texts of the Register, by day, each day by what belongs together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from ldv_otel._internal.clickhouse.queries.models import UsedActivity
from ldv_otel._internal.clickhouse.register_table import StoredVersions, version_at
from ldv_otel._internal.config.variables import UNKNOWN_CALLER_URL
from ldv_otel._internal.parties.parties import ReadApi
from ldv_otel._internal.parties.party_names import PartyNames
from ldv_otel._internal.parties.read_api_paths import api_base
from ldv_otel._internal.record.callers import is_unknown_caller, processor_of
from ldv_otel._internal.record.identity import ids_repeated
from ldv_otel._internal.record.logregel import Logregel, Status
from ldv_otel._internal.record.outcomes import with_outcomes
from ldv_otel._internal.register.register import ProcessingActivity
from ldv_otel._internal.times.dutch import date_words, day_words, duration_words, local, time_words

#: Behind `Gevraagd door`: another application asked, of whoever it is.
_UNKNOWN_CALLER: Final = "een ander systeem"
#: 48 bits, which keep apart the activities of any Register.
_KEY_CHARACTERS: Final = 12


class ShownActivity(msgspec.Struct, frozen=True):
    """A processing activity with the texts of the Register.

    Attributes:
        key: Its name in addresses; see `activity_key`.
        uri: As records have it; empty when they name none.
        registered: Whether the Register has it.
        kept: How long its records are kept; empty when the Register has no term.
    """

    key: str
    uri: str
    name: str
    registered: bool
    purpose: str = ""
    legal_ground: str = ""
    kept: str = ""
    part_of: str = ""


class ShownStep(msgspec.Struct, frozen=True):
    """A record in Dutch: a step of what was done.

    Attributes:
        moment: Its start in ISO 8601, for the attribute `datetime`.
        asked: Name of the organisation that was asked; empty for none.
        asked_by: Name of the organisation on whose behalf it was done, or words for an unknown one; empty for none.
        until: The day on which it is removed; empty when the Register has no term.
        repeated: Whether another record beside it has the same ids.
    """

    name: str
    time: str
    moment: str
    failed: bool = False
    asked: str = ""
    asked_by: str = ""
    until: str = ""
    repeated: bool = False


class Card(msgspec.Struct):
    """The records of one day, one trace and one activity, in order of time."""

    trace_id: str
    activity: ShownActivity
    steps: list[ShownStep]


class Day(msgspec.Struct):
    """A day and its cards, the last first."""

    name: str
    date: str
    cards: list[Card]


class ActivitySummary(msgspec.Struct, frozen=True):
    """How often an activity was done about a person, and from when to when."""

    activity: ShownActivity
    count: int
    first: str
    last: str


class DutchTexts:
    """Turns records into Dutch texts.

    Args:
        register: The Register in force in the Logboek.
        apis: Read APIs of other parties, by their base.
        confidential: Whether its confidential entries may be shown; otherwise they are left out.
        unknown_caller: The URL of a caller that nobody knows.

    Attributes:
        hidden: URIs of the activities that are left out.
        zone: Time zone of dates and times.
    """

    def __init__(
        self,
        register: StoredVersions,
        apis: Mapping[str, ReadApi],
        zone: ZoneInfo,
        *,
        confidential: bool = False,
        unknown_caller: str = UNKNOWN_CALLER_URL,
    ) -> None:
        self._unknown_caller = unknown_caller
        self._register = register
        self._confidential = confidential
        # Records of these are left out of chains too, where other parties do not know our Register.
        self.hidden = frozenset(
            uri
            for uri, versions in register.items()
            if not confidential and any(version.activity.confidential for version in versions)
        )
        self._apis = apis
        self._names = PartyNames(apis.values())
        self.zone = zone

    def activity(self, uri: str, time_ms: int) -> ShownActivity:
        """Return an activity as it was at a time (LDV-N12); one that the Register lacks has a name that says so."""
        key = activity_key(uri)
        # A confidential activity is looked up in the same way as one that does not exist, and so looks the same.
        entry = self._entry(uri, time_ms)
        if entry is None:
            return ShownActivity(key, uri, name="Handeling zonder uitleg", registered=False)
        parent = self._entry(entry.parent, time_ms)
        return ShownActivity(
            key,
            uri,
            name=entry.name,
            registered=True,
            purpose=entry.purpose,
            legal_ground=entry.legal_ground,
            kept=duration_words(entry.term) if entry.term is not None else entry.retention_text,
            part_of=parent.name if parent is not None else "",
        )

    def _entry(self, uri: str, time_ms: int) -> ProcessingActivity | None:
        version = version_at(self._register.get(uri, ()), time_ms)
        if version is None or (version.activity.confidential and not self._confidential):
            return None
        return version.activity

    def days(self, records: Iterable[Logregel]) -> list[Day]:
        """Return records by day.

        Args:
            records: The newest first; so are the days, and the cards of a day. Within a card they are in order of time.
        """
        # An Actie and its outcome are in one trace, and mostly on one page; there they are one step.
        records = with_outcomes(records)
        days: dict[str, Day] = {}
        cards: dict[tuple[str, bytes, str], Card] = {}
        for record, repeated in zip(records, ids_repeated(records), strict=True):
            began = local(record.start_time_ms, self.zone)
            date = began.date().isoformat()
            day = days.setdefault(date, Day(day_words(began), date, []))
            key = (date, record.trace_id, record.processing_activity_id)
            if key not in cards:
                cards[key] = Card(
                    record.trace_id.hex(), self.activity(record.processing_activity_id, record.start_time_ms), []
                )
                day.cards.append(cards[key])
            # In front, because the records come newest first.
            cards[key].steps.insert(0, self.step(record, repeated=repeated))
        return list(days.values())

    def step(self, record: Logregel, *, repeated: bool = False) -> ShownStep:
        """Return one record in Dutch."""
        began = local(record.start_time_ms, self.zone)
        return ShownStep(
            name=record.name,
            time=time_words(began),
            moment=began.isoformat(timespec="milliseconds"),
            failed=record.status == Status.ERROR,
            asked=self.party(record.external_read_api_id),
            asked_by=self.caller(record),
            until=self._until(
                self._entry(record.processing_activity_id, record.start_time_ms), local(record.end_time_ms, self.zone)
            ),
            repeated=repeated,
        )

    def summaries(self, used: Iterable[UsedActivity]) -> list[ActivitySummary]:
        """Return the activities in a person's records."""
        return [
            ActivitySummary(
                self.activity(entry.activity, entry.last_ms),
                entry.logregels,
                date_words(local(entry.first_ms, self.zone)),
                date_words(local(entry.last_ms, self.zone)),
            )
            for entry in used
        ]

    def party(self, url: str) -> str:
        """Return the name of the party with that read API, or its host when the file of parties has no name for it."""
        return self._names.of_read_api(url)

    def caller(self, record: Logregel) -> str:
        """Return who asked for what a record says, in words; empty where it was no other application."""
        url = processor_of(record)
        return _UNKNOWN_CALLER if is_unknown_caller(url, self._unknown_caller) else self.processor(url)

    def names_other_party(self, record: Logregel) -> bool:
        """Return whether a record names a party that was called, or one that called and is known."""
        url = processor_of(record)
        return bool(record.external_read_api_id or (url and not is_unknown_caller(url, self._unknown_caller)))

    def processor(self, url: str) -> str:
        """Return the name of the party with that application; as `party`."""
        return self._names.of_processor(url)

    def contact(self, url: str) -> str:
        """Return the address of a page where people can ask the party with that read API; empty when there is none."""
        api = self._apis.get(api_base(url)) if url else None
        if api is None:
            return ""
        return api.contact or ("" if api.offered else api.url)

    @staticmethod
    def _until(entry: ProcessingActivity | None, ended: datetime) -> str:
        if entry is None or entry.term is None:
            return ""
        try:
            return date_words(entry.term.after(ended))
        except ValueError:
            return ""


def activity_key(uri: str) -> str:
    """Return the name of an activity in addresses: no address shows which processing somebody looks at."""
    return hashlib.sha256(uri.encode()).hexdigest()[:_KEY_CHARACTERS]
