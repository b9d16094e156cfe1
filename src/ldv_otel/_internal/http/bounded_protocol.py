"""HTTP/1.1 connections that wait for nobody without end. It imports uvicorn, an extra: imported late itself."""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Container
from typing import Any, ClassVar, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

_IPV6: Final = 6


class BoundedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, closing connections whose client does not get on with it.

    uvicorn takes a class and makes the instances itself, so the bounds are attributes of a class (`bounded`).
    """

    #: The most time for the head of a request, in seconds. Counted from its first byte: uvicorn's own timer would begin
    #: anew with each byte of a client that sends slowly on purpose.
    head_seconds = 10.0
    #: The longest pause within the body of a request.
    silence_seconds = 30.0
    #: The longest time in which a client takes nothing of an answer.
    stall_seconds = 60.0

    #: The most connections of one address at a time, before anybody is known; 0 for no such limit. An IPv6 client has a
    #: network of 64 bits to itself, so that counts as one address.
    connections_per_address = 0
    #: Addresses without that limit: proxies, behind which there are many clients.
    unlimited: Container[str] = frozenset()
    #: How many connections each address has open now; one count for each server.
    open_by_address: ClassVar[Counter[str]] = Counter()

    _address = ""
    _is_refused = False
    _head_timer: asyncio.TimerHandle | None = None
    _silence_timer: asyncio.TimerHandle | None = None
    _stall_timer: asyncio.TimerHandle | None = None

    @classmethod
    def bounded(cls, **bounds: Any) -> type[BoundedProtocol]:
        """Return this class with other bounds, by their names."""
        return type(cls.__name__, (cls,), {**bounds, "open_by_address": Counter()})

    def connection_made(self, transport: Any) -> None:
        """Wait for the head of the first request; of an address that has too many connections take no more."""
        if not self._is_admitted(transport):
            # Before uvicorn counts it: otherwise one client could use up the connections of all.
            self._is_refused = True
            transport.abort()
            return
        super().connection_made(transport)
        self._wait_for_head()

    def _is_admitted(self, transport: Any) -> bool:
        peer = transport.get_extra_info("peername")
        if not self.connections_per_address or not isinstance(peer, tuple):
            return True
        address = ipaddress.ip_address(peer[0].partition("%")[0])
        if str(address) in self.unlimited:
            return True
        key = str(ipaddress.ip_network((address, 64), strict=False)) if address.version == _IPV6 else str(address)
        if self.open_by_address[key] >= self.connections_per_address:
            return False
        self._address = key
        self.open_by_address[key] += 1
        return True

    def data_received(self, data: bytes) -> None:
        """Take what came, and wait for what is still missing."""
        if self._is_refused:
            return
        super().data_received(data)
        if self._silence_timer is not None:
            self._silence_timer.cancel()
            self._silence_timer = None
        if self.cycle is None or self.cycle.response_complete:
            self._wait_for_head()
            return
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        if self.cycle.more_body:
            self._wait_for_body()

    def pause_writing(self) -> None:
        """Wait for the client to take what was sent."""
        super().pause_writing()
        if self._stall_timer is None:
            # Not `close`, which would wait for the client too.
            self._stall_timer = self.loop.call_later(self.stall_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on; the client took something."""
        super().resume_writing()
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        if self._is_refused:
            return
        if self._address:
            self.open_by_address[self._address] -= 1
            if not self.open_by_address[self._address]:
                del self.open_by_address[self._address]
            self._address = ""
        for timer in (self._head_timer, self._silence_timer, self._stall_timer):
            if timer is not None:
                timer.cancel()
        self._head_timer = self._silence_timer = self._stall_timer = None
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_seconds, self.transport.close)

    def _wait_for_body(self) -> None:
        self._silence_timer = self.loop.call_later(self.silence_seconds, self._end_silence)

    def _end_silence(self) -> None:
        self._silence_timer = None
        if self.flow.read_paused:
            # It is this side that does not read on.
            self._wait_for_body()
            return
        self.transport.close()
