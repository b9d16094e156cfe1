"""What a command puts on record before it does or shows something: it goes on only when the Logboek confirmed that."""

from __future__ import annotations

import getpass
import os
from collections.abc import Sequence
from typing import Final

from ldv_otel._internal.api.pages.officer.access_record import officer_access
from ldv_otel._internal.clickhouse.sink import open_sink
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.delivery.retry import RetryPolicy, deliver, sleep
from ldv_otel._internal.delivery.write_gates import gated
from ldv_otel._internal.privacy.pseudonyms import Pseudonymiser
from ldv_otel._internal.privacy.stray_numbers import stray_numbers
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel.errors import ConfigurationError, LogboekUnavailable, QueryError

#: Somebody waits, and can run the command again.
_POLICY: Final = RetryPolicy(waits_out=(LogboekUnavailable,), patience_seconds=30.0)


def store_confirmed(settings: Settings, records: Sequence[Logregel]) -> None:
    """Store the records of what is done, before it is done.

    Raises:
        LdvError: They are not all confirmed, so nothing may be done.
    """
    sink = gated(open_sink(settings), settings)
    sink.open()
    try:
        most, writer_id = sink.traits.batch_records, new_writer_id()
        for at in range(0, len(records), most):
            batch = number_batch(writer_id, at, records[at : at + most])
            for part in deliver(batch, sink, wait=sleep, policy=_POLICY, split=lambda _: ()):
                if part.refused is not None:
                    raise part.refused
    finally:
        sink.close()


def oversight_activity(settings: Settings) -> str:
    """Return the activity under which it is on record that somebody looked.

    Raises:
        ConfigurationError: There is none.
    """
    if not settings.toezicht_activity:
        raise ConfigurationError(
            "LDV_TOEZICHT_ACTIVITY is not set. Nothing was read or written. Let it name the Verwerkingsactiviteit in "
            "the Register under which it is recorded that somebody looked at a person's records."
        )
    return settings.toezicht_activity


def user_name() -> str:
    """Return who runs the command, as this machine knows them."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container may have no name for its user
        return f"user {os.geteuid()}"


def record_access(
    settings: Settings, pseudonymiser: Pseudonymiser, identifier: str, type_: str, reason: str | None
) -> tuple[tuple[bytes, ...], str]:
    """Put on record that somebody looks at a person's records, as the page for officers does.

    Returns:
        The person's pseudonyms, and the trace of that record as hexadecimal digits.

    Raises:
        QueryError: There is no reason, or the identifier cannot be one; nothing is on record.
        LdvError: It is not confirmed, so nothing may be shown.
    """
    activity = oversight_activity(settings)
    # `ask_identifier` has warned of a BSN that fails its test.
    form = {
        "nummer": identifier.strip(),
        "soort": pseudonymiser.normal_type(type_),
        "reden": reason or "",
        "toch": "ja",
    }
    access = officer_access(form, pseudonymiser, stray_numbers(settings))
    if isinstance(access, dict):
        problems = {
            "reden": "--reason has to say why, in a sentence of at least 10 characters without numbers of others",
            "nummer": "the identifier cannot be right",
            "soort": "--type names no type of identifier",
        }
        raise QueryError(f"{'; '.join(problems[field] for field in access)}. Nothing was read or written.")
    record = access.logregel(activity, user_name(), pseudonymiser, service="ldv")
    store_confirmed(settings, [record])
    return access.pseudonyms, record.trace_id.hex()
