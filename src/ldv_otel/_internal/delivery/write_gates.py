"""The gates before any Logboek: records that a setting asks to refuse are set apart, and never lost.

`LDV_STRAY_BSN=refuse` refuses those in which a BSN stood that nobody named (LDV-N14), `LDV_REGISTER_CHECK=refuse` those
of an activity that the Register does not have (LDV-N15). They are refused as data, as a Logboek would: quarantined
where there is a spool, an error for the caller at level `confirmed` and for a client of GEMMA, a problem in the report
of an import, a counted loss at level `memory`. Nothing raw is kept of a BSN: it was replaced when the record was made.
An activity is looked up when the record is sent, so what was quarantined can be sent once the Register has it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING

from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import Batch
from ldv_otel._internal.delivery.sink import Sink
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel.attributes import Flag
from ldv_otel.errors import BatchRefused

if TYPE_CHECKING:
    from ldv_otel._internal.register.known_activities import KnownActivities


class GatedSink:
    """A sink that takes no record which `refuses` names a reason against, and gives all others to another sink.

    Args:
        refuses: Returns why a record is refused, and empty text for one that is taken.
    """

    def __init__(self, inner: Sink, refuses: Callable[[Logregel], str]) -> None:
        self._inner = inner
        self._refuses = refuses
        self.traits = inner.traits
        self.open, self.read_back, self.close = inner.open, inner.read_back, inner.close

    def send(self, batch: Batch) -> None:
        """Store a batch as the other sink does.

        Raises:
            BatchRefused: A record in it is refused; nothing of it was stored.
        """
        for record in batch.logregels:
            if reason := self._refuses(record):
                # It is in the record itself: no table that somebody repairs takes it.
                raise BatchRefused(reason, certain=True)
        self._inner.send(batch)


def stray_bsn_in(record: Logregel) -> str:
    """Return why a record with a stray BSN is refused; empty for others."""
    if Flag.STRAY_BSN not in record.flags:
        return ""
    return (
        "A BSN stood in a text of a record that nobody named as its data subject, and LDV_STRAY_BSN=refuse: it was not "
        "stored. Name the data subject, or let LDV_STRAY_BSN_EXCEPT name the attribute."
    )


def unknown_activity_of(activities: KnownActivities, record: Logregel) -> str:
    """Return why a record is refused whose activity the Register does not have; empty for others."""
    activity = record.processing_activity_id
    if not activity or activities.knows(activity):
        return ""
    return (
        "The Register does not have the processing activity of a record, and LDV_REGISTER_CHECK=refuse: it was not "
        "stored. Add the activity to the Register, then send what is in quarantine again."
    )


def reasons_to_refuse(
    settings: Settings, quiet: Callable[[], AbstractContextManager[None]] = nullcontext
) -> Callable[[Logregel], str] | None:
    """Return what says why a record is refused (empty text: it is not); None where the settings refuse nothing.

    Raises:
        ConfigurationError: The Register, against which they ask to check, cannot be used.
    """
    gates: list[Callable[[Logregel], str]] = []
    if settings.stray_bsn == "refuse":
        gates.append(stray_bsn_in)
    if settings.register_check == "refuse":
        from ldv_otel._internal.register.known_activities import known_activities  # few services have this gate

        if (activities := known_activities(settings, quiet)) is not None:
            gates.append(partial(unknown_activity_of, activities))
    if not gates:
        return None
    return lambda record: next(filter(None, (gate(record) for gate in gates)), "")


def gated(sink: Sink, settings: Settings, quiet: Callable[[], AbstractContextManager[None]] = nullcontext) -> Sink:
    """Return the sink, behind the gates that the settings ask for.

    Raises:
        ConfigurationError: As `reasons_to_refuse`.
    """
    refuses = reasons_to_refuse(settings, quiet)
    return GatedSink(sink, refuses) if refuses is not None else sink
