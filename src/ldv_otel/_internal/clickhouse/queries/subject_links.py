"""Numbers that are one person's: which pseudonyms belong together by the links of `ldv subject`.

Every question about a person goes through `person_of`, so that all readers find the records under each number.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

import msgspec

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.privacy.pseudonyms import DataSubject
from ldv_otel.errors import QueryError

#: The most links between the numbers of one person. People have a few; a bound keeps a mistake, or a chain that
#: somebody makes on purpose, from making every question about them long.
MAX_LINKS: Final = 32

_FIELDS: Final = Sql("""
toString(link_id), max(state), toUnixTimestamp64Milli(any(holds_from)),
any(arrayMap(id -> hex(id), former)), any(arrayMap(id -> hex(id), present)), any(former_type), any(present_type),
any(keys), toUnixTimestamp64Milli(toDateTime64(min(at), 3, 'UTC')),
toUnixTimestamp64Milli(toDateTime64(max(at), 3, 'UTC')), argMin(linked_by, at)
""")
_OF_PSEUDONYMS: Final = Sql(
    """
SELECT $fields FROM ldv_subject_link
WHERE subject IN (SELECT toFixedString(unhex(arrayJoin({subjects:Array(String)})), 16))
GROUP BY link_id HAVING max(state) = 'linked' AND any(holds_from) <= now64(3)
ORDER BY min(at), link_id
""",
    fields=_FIELDS,
)
#: How many rows there are: none where nobody ever linked numbers. It is known without a look at them.
_LINK_ROWS: Final = Sql("SELECT count() FROM ldv_subject_link")
_ALL: Final = Sql("SELECT $fields FROM ldv_subject_link GROUP BY link_id ORDER BY min(at), link_id", fields=_FIELDS)
_WITH_ID: Final = Sql(
    "SELECT $fields FROM ldv_subject_link WHERE link_id = {link:UUID} GROUP BY link_id", fields=_FIELDS
)
_LINK: Final = Sql("""
INSERT INTO ldv_subject_link (subject, link_id, state, holds_from, former, present, former_type, present_type, keys)
SELECT arrayJoin(arrayDistinct(arrayConcat(former, present))), {link:UUID}, 'linked',
       fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC'),
       arrayMap(id -> toFixedString(unhex(id), 16), {former:Array(String)}) AS former,
       arrayMap(id -> toFixedString(unhex(id), 16), {present:Array(String)}) AS present,
       {former_type:String}, {present_type:String}, {keys:Array(String)}
""")
_END: Final = Sql("""
INSERT INTO ldv_subject_link (subject, link_id, state, holds_from, former, present, former_type, present_type, keys)
SELECT subject, link_id, 'ended', holds_from, former, present, former_type, present_type, keys
FROM ldv_subject_link WHERE link_id = {link:UUID} AND state = 'linked'
""")


class SubjectLink(msgspec.Struct, frozen=True, kw_only=True):
    """Two numbers of one person; times in ms since 1970-01-01 UTC.

    Attributes:
        holds_from_ms: Questions that are asked from then on find both.
        former: Pseudonyms of the former number, one for each of `keys`.
        present: Those of the present number.
        keys: Ids of the keys that were live when it was made.
        ended_ms: None while it is in force.
        linked_by: Account at the Logboek.
    """

    id: str
    holds_from_ms: int
    former: tuple[bytes, ...]
    present: tuple[bytes, ...]
    former_type: str
    present_type: str
    keys: tuple[str, ...]
    linked_ms: int
    ended_ms: int | None = None
    linked_by: str = ""

    def without(self, keys: Iterable[str]) -> list[str]:
        """Return those of these keys that came after it."""
        return [key for key in keys if key not in self.keys]

    def joins(self, former: Collection[bytes], present: Collection[bytes]) -> bool:
        """Whether it links these two numbers, in either order, by their pseudonyms under any key."""
        return any(
            not set(first).isdisjoint(self.former) and not set(second).isdisjoint(self.present)
            for first, second in ((former, present), (present, former))
        )

    @property
    def subjects(self) -> tuple[DataSubject, DataSubject]:
        """Both as data subjects, under the last of its keys."""
        return (
            DataSubject(self.former[-1], self.former_type, self.keys[-1]),
            DataSubject(self.present[-1], self.present_type, self.keys[-1]),
        )


class LinkedPerson(msgspec.Struct, frozen=True):
    """All that is linked to some pseudonyms.

    Attributes:
        subjects: Those that were asked about first, and then those that links lead to.
        links: In force now, each once.
    """

    subjects: tuple[bytes, ...]
    links: tuple[SubjectLink, ...] = ()

    def lacking(self, keys: Iterable[str]) -> tuple[str, ...]:
        """Return those of these keys under which records of another number are not found: a link is older than they."""
        return tuple(
            key
            for key in keys
            if any(
                all(key not in again.keys for again in self.between(link.former, link.present)) for link in self.links
            )
        )

    def between(self, former: Collection[bytes], present: Collection[bytes]) -> list[SubjectLink]:
        """Return the links of these two numbers: more than one, where they were linked again under a newer key."""
        return [link for link in self.links if link.joins(former, present)]


def person_of(client: LogboekClient, pseudonyms: Sequence[bytes]) -> LinkedPerson:
    """Return which pseudonyms are one person's with these, over as many links as there are.

    Raises:
        QueryError: There are more than `MAX_LINKS`, so that the answer would not be complete.
    """
    subjects: dict[bytes, None] = dict.fromkeys(pseudonyms)
    links: dict[str, SubjectLink] = {}
    asked: list[bytes] = [] if client.rows(_LINK_ROWS) == [(0,)] else list(subjects)
    while asked:
        rows = client.rows(_OF_PSEUDONYMS, {"subjects": [raw.hex() for raw in asked]})
        reached = [_link(row) for row in rows]
        links |= {link.id: link for link in reached}
        if len(links) > MAX_LINKS:
            raise QueryError(
                f"More than {MAX_LINKS} links make numbers one person's here, so not everything would be found. "
                "Look at them with `ldv subject list`, and end what is wrong."
            )
        asked = [raw for raw in dict.fromkeys(_pseudonyms(reached)) if raw not in subjects]
        subjects |= dict.fromkeys(asked)
    return LinkedPerson(tuple(subjects), tuple(links.values()))


def all_links(client: LogboekClient) -> list[SubjectLink]:
    """Return every link that was ever made, the oldest first."""
    return [_link(row) for row in client.rows(_ALL)]


def link_with(client: LogboekClient, link_id: str) -> SubjectLink:
    """Return a link.

    Raises:
        QueryError: There is none with this id.
    """
    try:
        rows = client.rows(_WITH_ID, {"link": str(uuid.UUID(link_id))})
    except ValueError:
        rows = []
    if not rows:
        raise QueryError("There is no link with that id. Nothing was ended. `ldv subject list` shows them.")
    return _link(rows[0])


def store_link(client: LogboekClient, link: SubjectLink) -> None:
    """Bring a link into force; its records have to be stored before."""
    client.command(
        _LINK,
        {
            "link": link.id,
            "from_ms": link.holds_from_ms,
            "former": [raw.hex() for raw in link.former],
            "present": [raw.hex() for raw in link.present],
            "former_type": link.former_type,
            "present_type": link.present_type,
            "keys": list(link.keys),
        },
    )


def end_link(client: LogboekClient, link: SubjectLink) -> None:
    """End a link from now on; its records have to be stored before."""
    client.command(_END, {"link": link.id})


def _pseudonyms(links: Iterable[SubjectLink]) -> Iterable[bytes]:
    return (raw for link in links for raw in (*link.former, *link.present))


def _link(row: tuple[Any, ...]) -> SubjectLink:
    id_, state, from_ms, former, present, former_type, present_type, keys, linked_ms, last_ms, linked_by = row
    return SubjectLink(
        id=id_,
        holds_from_ms=from_ms,
        former=tuple(map(bytes.fromhex, former)),
        present=tuple(map(bytes.fromhex, present)),
        former_type=former_type,
        present_type=present_type,
        keys=tuple(keys),
        linked_ms=linked_ms,
        ended_ms=last_ms if state == "ended" else None,
        linked_by=linked_by,
    )
