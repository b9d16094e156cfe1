"""For users' own tests: a Logboek in memory, and a clock that is set by hand.

from ldv_otel import testing

def test_logs_the_owner() -> None:
    with testing.logboek() as logboek:
        change_number_plate("123456782", "AB-123-C")
    logboek.assert_logged("Change number plate", about="123456782")
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from opentelemetry import propagate, trace
from opentelemetry.sdk.trace import TracerProvider

from ldv_otel._internal.config.variables import DeliveryLevel, StrayBsn, TraceChoice
from ldv_otel._internal.delivery.batch import Batch, new_writer_id, number_batch
from ldv_otel._internal.delivery.conformance import check_sink
from ldv_otel._internal.delivery.level import EndedActie
from ldv_otel._internal.delivery.sink import Sink, SinkTraits
from ldv_otel._internal.delivery.spool.write_ahead import ActieStart
from ldv_otel._internal.delivery.stats import DeliveryStats
from ldv_otel._internal.delivery.write_gates import GatedSink, stray_bsn_in
from ldv_otel._internal.doors import publish as _publish
from ldv_otel._internal.parties.parties import read_parties
from ldv_otel._internal.privacy.pseudonyms import Key, KeyRing, Pseudonymiser
from ldv_otel._internal.privacy.stray_numbers import StrayNumbers
from ldv_otel._internal.record.actie import LogregelMaker
from ldv_otel._internal.record.logregel import Logregel, Status, decode_logregel
from ldv_otel._internal.rules.rules import read_rules
from ldv_otel._internal.sdk import _private
from ldv_otel._internal.sdk.extensions import load_extensions
from ldv_otel._internal.sdk.install import installation
from ldv_otel._internal.sdk.processor import LdvSpanProcessor
from ldv_otel._internal.sdk.propagator import use_propagator
from ldv_otel._internal.sdk.seen_spans import SeeingProcessor, SeenSpan, sentence_about_seen
from ldv_otel._internal.sdk.span_rules import SpanMapper
from ldv_otel._internal.sdk.span_state import LiveSpan
from ldv_otel._internal.sdk.takeover import take_over_below, taken_over
from ldv_otel._internal.sdk.tenant_context import set_tenant_names
from ldv_otel.errors import BatchRefused, ConfigurationError, LogboekUnavailable

__all__ = ["InMemoryLogboek", "ManualClock", "check_sink", "logboek"]

_TEST_KEY: Final = Key(id="testing", secret="for tests only: not a secret at all")  # noqa: S106  (says so itself)


class InMemoryLogboek:
    """A `Sink` that keeps batches in memory and deduplicates by token, as the real ones do.

    Args:
        traits: As of the sink that it stands in for.

    Attributes:
        failures: Errors for the coming calls of `send`, first in first out; what fails stores nothing.
    """

    def __init__(self, pseudonymiser: Pseudonymiser | None = None, *, traits: SinkTraits | None = None) -> None:
        self.traits = traits or SinkTraits()
        self.failures: list[Exception] = []
        self._pseudonymiser = pseudonymiser or Pseudonymiser(KeyRing([_TEST_KEY], active=_TEST_KEY.id))
        self._seen: Callable[[], Sequence[SeenSpan]] = tuple
        self._batches: dict[str, Batch] = {}
        self._open = False

    @property
    def logregels(self) -> list[Logregel]:
        """Everything stored, in the order of arrival."""
        return [logregel for batch in self._batches.values() for logregel in batch.logregels]

    def show_spans(self, seen: Callable[[], Sequence[SeenSpan]]) -> None:
        """Let a failing assertion show the spans that made no Logregel."""
        self._seen = seen

    def pseudonym(self, identifier: object, *, type: str) -> bytes:  # the public API's word
        """Return what `data_subject_id` is for this person."""
        return self._pseudonymiser.subject(identifier, type).pseudonym

    def about(self, identifier: object, *, type: str = "BSN") -> list[Logregel]:
        """Return what is stored about a person, in the order of arrival."""
        pseudonym = self.pseudonym(identifier, type=type)
        return [logregel for logregel in self.logregels if logregel.data_subject_id == pseudonym]

    def assert_logged(
        self,
        name: str | None = None,
        *,
        activity: str | None = None,
        about: object = None,
        type: str = "BSN",
        status: Status | None = None,
    ) -> Logregel:
        """Return the one Logregel that has all that is asked for.

        Args:
            name: Of the Actie.
            activity: Its processing activity.
            about: The identifier of its data subject, of type `type`.
            status: `ldv_otel.Status`.

        Raises:
            AssertionError: None or several have; the text says what was asked for, what was logged, by names,
                activities and pseudonyms, and why the nearest other span is no Actie.
        """
        wanted = {
            "name": name,
            "processing_activity_id": activity,
            "data_subject_id": None if about is None else self.pseudonym(about, type=type),
            "status": status,
        }
        asked = {field: value for field, value in wanted.items() if value is not None}
        logregels = self.logregels
        fitting = [each for each in logregels if all(getattr(each, field) == value for field, value in asked.items())]
        if len(fitting) == 1:
            return fitting[0]
        question = " and ".join(f"{field} {_shown(value)}" for field, value in asked.items()) or "anything"
        stored = "".join(f"\n  {_sentence(each)}" for each in logregels) or " nothing."
        seen = self._seen()
        if not logregels and not seen:
            stored += (
                " And no span ended: a test is not started by `ldv run`. Let it instrument the application before it "
                "imports that, or run `ldv run pytest` (docs/start/testing.md)."
            )
        raise AssertionError(
            f"{len(fitting) or 'No'} Logregel{'s have' if len(fitting) > 1 else ' has'} {question}, where one should. "
            f"Logged:{stored}" + ("" if fitting else sentence_about_seen(seen, name))
        )

    def __repr__(self) -> str:
        """Show how much there is, and the last of it."""
        logregels = self.logregels
        last = f", the last: {_sentence(logregels[-1])}" if logregels else ""
        return f"<InMemoryLogboek with {len(logregels)} Logregels{last}>"

    def open(self) -> None:
        """Be ready to take batches."""
        self._open = True

    def send(self, batch: Batch) -> None:
        """Store a batch once, however often it is sent, unless a failure was ordered."""
        if not self._open:
            raise ConfigurationError("The in-memory Logboek was not opened. Call open() first.")
        if self.failures:
            raise self.failures.pop(0)
        self._batches.setdefault(batch.token, batch)

    def read_back(self, batch: Batch) -> frozenset[int]:
        """Return which sequence numbers of this batch are stored."""
        if not self._open:
            raise ConfigurationError("The in-memory Logboek was not opened. Call open() first.")
        stored = {seq for held in self._batches.values() if held.writer_id == batch.writer_id for seq in held.seqs}
        return frozenset(stored & set(batch.seqs))

    def close(self) -> None:
        """Keep everything, but take no more."""
        self._open = False


def _shown(value: object) -> str:
    return f"{value.hex()[:12]}..." if isinstance(value, bytes) else getattr(value, "label", None) or repr(value)


def _sentence(logregel: Logregel) -> str:
    """Return a Logregel in a few words, without anything that could name a person."""
    subject = f", about {_shown(logregel.data_subject_id)}" if logregel.data_subject_id else ", about nobody"
    activity = logregel.processing_activity_id or "no activity"
    return f"{logregel.name!r} ({activity}{subject}, {logregel.status.label})"


class ManualClock:
    """A clock that stands still until it is advanced; pass it where a `clock` is asked for."""

    def __init__(self, *, time_ms: int = 1_750_000_000_000) -> None:
        self._time_ms = time_ms
        self._elapsed_seconds = 0.0

    def monotonic(self) -> float:
        """Return the seconds advanced so far."""
        return self._elapsed_seconds

    def time_ms(self) -> int:
        """Return the time in ms since 1970-01-01 UTC."""
        return self._time_ms + round(self._elapsed_seconds * 1_000)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._elapsed_seconds += seconds

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Let the time pass at once, and say whether the event is there."""
        self.advance(seconds)
        return event.is_set()


class _AtOnce:
    """Delivery without a queue: a record is in the Logboek when its Actie has ended."""

    def __init__(self, logboek: InMemoryLogboek, *, stray_bsn: StrayBsn = "redact") -> None:
        self._logboek = logboek
        self._sink: Sink = GatedSink(logboek, stray_bsn_in) if stray_bsn == "refuse" else logboek
        self._writer_id = new_writer_id()
        self.confirmed = 0

    blocks = False

    def stats(self) -> DeliveryStats:
        return DeliveryStats(confirmed=self.confirmed)

    def submit(self, logregel: Logregel, level: DeliveryLevel | None = None) -> None:
        del level
        try:
            self._sink.send(number_batch(self._writer_id, self.confirmed, [logregel]))
        except BatchRefused as error:
            # As level `confirmed` says it.
            raise LogboekUnavailable(str(error), in_doubt=False) from error
        self.confirmed += 1

    def submit_encoded(
        self, payloads: Sequence[bytes], level: DeliveryLevel | None = None, *, ended: bytes = b""
    ) -> None:
        del ended
        for logregel in map(decode_logregel, payloads):
            self.submit(logregel, level)

    def commits_together(self, level: DeliveryLevel | None) -> bool:
        del level
        return False

    def commit_together(self, acties: Sequence[EndedActie]) -> None:
        for actie in acties:
            self.submit_encoded(actie.payloads)

    def writes_ahead(self, level: DeliveryLevel | None) -> bool:
        del level
        return False

    def begin(self, start: ActieStart, *, more: bool = False) -> None:
        """Keep nothing: a test is not killed."""

    def flush(self, timeout_seconds: float, *, patient: bool = True) -> bool:
        del timeout_seconds, patient
        return True

    def shutdown(self, timeout_seconds: float, *, last_words: bool = False) -> bool:
        del timeout_seconds, last_words
        self._logboek.close()
        return True


class _AnyTransaction:
    """Lets code name its session or connection (`processing(..., outbox=session)`), and logs without it."""

    run_waiting: Callable[..., Awaitable[object]] | None = None

    def enter(self, live_span: LiveSpan, named: object) -> None:
        """Belong to no transaction."""
        del live_span, named

    def waits_at_end(self, live_span: LiveSpan) -> None:
        """Wait for nothing."""
        del live_span

    def check_waits(self, live_span: LiveSpan) -> None:
        """Find nothing amiss."""
        del live_span

    def hand_over(self, records: Sequence[Logregel], live_span: LiveSpan) -> Sequence[Logregel]:
        """Return all."""
        del live_span
        return records


class _AnyTenant:
    """Lets code name any tenant (`ldv_otel.tenant`), and logs all in one Logboek."""

    def has(self, tenant_id: str) -> bool:
        """Say yes."""
        return bool(tenant_id)


@contextmanager
def logboek(  # noqa: PLR0913  (each is a setting that a test may need)
    *,
    pseudonymous_types: Iterable[str] = (),
    exception_messages: bool = False,
    rules: Path | None = None,
    parties: Path | None = None,
    unknown_callers: TraceChoice | None = None,
    stray_bsn: StrayBsn = "redact",
    stray_bsn_except: Iterable[str] = (),
    status_of: Iterable[str] = (),
) -> Iterator[InMemoryLogboek]:
    """Log into memory for the length of a `with` block, through the whole SDK side, with nothing to configure.

    The application's tracer provider is used, whether it is set before or meanwhile. This takes the place of
    `install()`: what that set up before steps aside, and a call of it meanwhile sets up nothing, so that no record of a
    test reaches a real Logboek. `LDV_` variables are not read. An Actie that names a session or connection
    (`processing(..., outbox=session)`) is logged at its end, without its transaction.
    Code may name any tenant (`ldv_otel.tenant`); all of them log here.

    Args:
        pseudonymous_types: As `LDV_PSEUDONYMOUS_TYPES`.
        exception_messages: As `LDV_EXCEPTION_MESSAGES`.
        rules: As `LDV_RULES`.
        parties: As `LDV_PARTIES`.
        unknown_callers: As `LDV_UNKNOWN_CALLERS`.
        stray_bsn: As `LDV_STRAY_BSN`; with `refuse`, the end of `processing` raises as at level `confirmed`.
        stray_bsn_except: As `LDV_STRAY_BSN_EXCEPT`.
        status_of: As `LDV_STATUS_OF`.

    Raises:
        ConfigurationError: A file cannot be used, or the tracer provider is not one of the OpenTelemetry SDK.
    """
    pseudonymiser = Pseudonymiser(KeyRing([_TEST_KEY], active=_TEST_KEY.id), pseudonymous_types)
    memory = InMemoryLogboek(pseudonymiser)
    memory.open()
    stray = StrayNumbers(stray_bsn, stray_bsn_except)
    maker = LogregelMaker(pseudonymiser.subject, exception_messages=exception_messages, stray=stray)
    mapper = SpanMapper(read_rules(rules) if rules is not None else None, maker.pseudonymise)
    around = read_parties(parties, unknown_callers)
    extensions = load_extensions(around)
    delivery = _AtOnce(memory, stray_bsn=stray_bsn)
    processor = SeeingProcessor(
        maker, delivery, mapper=mapper, parties=around, extensions=extensions, status_of=status_of
    )
    processor.outboxes = _AnyTransaction()
    memory.show_spans(processor.seen)
    provider = _provider()
    propagator = propagate.get_global_textmap()
    use_propagator(around, extensions)
    names = set_tenant_names(_AnyTenant())
    try:
        with taken_over(processor, provider, installation()):
            yield memory
    finally:
        set_tenant_names(names)
        propagate.set_global_textmap(propagator)
        processor.shutdown()


@functools.cache
def log_in_background() -> None:
    """Log what no test looks at into memory that is forgotten, to the end of the process; for the pytest plugin."""
    pseudonymiser = Pseudonymiser(KeyRing([_TEST_KEY], active=_TEST_KEY.id))
    processor = LdvSpanProcessor(LogregelMaker(pseudonymiser.subject), _Nowhere(InMemoryLogboek(pseudonymiser)))
    processor.outboxes = _AnyTransaction()
    take_over_below(processor, _provider())
    use_propagator(processor.parties, processor.extensions)
    set_tenant_names(_AnyTenant())


class _Nowhere(_AtOnce):
    """Delivery that forgets what it is given: tests run for long, and nobody asks for it."""

    def submit(self, logregel: Logregel, level: DeliveryLevel | None = None) -> None:
        del logregel, level


def _provider() -> TracerProvider:
    if _private.current_provider() is None:
        trace.set_tracer_provider(_private.StandInProvider(shutdown_on_exit=False))
    provider = _private.sdk_provider(_private.current_provider())
    if provider is None:
        raise ConfigurationError("The tracer provider is not one of the OpenTelemetry SDK. Set that one in the test.")
    return provider


_publish(__name__, __all__, globals())
