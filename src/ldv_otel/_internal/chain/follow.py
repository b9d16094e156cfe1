"""Following a chain: ask this Logboek, then each party that a record names, and so on, within limits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from ldv_otel._internal.chain.model import Chain, Party, PartyState, Place, linked
from ldv_otel._internal.chain.remote import Remotes, api_base
from ldv_otel._internal.chain.source import PartyFailed, Records, Source
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel.errors import ConfigurationError

_logger = logging.getLogger(__name__)

#: The most parties that are asked, traces that are asked for, and records that are kept.
MAX_PARTIES: Final = 25
MAX_PLACES: Final = 100
MAX_LOGREGELS: Final = 5_000

HERE: Final = 0
_MAX_NAMED: Final = 200
_NOBODY: Final = -1

_LATE: Final = PartyFailed(PartyState.UNREACHABLE, "no answer in time")

_Ask = Callable[[bytes], Awaitable[Records]]


async def follow(trace_id: bytes, here: Source, remotes: Remotes, *, own_url: str = "", seconds: float = 20.0) -> Chain:
    """Return a trace over organisations.

    Asked are this Logboek and the parties of `remotes` that records name as called (`dpl.read.externalReadAPI_id`)
    or as caller (`dpl.core.foreign_operation.processor`). A party is asked once for a trace, so that parties that name
    one another come to an end. What cannot be asked is in the answer as such.

    Args:
        own_url: This Logboek's own read API, as others name it.
        seconds: The most time; what has not answered by then is unreachable.

    Raises:
        LdvError: This Logboek cannot be read.
    """
    following = _Following(here, remotes, own_url)
    deadline = asyncio.get_running_loop().time() + seconds
    wave = following.wanted(HERE, trace_id)
    while wave:
        wave = await following.asked(wave, deadline)
    return following.chain(trace_id)


class _Following:
    """What is known so far."""

    def __init__(self, here: Source, remotes: Remotes, own_url: str) -> None:
        self._remotes = remotes
        self._by_processor = {processor: api.url for api in remotes.apis.values() for processor in api.processors}
        self._parties = [Party(url="", state=PartyState.HERE)]
        self._sources: dict[int, Source] = {HERE: here}
        self._numbers = {api_base(own_url): HERE} if own_url else {}
        self._places: set[Place] = set()
        self._asked_by: dict[Place, tuple[int, Logregel]] = {}
        self._found: dict[tuple[int, bytes, bytes], tuple[int, Logregel]] = {}
        self._answered: set[int] = set()
        self._limited = False

    def wanted(self, party: int, trace_id: bytes, by: tuple[int, Logregel] | None = None) -> list[Place]:
        """Return what to ask a party, if it can be and was not asked yet."""
        place = (party, trace_id)
        if by is not None:
            self._asked_by.setdefault(place, by)
        if place in self._places or party not in self._sources:
            return []
        if len(self._places) >= MAX_PLACES:
            self._limited = True
            return []
        self._places.add(place)
        return [place]

    async def asked(self, wave: Sequence[Place], deadline: float) -> list[Place]:
        """Ask all of these at once; return what to ask next."""
        questions = [
            (place, asks_trace, source.of_trace if asks_trace else source.for_foreign_trace)
            for place in wave
            for source in (self._sources[place[0]],)
            for asks_trace in (True, False)
        ]
        tasks = [asyncio.ensure_future(self._one(place[1], ask)) for place, _, ask in questions]
        left = deadline - asyncio.get_running_loop().time()
        _, late = await asyncio.wait(tasks, timeout=max(left, 0))
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        following = []
        for (place, asks_trace, _), task in zip(questions, tasks, strict=True):
            answer = _LATE if task in late else task.result()
            if isinstance(answer, PartyFailed):
                self._failed(place[0], answer)
                continue
            if asks_trace:
                self._answered.add(place[0])
            following += self._taken(place, answer)
        return following

    @staticmethod
    async def _one(trace_id: bytes, ask: _Ask) -> Records | PartyFailed:
        try:
            return await ask(trace_id)
        except PartyFailed as failure:
            return failure

    def _taken(self, place: Place, answer: Records) -> list[Place]:
        party, trace_id = place
        if not answer.complete:
            self._parties[party].complete = False
        following = []
        for record in answer.logregels:
            key = (party, record.trace_id, record.span_id)
            if key in self._found:
                continue
            if len(self._found) >= MAX_LOGREGELS:
                self._limited = True
                break
            self._found[key] = (party, record)
            if record.trace_id != trace_id:
                # Done for the trace that was asked for, in one of the party's own: that one goes on there.
                asked_by = self._asked_by.get(place)
                following += self.wanted(party, record.trace_id, asked_by)
            following += self._named(party, record)
        return following

    def _named(self, party: int, record: Logregel) -> list[Place]:
        """Return what to ask the parties that a record names."""
        following = []
        if record.external_read_api_id:
            called = self._number(record.external_read_api_id)
            following += self.wanted(called, record.trace_id, (party, record))
        caller = self._by_processor.get(record.foreign_operation_processor)
        if caller is not None:
            following += self.wanted(self._number(caller), record.foreign_operation_trace_id or record.trace_id)
        return following

    def _number(self, url: str) -> int:
        base = api_base(url)
        if base not in self._numbers:
            if len(self._parties) > _MAX_NAMED:
                self._limited = True
                return _NOBODY
            self._numbers[base] = len(self._parties)
            self._parties.append(self._party(base, url))
        return self._numbers[base]

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
            _logger.error("%s", error)
            detail = "our credentials for it cannot be used"
            return Party(url=url, name=api.name, state=PartyState.REFUSED, detail=detail, complete=False)
        return Party(url=url, name=api.name, state=PartyState.REACHED)

    def _failed(self, party: int, failure: PartyFailed) -> None:
        known = self._parties[party]
        known.detail, known.complete = failure.detail, False
        if known.state == PartyState.REACHED:
            known.state = failure.state

    def chain(self, trace_id: bytes) -> Chain:
        """Return what was found."""
        for party in self._answered - {HERE}:
            # One that told of one trace and then not of another was reached, and is incomplete.
            self._parties[party].state = PartyState.REACHED
        return Chain(
            trace_id=trace_id,
            parties=self._parties,
            logregels=linked(self._found.values(), self._asked_by),
            complete=not self._limited and all(party.complete for party in self._parties),
        )
