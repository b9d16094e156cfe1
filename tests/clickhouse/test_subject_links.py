"""Linked numbers: each question about a person is one about all of their numbers, and nobody else's."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.queries.models import PageLimits, RecordQuery
from ldv_otel._internal.clickhouse.queries.subject_links import (
    MAX_LINKS,
    SubjectLink,
    all_links,
    end_link,
    link_with,
    person_of,
    store_link,
)
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.times.instants import now_ms
from ldv_otel.errors import QueryError
from tests.support.chance import examples, new_id

ACTIVITY = "https://register.example/a"
NUMBERS = 6


def link_of(
    former: Sequence[bytes], present: Sequence[bytes], *, keys: Sequence[str] = ("k1",), holds_from_ms: int = 0
) -> SubjectLink:
    """A link that was not stored yet."""
    return SubjectLink(
        id=str(uuid.uuid4()),
        holds_from_ms=holds_from_ms,
        former=tuple(former),
        present=tuple(present),
        former_type="A-nummer",
        present_type="BSN",
        keys=tuple(keys),
        linked_ms=0,
    )


def stored(client: LogboekClient, *arguments: Sequence[bytes], **options: object) -> SubjectLink:
    """A link that is in force."""
    link = link_of(*arguments, **options)  # type: ignore[arg-type]
    store_link(client, link)
    return link


def people(count: int) -> list[bytes]:
    """Pseudonyms that no other test has."""
    return [new_id(16) for _ in range(count)]


def record_about(subject: bytes, type_: str, time_ms: int = 1_750_000_000_000) -> Logregel:
    """A record of a trace of its own."""
    return Logregel(
        trace_id=new_id(16),
        span_id=new_id(8),
        name="x",
        start_time_ms=time_ms,
        end_time_ms=time_ms,
        processing_activity_id=ACTIVITY,
        data_subject_id=subject,
        data_subject_id_type=type_,
    )


def components(links: Iterable[tuple[int, int]]) -> list[set[int]]:
    """What numbers belong together, by merging sets."""
    sets = [{number} for number in range(NUMBERS)]
    for one, other in links:
        first = next(each for each in sets if one in each)
        second = next(each for each in sets if other in each)
        if first is not second:
            sets.remove(second)
            first |= second
    return sets


@hypothesis_settings(
    max_examples=examples(15), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    pairs=st.lists(st.tuples(st.integers(0, NUMBERS - 1), st.integers(0, NUMBERS - 1), st.booleans()), max_size=8),
)
def test_the_numbers_of_a_person_are_those_that_links_in_force_reach(
    client: LogboekClient, pairs: list[tuple[int, int, bool]]
) -> None:
    """Chains, circles and stars, from whichever number is asked; a link that was ended leads nowhere."""
    numbers = people(NUMBERS)
    for one, other, is_ended in pairs:
        link = stored(client, [numbers[one]], [numbers[other]])
        if is_ended:
            end_link(client, link)
    for together in components((one, other) for one, other, is_ended in pairs if not is_ended):
        for number in together:
            found = person_of(client, [numbers[number]]).subjects
            assert set(found) == {numbers[each] for each in together}
            assert len(found) == len(together)


def test_every_question_about_a_person_finds_all_numbers(sink: ClickHouseSink, client: LogboekClient) -> None:
    """Pages in both directions, counts, and the search of the read API; from the first number and from the last."""
    a, b, c, other = people(4)
    records = [record_about(subject, type_) for subject, type_ in ((a, "A-nummer"), (b, "BSN"), (c, "BSN"))]
    sink.send(number_batch(new_writer_id(), 0, [*records, record_about(other, "BSN")]))
    stored(client, [a], [b])
    stored(client, [b], [c])
    expected = {record.trace_id for record in records}
    for asked in (a, c):
        pages = [
            read.by_subject(client, [asked]),
            read.latest_by_subject(client, [asked]),
            read.search(client, RecordQuery(subjects=(asked,))),
            read.search(client, RecordQuery(subjects=(asked,), activity=ACTIVITY)),
        ]
        for page in pages:
            assert {record.logregel.trace_id for record in page.records} == expected
        assert [used.logregels for used in read.activities_of_subject(client, [asked])] == [3]
    # Nothing of the records changed: each has the pseudonym that it was made with.
    (row,) = read.by_trace(client, records[0].trace_id.hex())
    assert row.logregel == records[0]


def test_pages_over_several_numbers_are_the_whole_without_doubles(sink: ClickHouseSink, client: LogboekClient) -> None:
    """The links are followed anew for each page, and the cursor stays right."""
    a, b = people(2)
    records = [record_about((a, b)[number % 2], "BSN", 1_750_000_000_000 + number * 3_600_000) for number in range(7)]
    sink.send(number_batch(new_writer_id(), 0, records))
    stored(client, [a], [b])
    seen, after = [], None
    while True:
        page = read.by_subject(client, [b], PageLimits(after=after, limit=2))
        seen += [record.logregel.trace_id for record in page.records]
        after = page.following
        if after is None:
            break
    assert seen == [record.trace_id for record in records]


def test_a_type_is_that_of_the_number_in_the_question(sink: ClickHouseSink, client: LogboekClient) -> None:
    """Who asks for a BSN of type BSN is shown records under the temporary number as well, which has another type."""
    temporary, bsn = people(2)
    records = [record_about(temporary, "A-nummer"), record_about(bsn, "BSN"), record_about(bsn, "KVK")]
    sink.send(number_batch(new_writer_id(), 0, records))
    query = RecordQuery(subjects=(bsn,), subject_type="BSN")
    assert len(read.search(client, query).records) == 1
    stored(client, [temporary], [bsn])
    found = {record.logregel.trace_id for record in read.search(client, query).records}
    assert found == {records[0].trace_id, records[1].trace_id}


def test_a_link_holds_over_several_keys(client: LogboekClient) -> None:
    """Each pseudonym of either number leads to all of both."""
    former, present = people(2), people(2)
    stored(client, former, present, keys=["old", "new"])
    for asked in (*former, *present):
        person = person_of(client, [asked])
        assert set(person.subjects) == {*former, *present}
        assert person.lacking(["old", "new"]) == ()


def test_a_key_that_came_later_is_named_until_the_link_is_made_again(client: LogboekClient) -> None:
    """Under it the other number is not known, so records may be missing."""
    (a1, a2), (b1, b2), (c1, c2) = people(2), people(2), people(2)
    stored(client, [a1], [b1], keys=["k1"])
    assert person_of(client, [b1, b2]).lacking(["k1", "k2"]) == ("k2",)
    assert a2 not in person_of(client, [b1, b2]).subjects
    stored(client, [b1, b2], [a1, a2], keys=["k1", "k2"])  # the other way round is the same pair
    person = person_of(client, [b1, b2])
    assert person.lacking(["k1", "k2"]) == ()
    assert a2 in person.subjects
    # Another pair with the new key does not make up for one without it.
    stored(client, [a1], [c1], keys=["k1"])
    assert person_of(client, [b1, b2]).lacking(["k1", "k2"]) == ("k2",)
    assert c2 not in person_of(client, [b1, b2]).subjects


def test_a_link_holds_from_its_date_on(client: LogboekClient) -> None:
    """One that lies ahead leads nowhere yet."""
    a, b, c = people(3)
    stored(client, [a], [b], holds_from_ms=now_ms() - 1_000)
    stored(client, [b], [c], holds_from_ms=now_ms() + 3_600_000)
    assert set(person_of(client, [a]).subjects) == {a, b}
    assert person_of(client, [c]).subjects == (c,)


def test_an_ended_link_is_remembered(client: LogboekClient) -> None:
    """It is in the list and in the view, with its times; ending it does not touch another."""
    a, b, c = people(3)
    wrong, right = stored(client, [a], [b]), stored(client, [b], [c])
    end_link(client, wrong)
    assert person_of(client, [a]).subjects == (a,)
    assert set(person_of(client, [b]).subjects) == {b, c}
    ended = {link.id: link.ended_ms is not None for link in all_links(client) if link.id in {wrong.id, right.id}}
    assert ended == {wrong.id: True, right.id: False}
    shown = client.rows(
        Sql("SELECT state, former, present, ended IS NULL FROM koppelingen WHERE link_id = {link:UUID}"),
        {"link": wrong.id},
    )
    assert shown == [("ended", [a.hex()], [b.hex()], 0)]
    # Again after it was ended, a link is a new one.
    stored(client, [a], [b])
    assert set(person_of(client, [a]).subjects) == {a, b, c}


@pytest.mark.parametrize("link_id", ["", "x", "123456782", str(uuid.UUID(int=1)), "' OR 1"])
def test_a_link_that_is_not_there_cannot_be_ended(client: LogboekClient, link_id: str) -> None:
    """And what was typed in its place is not repeated: it may be a number of somebody."""
    with pytest.raises(QueryError) as caught:
        link_with(client, link_id)
    assert not link_id or link_id not in str(caught.value)


def test_a_chain_has_a_bound_and_says_so(client: LogboekClient) -> None:
    """As long as it may be it is followed to the end; what is longer is an error and no part of an answer."""
    numbers = people(MAX_LINKS + 2)
    for one, other in itertools.pairwise(numbers[:-1]):
        stored(client, [one], [other])
    assert set(person_of(client, [numbers[0]]).subjects) == set(numbers[:-1])
    stored(client, [numbers[-2]], [numbers[-1]])
    with pytest.raises(QueryError, match="ldv subject list"):
        person_of(client, [numbers[0]])
