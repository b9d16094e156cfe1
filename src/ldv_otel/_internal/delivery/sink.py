"""The Sink: what delivery needs of a Logboek, whatever is behind it, and how one is made from `LDV_LOGBOEK`."""

from __future__ import annotations

from typing import Final, Protocol, runtime_checkable

import msgspec

from ldv_otel._internal.config.entry_points import check_members, entry_points_of, load_factory
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import Batch
from ldv_otel._internal.delivery.stats import SealState
from ldv_otel.errors import ConfigurationError

ENTRY_POINT_GROUP: Final = "ldv_otel_sink"
_METHODS: Final = ("open", "send", "read_back", "close")


class SinkTraits(msgspec.Struct, frozen=True, kw_only=True):
    """What delivery has to know of a sink before it opens it.

    Attributes:
        batch_records: How many records the sink wants in a batch at most. ClickHouse wants thousands: an insert costs
            it as much as hundreds of rows.
        cheap_read_back: Whether a read-back costs next to nothing. If not, delivery asks only for batches that a dead
            process had frozen, and after a send without a clear answer.
        extension: Name of an extension (entry point group `ldv_otel_extension`) that is on in every service that logs
            to this sink; empty for none.
        in_process: Whether its store runs in this process, with threads of its own: a process that ends in the middle
            of a call to it may crash, so that the end waits for the call longer than for a server.
    """

    batch_records: int = 5_000
    cheap_read_back: bool = True
    extension: str = ""
    in_process: bool = False

    def __post_init__(self) -> None:
        """Refuse a batch without records."""
        if self.batch_records < 1:
            raise ValueError("A sink has to take at least one record in a batch.")


@runtime_checkable
class Sink(Protocol):
    """A sink stores batches and can say what it stored.

    Who does what: delivery makes the sink, calls `open` before anything else and `close` at the end, all from one
    thread at a time, and never in a process forked from the one that opened it. Delivery retries; a sink never does so
    by itself, never drops a row, and never splits a batch into several blocks. A sink may be told to store the same
    batch again, token and all, and has to make that harmless as far as its store can; what it cannot promise, delivery
    finds out by reading back.

    `ldv_otel.testing.check_sink` runs the conformance suite of this protocol.

    Attributes:
        traits: What delivery has to know before it opens the sink; they never change.
    """

    @property
    def traits(self) -> SinkTraits: ...

    def open(self) -> None:
        """Reach the Logboek and check that it can be written to; opening an open sink changes nothing.

        Raises:
            ConfigurationError: It will never work like this: wrong address, rights, tables or settings.
            LogboekUnavailable: Not now; opening again later may work.
        """

    def send(self, batch: Batch) -> None:
        """Store a batch; returning means that the Logboek confirmed every row (LDV-L2).

        Raises:
            LogboekUnavailable: Not confirmed. With `in_doubt`, rows may be stored all the same.
            NotProven: It was answered with success, and nothing shows that the Logboek said so of this batch.
            BatchRefused: The Logboek will never take it; nothing of it is stored.
            BatchTooLarge: It will not take so much at a time; nothing of it is stored.
            ConfigurationError: As for `open`.
        """

    def read_back(self, batch: Batch) -> frozenset[int]:
        """Return the sequence numbers of the batch whose rows can be read in the Logboek now.

        Raises:
            LogboekUnavailable: No answer, or one that is not shown to be the Logboek's to this question.
            ConfigurationError: As for `open`.
        """

    def close(self) -> None:
        """Close connections and files; closing twice is harmless, and `open` opens the sink again."""


@runtime_checkable
class SealingSink(Protocol):
    """A sink that seals what it stores; it may say how at any time, from any thread."""

    @property
    def seal_state(self) -> SealState: ...


def seal_state_of(sink: Sink) -> SealState:
    """Return how a sink seals; nothing of one that does not."""
    return sink.seal_state if isinstance(sink, SealingSink) else SealState()


def make_sink(settings: Settings) -> Sink:
    """Return the sink for the scheme of `LDV_LOGBOEK`, not opened yet.

    Schemes are entry points of the group `ldv_otel_sink`, so that the ClickHouse driver is imported only where it is
    used, and other packages can add places to log to.

    Raises:
        ConfigurationError: No installed package knows the scheme, or what it made is no sink.
    """
    schemes = entry_points_of(ENTRY_POINT_GROUP)
    point = schemes.get(settings.logboek.scheme)
    if point is None:
        raise ConfigurationError(
            f"LDV_LOGBOEK has the scheme {settings.logboek.scheme!r}, which nothing installed here understands. "
            f"Logging did not start. Known: {', '.join(sorted(schemes)) or 'none; is ldv-otel installed?'}."
        )
    sink: Sink = load_factory(point)(settings)
    check_members(point, sink, "Sink", _METHODS, traits=SinkTraits)
    return sink
