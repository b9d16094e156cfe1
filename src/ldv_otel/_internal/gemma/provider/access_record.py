"""The record of access to the register: a query is a processing of personal data itself, and logged first (PR-07)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from starlette.requests import Request

from ldv_otel._internal.gemma import model
from ldv_otel._internal.gemma.consumer.doelbinding import activity_uuid
from ldv_otel._internal.gemma.provider.dependencies import provider_of
from ldv_otel._internal.gemma.provider.requests import DoelbindingHeaders, Person, calling_span_of
from ldv_otel._version import __version__


async def log_access(request: Request, persons: Iterable[Person], doelbinding: DoelbindingHeaders, what: str) -> None:
    """Log a query under our own Verwerkingsactiviteit, before anything is answered (GW-13, GW-14, GI-13).

    Args:
        persons: The persons that the answer is about.
        what: The kind of resource that the client asks for, in words for citizens.

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
        # About each person, so that all of them find the access when they ask for their own data (PR-07).
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
    await provider.repository.log(actie, calling_span_of(request))


async def log_access_to_version(
    request: Request, version: model.Version, doelbinding: DoelbindingHeaders, what: str
) -> None:
    """Log access to one Verwerkingsactie, for the persons whose objects it has; see `log_access`.

    Which persons a query by id is about is known only when the record has been read; no data leaves before this
    (IR-04).
    """
    persons = [Person(each.soort_object_id, each.object_id) for each in version.actie.verwerkte_objecten]
    await log_access(request, persons, doelbinding, what)
