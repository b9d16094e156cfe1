"""The Sink: what delivery needs from a Logboek, whatever is behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, runtime_checkable

from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import Batch
from ldv_otel.errors import ConfigurationError

_ENTRY_POINT_GROUP: Final = "ldv_otel_sink"


@runtime_checkable
class Sink(Protocol):
    """A place that stores batches and can say what it stored.

    Who does what: delivery makes the sink, calls `open` once before anything else and `close` once at the end, all
    from one thread at a time, and never in a process forked from the one that opened it. Delivery retries; a sink
    never does so by itself, never drops a row, and never splits a batch into several blocks. A sink may be told to
    store the same batch again, token and all, and has to make that harmless as far as its store can; what it cannot
    promise, delivery finds out by reading back.

    A sink may also have `batch_records`, how many records it wants at once; `asked_sparingly`, true where reading back
    costs so much that what a process left counts as never sent unless it noted that it was going to; and `extension`,
    the name of an extension (`ldv_otel_extension`) that services that log to it have.
    """

    def open(self) -> None:
        """Reach the Logboek and check that it can be written to.

        Raises:
            ConfigurationError: It will never work like this: wrong address, rights, tables or settings.
            LogboekUnavailable: Not now; opening again later may work.
        """

    def send(self, batch: Batch) -> None:
        """Store a batch; returning means that the Logboek confirmed every row (LDV-L2).

        Raises:
            LogboekUnavailable: Not confirmed. With `in_doubt`, rows may be stored all the same.
            BatchRefused: The Logboek will never take it; nothing of it is stored.
            ConfigurationError: As for `open`.
        """

    def read_back(self, batch: Batch) -> frozenset[int]:
        """Return the sequence numbers of the batch whose rows can be read in the Logboek now.

        Raises:
            LogboekUnavailable: No answer.
            ConfigurationError: As for `open`.
        """

    def close(self) -> None:
        """Let go of connections and files; closing twice is harmless."""


def make_sink(settings: Settings) -> Sink:
    """Return the sink for the scheme of `LDV_LOGBOEK`, not opened yet.

    Schemes are entry points of the group `ldv_otel_sink`, so that the ClickHouse driver is imported only where it is
    used, and other packages can add places to log to.

    Raises:
        ConfigurationError: No installed package knows the scheme.
    """
    from importlib.metadata import entry_points  # noqa: PLC0415  (10 ms that only a process with a Logboek pays)

    schemes = {point.name: point for point in entry_points(group=_ENTRY_POINT_GROUP)}
    point = schemes.get(settings.logboek.scheme)
    if point is None:
        raise ConfigurationError(
            f"LDV_LOGBOEK has the scheme {settings.logboek.scheme!r}, which nothing installed here understands. "
            f"Logging did not start. Known: {', '.join(sorted(schemes)) or 'none; is ldv-otel installed?'}."
        )
    factory: Callable[[Settings], Sink] = point.load()
    return factory(settings)
