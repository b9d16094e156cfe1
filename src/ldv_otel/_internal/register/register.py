"""The Register of processing activities: what the URIs in Logregels mean (standard, component Register).

A relevant change of an activity is a new version with an identity of its own, so that a Logregel refers to one version
for good. Old versions stay in the Register. Nothing needs the Register to write; readers use it to say why something
was done, what is confidential, and how long Logregels are kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final

import msgspec

from ldv_otel._internal.record.logregel import is_uri
from ldv_otel._internal.times.durations import Duration
from ldv_otel.errors import LdvError

_MAX_SHOWN: Final = 20
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
        retention: How long its Logregels are kept from their start time, in ISO 8601 (`P7Y`); empty when the Register
            sets no term.
        confidential: Whether data subjects do not see its records in *inzage*, or not yet.
        parent: URI of the activity that this one is part of (LDV-A12), of the same organisation: Registers of two
            organisations are not linked (LDV-X1).
        controller: URI or name of the controller (verwerkingsverantwoordelijke).
        replaces: URI of the version before this one.
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
        if self.replaces == self.id:
            yield "replaces", "names the activity itself"
        if self.parent == self.id:
            yield "parent", "names the activity itself"

    def _retention_problems(self) -> Iterator[tuple[str, str]]:
        try:
            term = Duration.parse(self.retention)
        except ValueError as error:
            yield "retention", f"cannot be used: {error}"
            return
        if term == Duration():
            yield "retention", "is no time at all"
        elif term.seconds:
            yield "retention", "has hours, minutes or seconds; a term is in years, months, weeks or days"


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
        self._by_id: Mapping[str, ProcessingActivity] = {activity.id: activity for activity in entries}
        self._successor = {activity.replaces: activity for activity in entries if activity.replaces}

    def __len__(self) -> int:
        """Return the number of versions."""
        return len(self._by_id)

    def __iter__(self) -> Iterator[ProcessingActivity]:
        """Yield all versions, in the Register's order."""
        return iter(self._by_id.values())

    def __contains__(self, activity_id: object) -> bool:
        """Say whether a URI is that of a version in the Register."""
        return activity_id in self._by_id

    def get(self, activity_id: str) -> ProcessingActivity | None:
        """Return the version with this URI, or None."""
        return self._by_id.get(activity_id)

    def current(self, activity_id: str) -> ProcessingActivity | None:
        """Return the newest version of the activity of which the URI is a version, or None."""
        versions = self.versions(activity_id)
        return versions[-1] if versions else None

    def versions(self, activity_id: str) -> list[ProcessingActivity]:
        """Return all versions of the activity of which the URI is one, oldest first; empty for an unknown URI."""
        version = self._by_id.get(activity_id)
        if version is None:
            return []
        while version.replaces:
            version = self._by_id[version.replaces]
        versions = [version]
        while (successor := self._successor.get(versions[-1].id)) is not None:
            versions.append(successor)
        return versions

    def ancestors(self, activity_id: str) -> list[ProcessingActivity]:
        """Return the activities above this one, nearest first, as far as the Register has them."""
        activity = self._by_id.get(activity_id)
        above = []
        while activity is not None and activity.parent:
            activity = self._by_id.get(activity.parent)
            if activity is not None:
                above.append(activity)
        return above

    @property
    def confidential(self) -> frozenset[str]:
        """URIs of the confidential activities."""
        return frozenset(activity.id for activity in self if activity.confidential)

    def past_term(self, activity_id: str, start_time: datetime, now: datetime) -> bool:
        """Say whether a Logregel that started then is past its term; never, when no term is known."""
        activity = self._by_id.get(activity_id)
        return activity is not None and activity.term is not None and start_time < activity.term.before(now)

    def compare(self, used: Mapping[str, int]) -> Comparison:
        """Return the activities of the log that are not in the Register, and those of the Register that the log lacks.

        Args:
            used: Number of records for each activity in the log.
        """
        unregistered = {activity: count for activity, count in used.items() if activity not in self._by_id}
        return Comparison(
            dict(sorted(unregistered.items(), key=lambda item: (-item[1], item[0]))),
            [activity.id for activity in self if activity.id not in used],
        )


def consistency_problems(activities: list[ProcessingActivity]) -> Iterator[tuple[int, str]]:
    """Yield what is wrong with activities, each by itself and together: the index of an activity, and a sentence."""
    seen: dict[str, int] = {}
    for index, activity in enumerate(activities):
        for field, problem in activity.problems():
            yield index, f"{_named(activity)}: {field} {problem}"
        if activity.id in seen:
            yield index, f"{_named(activity)}: id is that of another entry; a changed activity gets an id of its own"
        seen.setdefault(activity.id, index)
    replaced = Counter(activity.replaces for activity in activities)
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
