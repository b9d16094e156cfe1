"""The Register of processing activities: what the URIs in Logregels mean (standard, component Register).

A relevant change of an activity is a new version: with an identity of its own, or under the same URI from a moment on
(`valid_from`). A Logregel is explained by the version in force when its Actie began (LDV-N12), so old versions stay in
the Register. Nothing needs the Register to write; readers use it to say why something was done, what is confidential,
and how long Logregels are kept.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final

import msgspec

from ldv_otel._internal.record.logregel import is_uri
from ldv_otel._internal.times.durations import Duration
from ldv_otel._internal.times.instants import ms_from_datetime, ms_from_rfc3339, now_ms
from ldv_otel.errors import LdvError

_MAX_SHOWN: Final = 20
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
#: What could end a line or steer a terminal: a Register may come from elsewhere.
_CONTROL: Final = dict.fromkeys((*range(32), *range(127, 160), 0x2028, 0x2029), "\N{REPLACEMENT CHARACTER}")


class RegisterError(LdvError):
    """A Register cannot be used; the message has a line for each problem, with file, line and entry.

    Attributes:
        problems: All of them; the message has the first twenty.
    """

    def __init__(self, *problems: str) -> None:
        self.problems = [problem.translate(_CONTROL) for problem in problems]
        more = len(problems) - _MAX_SHOWN
        super().__init__("\n".join((*self.problems[:_MAX_SHOWN], *([f"... and {more} more"] if more > 0 else []))))


class ProcessingActivity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One version of a processing activity.

    Attributes:
        id: URI, as Logregels have it in `dpl.core.processing_activity_id`.
        name: What people call it.
        purpose: Why it is done (doel).
        legal_ground: What allows it (grondslag).
        retention: How long its Logregels are kept from their end time, in ISO 8601 (`P7Y`); empty when the Register
            sets no such term.
        retention_text: A term in words, such as one that begins with a decision of a court. Nothing is removed by it;
            `ldv retention date` sets the end for a trace or a record (LDV-N13).
        confidential: Whether data subjects do not see its records in *inzage*, or not yet.
        parent: URI of the activity that this one is part of (LDV-A12), of the same organisation: Registers of two
            organisations are not linked (LDV-X1).
        controller: URI or name of the controller (verwerkingsverantwoordelijke).
        replaces: URI of the version before this one.
        valid_from: From when on it is like this: a date (its first moment in UTC) or a moment in RFC 3339; empty for
            from the beginning.
    """

    id: str
    name: str
    purpose: str = ""
    legal_ground: str = ""
    retention: str = ""
    confidential: bool = False
    parent: str = ""
    controller: str = ""
    replaces: str = ""
    retention_text: str = ""
    valid_from: str = ""

    @property
    def valid_from_ms(self) -> int:
        """The moment from which it is like this, in ms since 1970-01-01 UTC; 0 for the beginning."""
        return _moment_ms(self.valid_from) if self.valid_from else 0

    @property
    def term(self) -> Duration | None:
        """The retention as a duration; None when the Register sets no term."""
        return Duration.parse(self.retention) if self.retention else None

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield each field that cannot be used, with what is wrong with it."""
        for field in ("id", "parent", "replaces"):
            value: str = getattr(self, field)
            if (value or field == "id") and not is_uri(value):
                yield field, "is no URI"
        if not self.name.strip():
            yield "name", "is empty"
        if self.retention:
            yield from self._retention_problems()
        if self.retention and self.retention_text:
            yield "retention_text", "is a second term beside retention; give one of them"
        if self.valid_from:
            try:
                _moment_ms(self.valid_from)
            except ValueError:
                yield "valid_from", "is no date like 2026-07-01, and no moment like 2026-07-01T00:00:00+02:00"
        if self.replaces == self.id:
            yield "replaces", "names the activity itself"
        if self.parent == self.id:
            yield "parent", "names the activity itself"

    def _retention_problems(self) -> Iterator[tuple[str, str]]:
        try:
            term = Duration.parse(self.retention)
        except ValueError as error:
            yield "retention", f"cannot be used: {error}; a term in words is called retention_text"
            return
        if term == Duration():
            yield "retention", "is no time at all"
        elif term.seconds:
            yield "retention", "has hours, minutes or seconds; a term is in years, months, weeks or days"


def _moment_ms(text: str) -> int:
    moment = ms_from_rfc3339(f"{text}T00:00:00Z" if _DATE.fullmatch(text) else text)
    if moment < 0:
        raise ValueError("before 1970")
    return moment


class Comparison(msgspec.Struct, frozen=True):
    """The differences between the activities that a Logboek uses and those of the Register.

    Attributes:
        unregistered: Records by activity, of those that the log uses and the Register lacks; "" is for records that
            name no activity.
        unused: Activities in the Register that the log does not use.
    """

    unregistered: dict[str, int]
    unused: list[str]

    @property
    def ok(self) -> bool:
        """Whether every record's activity is in the Register."""
        return not self.unregistered


class Register:
    """All versions of all activities, by their URI.

    Args:
        activities: In any order.
        source: Where they were read, for messages.

    Raises:
        RegisterError: They do not fit together. Each problem is a line; `parse_register` adds the line in the file.
    """

    def __init__(self, activities: Iterable[ProcessingActivity], *, source: str = "") -> None:
        entries = list(activities)
        problems = [f"{source}: {where}" if source else where for _, where in consistency_problems(entries)]
        if problems:
            raise RegisterError(*problems)
        self.source = source
        self._entries = tuple(entries)
        by_id: dict[str, list[ProcessingActivity]] = {}
        for activity in entries:
            by_id.setdefault(activity.id, []).append(activity)
        self._by_id = {
            activity_id: sorted(versions, key=lambda version: version.valid_from_ms)
            for activity_id, versions in by_id.items()
        }
        self._replaces = {activity.id: activity.replaces for activity in entries if activity.replaces}
        self._successor = {replaced: activity_id for activity_id, replaced in self._replaces.items()}

    def __len__(self) -> int:
        """Return the number of versions."""
        return len(self._entries)

    def __iter__(self) -> Iterator[ProcessingActivity]:
        """Yield all versions, in the Register's order."""
        return iter(self._entries)

    def __contains__(self, activity_id: object) -> bool:
        """Say whether a URI is that of a version in the Register."""
        return activity_id in self._by_id

    def get(self, activity_id: str, at: datetime | None = None) -> ProcessingActivity | None:
        """Return the version with this URI that was in force at a moment, or None for an unknown URI.

        Args:
            at: When the Actie began; by default now. Before all versions it is the first one.
        """
        versions = self._by_id.get(activity_id, [])
        at_ms = now_ms() if at is None else ms_from_datetime(at)
        in_force = [version for version in versions if version.valid_from_ms <= at_ms] or versions[:1]
        return in_force[-1] if in_force else None

    def current(self, activity_id: str) -> ProcessingActivity | None:
        """Return the version in force now of the activity of which the URI is a version, or None."""
        last = activity_id
        while (successor := self._successor.get(last)) is not None:
            last = successor
        return self.get(last)

    def versions(self, activity_id: str) -> list[ProcessingActivity]:
        """Return all versions of the activity of which the URI is one, oldest first; empty for an unknown URI."""
        if activity_id not in self._by_id:
            return []
        first = activity_id
        while first in self._replaces:
            first = self._replaces[first]
        ids = [first]
        while (successor := self._successor.get(ids[-1])) is not None:
            ids.append(successor)
        return [version for each in ids for version in self._by_id[each]]

    def ancestors(self, activity_id: str) -> list[ProcessingActivity]:
        """Return the activities above this one as they are now, nearest first, as far as the Register has them."""
        activity = self.get(activity_id)
        above: list[ProcessingActivity] = []
        while activity is not None and activity.parent and len(above) < len(self._by_id):
            activity = self.get(activity.parent)
            if activity is not None:
                above.append(activity)
        return above

    @property
    def confidential(self) -> frozenset[str]:
        """URIs of the activities of which a version is confidential."""
        return frozenset(activity.id for activity in self if activity.confidential)

    def past_term(self, activity_id: str, start_time: datetime, end_time: datetime, now: datetime) -> bool:
        """Say whether a Logregel of that time is past its term; never, when no term is known."""
        activity = self.get(activity_id, start_time)
        return activity is not None and activity.term is not None and end_time < activity.term.before(now)

    def compare(self, used: Mapping[str, int]) -> Comparison:
        """Return the activities of the log that are not in the Register, and those of the Register that the log lacks.

        Args:
            used: Number of records for each activity in the log.
        """
        unregistered = {activity: count for activity, count in used.items() if activity not in self._by_id}
        return Comparison(
            dict(sorted(unregistered.items(), key=lambda item: (-item[1], item[0]))),
            [activity_id for activity_id in self._by_id if activity_id not in used],
        )


def consistency_problems(activities: list[ProcessingActivity]) -> Iterator[tuple[int, str]]:
    """Yield what is wrong with activities, each by itself and together: the index of an activity, and a sentence."""
    seen: dict[str, str] = {}
    versions: set[tuple[str, object]] = set()
    for index, activity in enumerate(activities):
        problems = list(activity.problems())
        for field, problem in problems:
            yield index, f"{_named(activity)}: {field} {problem}"
        moment = activity.valid_from if any(field == "valid_from" for field, _ in problems) else activity.valid_from_ms
        if (activity.id, moment) in versions:
            advice = "a changed activity gets a valid_from or an id of its own"
            yield index, f"{_named(activity)}: id is that of another entry; {advice}"
        versions.add((activity.id, moment))
        if seen.setdefault(activity.id, activity.replaces) != activity.replaces:
            yield index, f"{_named(activity)}: replaces another one than an earlier version of it does"
    # Several versions of one URI replace the same one.
    replaced = Counter(replaces for _, replaces in {(activity.id, activity.replaces) for activity in activities})
    for index, activity in enumerate(activities):
        if activity.replaces and activity.replaces not in seen:
            yield (
                index,
                f"{_named(activity)}: replaces {activity.replaces}, which is not here; old versions stay",
            )
        if activity.replaces and replaced[activity.replaces] > 1:
            yield index, f"{_named(activity)}: replaces {activity.replaces}, and so does another entry"
    yield from _circles(activities, "replaces")
    yield from _circles(activities, "parent")


def _circles(activities: list[ProcessingActivity], field: str) -> Iterator[tuple[int, str]]:
    above = {activity.id: getattr(activity, field) for activity in activities}
    fine: set[str] = {""}
    for index, activity in enumerate(activities):
        path: dict[str, None] = {}
        activity_id = activity.id
        while activity_id in above and activity_id not in fine and activity_id not in path:
            path[activity_id] = None
            activity_id = above[activity_id]
        if activity_id in path and above[activity_id] != activity_id:
            circle = list(path)[list(path).index(activity_id) :]
            yield index, f"{_named(activity)}: {field} goes round in a circle: {' -> '.join((*circle, activity_id))}"
        fine.update(path)


def _named(activity: ProcessingActivity) -> str:
    return activity.id or activity.name or "an entry without id"
