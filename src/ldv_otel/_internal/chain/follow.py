"""Following a chain: ask this Logboek, then each party that a record names, and so on, within limits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from ldv_otel._internal.chain.model import Chain, ChainQuery, Party, PartyState, linked
from ldv_otel._internal.chain.remote import Remotes
from ldv_otel._internal.chain.source import PartyFailed, RecordSource, SourceAnswer
from ldv_otel._internal.parties.read_api_paths import api_base
from ldv_otel._internal.record.identity import content_key
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel.errors import ConfigurationError

_logger = logging.getLogger(__name__)

#: Limits of one chain: parties of another organisation decide how far it goes, and somebody waits for the answer.
MAX_PARTIES: Final = 25
MAX_QUERIES: Final = 100
MAX_LOGREGELS: Final = 5_000
_MAX_NAMED: Final = 200

#: Indexes in `Chain.parties`: of this Logboek, and of a party beyond the limit, which is not in it.
_THIS_LOGBOEK: Final = 0
_NO_PARTY: Final = -1

_LATE: Final = PartyFailed(PartyState.UNREACHABLE, "no answer in time")


async def follow(
    trace_id: bytes, logboek: RecordSource, remotes: Remotes, *, own_url: str = "", seconds: float = 20.0
) -> Chain:
    """Return a trace over organisations.

    Asked are this Logboek and the parties of `remotes` that records name as called (`dpl.read.nextLogbookId`)
    or as caller (`dpl.core.foreign_operation.processor`). A party is asked once for a trace, so that parties that name
    one another come to an end. A party that cannot be asked is in the answer with the reason.

    Args:
        logboek: The records of this Logboek.
        own_url: This Logboek's own read API, as others name it.
        seconds: The most time; what has not answered by then is unreachable.

    Raises:
        LdvError: This Logboek cannot be read.
    """
    collector = _ChainCollector(logboek, remotes, own_url)
    deadline = asyncio.get_running_loop().time() + seconds
    queries = collector.new_queries(_THIS_LOGBOEK, trace_id)
    while queries:
        queries = await collector.run(queries, deadline)
    return collector.chain(trace_id)


class _Request(msgspec.Struct, frozen=True):
    """One of the two requests of a query: records of the trace, or those on behalf of it in other traces."""

    query: ChainQuery
    ask: Callable[[bytes], Awaitable[SourceAnswer]]
    for_trace: bool

    async def answer(self) -> SourceAnswer | PartyFailed:
        try:
            return await self.ask(self.query.trace_id)
        except PartyFailed as failure:
            return failure


class _ChainCollector:
    """Collects records and parties until no record names another one to ask."""

    def __init__(self, logboek: RecordSource, remotes: Remotes, own_url: str) -> None:
        self._remotes = remotes
        self._by_processor = {processor: api.url for api in remotes.apis.values() for processor in api.processors}
        self._parties = [Party(url="", state=PartyState.THIS_LOGBOEK)]
        self._sources: dict[int, RecordSource] = {_THIS_LOGBOEK: logboek}
        self._indexes = {api_base(own_url): _THIS_LOGBOEK} if own_url else {}
        self._queries: set[ChainQuery] = set()
        self._asked_by: dict[ChainQuery, tuple[int, Logregel]] = {}
        # By all that a record says, because a party gives the same one in answer to two queries; not by its ids, which
        # callers choose: two records that have the same are both in the chain.
        self._records: dict[tuple[int, bytes], tuple[int, Logregel]] = {}
        self._answered: set[int] = set()
        self._limited = False

    def new_queries(self, party: int, trace_id: bytes, by: tuple[int, Logregel] | None = None) -> list[ChainQuery]:
        """Return the query for a trace of a party, unless the party cannot be asked or was asked for it before.

        Args:
            by: The record that names the party, with its own party.
        """
        query = ChainQuery(party, trace_id)
        if by is not None:
            self._asked_by.setdefault(query, by)
        if query in self._queries or party not in self._sources:
            return []
        if len(self._queries) >= MAX_QUERIES:
            self._limited = True
            return []
        self._queries.add(query)
        return [query]

    async def run(self, queries: Sequence[ChainQuery], deadline: float) -> list[ChainQuery]:
        """Ask all of these at once; return the queries that their answers lead to."""
        requests = [
            _Request(query, source.of_trace if for_trace else source.for_foreign_trace, for_trace)
            for query in queries
            for source in (self._sources[query.party],)
            for for_trace in (True, False)
        ]
        tasks = [asyncio.ensure_future(request.answer()) for request in requests]
        left = deadline - asyncio.get_running_loop().time()
        _, late = await asyncio.wait(tasks, timeout=max(left, 0))
        for task in late:
            task.cancel()
        # Wait for the cancellations: each request gives its connection back then, and the next chain may need it.
        await asyncio.gather(*late, return_exceptions=True)
        following = []
        for request, task in zip(requests, tasks, strict=True):
            answer = _LATE if task in late else task.result()
            if isinstance(answer, PartyFailed):
                self._note_failure(request.query.party, answer)
                continue
            if request.for_trace:
                self._answered.add(request.query.party)
            following += self._add(request.query, answer)
        return following

    def _add(self, query: ChainQuery, answer: SourceAnswer) -> list[ChainQuery]:
        """Keep the records of an answer; return the queries that they lead to."""
        if not answer.complete:
            self._parties[query.party].complete = False
        following = []
        for record in answer.logregels:
            key = (query.party, content_key(record))
            if key in self._records:
                continue
            if len(self._records) >= MAX_LOGREGELS:
                self._limited = True
                break
            self._records[key] = (query.party, record)
            if record.trace_id != query.trace_id:
                # Done for the trace of the query, in one of the party's own: the chain goes on in that one.
                following += self.new_queries(query.party, record.trace_id, self._asked_by.get(query))
            following += self._named(query.party, record)
        return following

    def _named(self, party: int, record: Logregel) -> list[ChainQuery]:
        """Return the queries for the parties that a record names."""
        following = []
        if record.external_read_api_id:
            called = self._index(record.external_read_api_id)
            following += self.new_queries(called, record.trace_id, (party, record))
        caller = self._by_processor.get(record.foreign_operation_processor)
        if caller is not None:
            following += self.new_queries(self._index(caller), record.foreign_operation_trace_id or record.trace_id)
        return following

    def _index(self, url: str) -> int:
        """Return the index of the party with this read API, adding it when no record named it before."""
        base = api_base(url)
        if base not in self._indexes:
            if len(self._parties) > _MAX_NAMED:
                self._limited = True
                return _NO_PARTY
            self._indexes[base] = len(self._parties)
            self._parties.append(self._party(base, url))
        return self._indexes[base]

    def _party(self, base: str, url: str) -> Party:
        api = self._remotes.apis.get(base)
        if api is None:
            return Party(url=url, state=PartyState.NOT_CONFIGURED, complete=False)
        if not api.offered:
            return Party(url=url, name=api.name, state=PartyState.NO_API, complete=False)
        if len(self._sources) > MAX_PARTIES:
            self._limited = True
            return Party(
                url=url, name=api.name, state=PartyState.UNREACHABLE, detail="too many parties", complete=False
            )
        try:
            self._sources[len(self._parties)] = self._remotes.open(base)
        except ConfigurationError as error:
            _logger.error("%s", str(error))
            detail = "our credentials for it cannot be used"
            return Party(url=url, name=api.name, state=PartyState.REFUSED, detail=detail, complete=False)
        return Party(url=url, name=api.name, state=PartyState.REACHED)

    def _note_failure(self, index: int, failure: PartyFailed) -> None:
        party = self._parties[index]
        party.detail, party.complete = failure.detail, False
        if party.state == PartyState.REACHED:
            party.state = failure.state

    def chain(self, trace_id: bytes) -> Chain:
        """Return the parties with all their records."""
        for index in self._answered - {_THIS_LOGBOEK}:
            # A party that answered for one trace and not for another was reached, and is incomplete.
            self._parties[index].state = PartyState.REACHED
        return Chain(
            trace_id=trace_id,
            parties=self._parties,
            logregels=linked(self._records.values(), self._asked_by),
            complete=not self._limited and all(party.complete for party in self._parties),
        )
