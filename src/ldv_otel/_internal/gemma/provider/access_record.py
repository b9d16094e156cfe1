"""A question to the register is a processing of personal data itself, and is logged before it is answered (PR-07)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from starlette.requests import Request

from ldv_otel._internal.gemma import model
from ldv_otel._internal.gemma.consumer.doelbinding import activity_uuid
from ldv_otel._internal.gemma.provider.dependencies import provider_of
from ldv_otel._internal.gemma.provider.requests import DoelbindingHeaders, Person, caller_of
from ldv_otel._version import __version__


async def log_question(request: Request, persons: Iterable[Person], doelbinding: DoelbindingHeaders, what: str) -> None:
    """Log a question under our own Verwerkingsactiviteit (GW-13, GW-14, GI-13).

    Args:
        persons: Whom the answer tells about.
        what: What is asked for, for citizens.

    Raises:
        LdvError: It is not logged; nothing may be answered.
    """
    provider = provider_of(request)
    activity = provider.activity
    actie = model.Verwerkingsactie(
        actie_naam=f"Opvragen {what}",
        verwerking_naam="Verantwoorden van verwerkingen",
        verwerkingsactiviteit_id=activity_uuid(activity) or None,
        verwerkingsactiviteit_url=activity,
        vertrouwelijkheid=doelbinding.vertrouwelijkheid,
        bewaartermijn=doelbinding.bewaartermijn,
        systeem=f"ldv_otel {__version__}",
        soort_afnemer_id="OIN" if doelbinding.oin else "",
        afnemer_id=doelbinding.oin,
        verwerkingsactiviteit_id_afnemer=doelbinding.activity_id,
        verwerkingsactiviteit_url_afnemer=doelbinding.activity_url,
        verwerking_id_afnemer=doelbinding.verwerking_id,
        tijdstip=datetime.now(UTC).isoformat(timespec="milliseconds"),
        verwerkte_objecten=tuple(
            model.VerwerktObject(
                objecttype="persoon",
                soort_object_id=person.soort_object_id,
                object_id=person.object_id,
                verwerkte_soorten_gegevens=(model.VerwerktSoortGegeven("Verwerkingsacties"),),
            )
            for person in persons
        ),
    )
    await provider.acties.log(actie, caller_of(request))
