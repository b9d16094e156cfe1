"""The Verwerkingsacties in the Logboek: written as versions, never changed, and read as their last version (1.8)."""

from __future__ import annotations

import asyncio
import logging
import secrets
import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

import ldv_otel.attributes as names
from ldv_otel._internal.api.store_reader import StoreReader
from ldv_otel._internal.api.store_writer import StoreWriter
from ldv_otel._internal.clickhouse.columns import StoredLogregel
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.queries.models import PageLimits
from ldv_otel._internal.clickhouse.queries.versions import record_with
from ldv_otel._internal.clickhouse.register_table import confidential_activities
from ldv_otel._internal.gemma import model
from ldv_otel._internal.gemma.conversion import (
    VerwerkingsactieMapper,
    derived_actie_id,
    is_version,
    object_id,
    trace_of,
)
from ldv_otel._internal.gemma.provider.requests import VerwerkingsactiesQuery
from ldv_otel._internal.gemma.provider.validation import invalid
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.times.instants import (
    ms_from_datetime,
    now_us,
    us_from_ms,
    within_record_time,
)
from ldv_otel.errors import BatchRefused

_logger = logging.getLogger(__name__)

_PAGE_RECORDS: Final = 2_000
_OBJECT_ID: Final = "gemma.verwerkt_object_id"


class VerwerkingsactieRepository:
    """Stores and finds Verwerkingsacties, and shows the Logregels of other applications as such (section 6).

    Args:
        gebruiker: Whether `gebruiker` is kept (PR-06).

    Attributes:
        changes: Held from reading a version until the one that replaces it is stored, so that changes of one actie that
            come at the same time follow one another. It orders those of this process only.
    """

    def __init__(
        self, reader: StoreReader, writer: StoreWriter, mapper: VerwerkingsactieMapper, *, gebruiker: bool = True
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._mapper = mapper
        self._gebruiker = gebruiker
        self.changes = asyncio.Lock()

    async def log(self, actie: model.Verwerkingsactie, caller: model.CallingSpan | None) -> model.Version:
        """Store a new Verwerkingsactie; returning means that it is safe (GW-12).

        Raises:
            LdvError: It is not.
        """
        # The trace of its Verwerking goes before that of the call: acties of one Verwerking are found by one trace id.
        if actie.verwerking_id:
            trace_id = trace_of(actie.verwerking_id)
        else:
            trace_id = caller.trace_id if caller else secrets.token_bytes(16)
        version = model.Version(
            actie=self._kept(actie, trace_id),
            actie_id=model.new_id(trace_id),
            record_id=str(uuid.uuid4()),
            trace_id=trace_id,
            registered_us=now_us(),
            ever_confidential=actie.vertrouwelijkheid == "vertrouwelijk",
            caller=caller,
        )
        await self._store([version])
        return version

    async def replace(
        self, before: model.Version, actie: model.Verwerkingsactie, *, vervallen: bool = False
    ) -> model.Version:
        """Store the version of an actie that comes after one; for use with `changes` held."""
        (version,) = await self.replace_all([(before, actie)], vervallen=vervallen)
        return version

    async def replace_all(
        self, changed: Iterable[tuple[model.Version, model.Verwerkingsactie]], *, vervallen: bool = False
    ) -> list[model.Version]:
        """Store the versions that come after several acties as one batch; see `replace`."""
        pairs = [(before, self._after(before, actie, vervallen=vervallen)) for before, actie in changed]
        moved = [version for before, after in pairs for version in _left_behind(before, after)]
        await self._store([*(after for _, after in pairs), *moved])
        return [after for _, after in pairs]

    async def with_id(self, actie_id: str) -> model.Version | None:
        """Return an actie with all its objects; None when it is unknown, vervallen or past its term."""
        if model.is_derived(actie_id):
            natives = await self._natives(actie_id)
            records = [record for record in natives if derived_actie_id(record.logregel) == actie_id]
        else:
            records = await self._reader.ask(read.by_record, actie_id)
        return next(iter(await self._versions(records)), None)

    async def with_object(self, verwerkt_object_id: str) -> model.Version | None:
        """Return the actie that has an object, with that object only; None as for `with_id`."""
        if model.is_derived(verwerkt_object_id):
            candidates = await self._natives(verwerkt_object_id)
        else:
            # The id begins with 4 bytes of its trace, so that only records of those traces are read.
            prefix = bytes.fromhex(verwerkt_object_id[:8])
            actie_id = await self._reader.ask(record_with, prefix, _OBJECT_ID, verwerkt_object_id)
            candidates = await self._reader.ask(read.by_record, actie_id) if actie_id else []
        records = [record for record in candidates if object_id(record.logregel) == verwerkt_object_id]
        return next(iter(await self._versions(records)), None)

    async def of_verwerking(self, verwerking_id: str) -> list[model.Version]:
        """Return the acties of a Verwerking with all their objects."""
        records = await self._reader.ask(read.by_trace, trace_of(verwerking_id).hex())
        versions = await self._versions(records)
        return [each for each in versions if (each.actie.verwerking_id or "").lower() == verwerking_id.lower()]

    async def about(self, query: VerwerkingsactiesQuery, *, confidential: bool) -> list[model.Version]:
        """Return the acties about the person of a query, each with that person's objects only, the newest first.

        Args:
            confidential: Whether to return also those that are `vertrouwelijk` or `opgeheven`, or ever were
                `vertrouwelijk` (D-07); the caller chooses from them.
        """
        person = query.person
        subjects = self._mapper.candidates(person.object_id, person.soort_object_id)
        pages = self._reader.pages(read.by_subject, subjects, limits=_limits(query), confidential=confidential)
        records = [record async for page in pages for record in page.records]
        # The table compares times of records, which are within limits; the query is about those of acties, which may
        # not be.
        versions = [each for each in await self._versions(records) if _meets(each, query)]
        return sorted(versions, key=lambda each: (-each.actie.tijdstip_ms, each.actie_id))

    async def _store(self, versions: Sequence[model.Version]) -> None:
        records: list[Logregel] = []
        for version in versions:
            records += self._mapper.logregels(version)
        try:
            await self._writer.write(records)
        except BatchRefused as error:
            # Its sentence is ours and quotes nothing; the same request will never be taken.
            _logger.error("%s", str(error))
            raise invalid("body", "Het Logboek neemt deze gegevens zo niet aan.", code="refused") from None

    def _kept(self, actie: model.Verwerkingsactie, trace_id: bytes) -> model.Verwerkingsactie:
        """Return an actie without `gebruiker`, where that is not kept, and with ids for objects that have none."""
        objects = tuple(
            each
            if each.verwerkt_object_id
            else msgspec.structs.replace(each, verwerkt_object_id=model.new_id(trace_id))
            for each in actie.verwerkte_objecten
        )
        changed: dict[str, Any] = {"verwerkte_objecten": objects}
        if not self._gebruiker:
            changed["gebruiker"] = ""
        return msgspec.structs.replace(actie, **changed)

    def _after(self, before: model.Version, actie: model.Verwerkingsactie, *, vervallen: bool) -> model.Version:
        verwerking_id = actie.verwerking_id
        moved = verwerking_id is not None and verwerking_id != before.actie.verwerking_id
        trace_id = trace_of(verwerking_id) if verwerking_id and moved else before.trace_id
        return msgspec.structs.replace(
            before,
            actie=self._kept(actie, trace_id),
            record_id=str(uuid.uuid4()),
            trace_id=trace_id,
            # The highest is the last version, so it grows also where the clock was set back between two changes.
            registered_us=max(now_us(), before.registered_us + 1),
            vervallen=vervallen,
            ever_confidential=before.ever_confidential or actie.vertrouwelijkheid == "vertrouwelijk",
        )

    async def _natives(self, id_: str) -> list[StoredLogregel]:
        """Return the Logregels that were not written through the Bewerking API and may have this derived id.

        An id begins with the first 4 bytes of its trace id, so only those traces are searched.
        """
        return await self._reader.ask(read.by_attribute, bytes.fromhex(id_[:8]), names.VERSION_OF, "")

    async def _versions(self, records: Sequence[StoredLogregel]) -> list[model.Version]:
        by_actie: defaultdict[object, list[Logregel]] = defaultdict(list)
        for stored in records:
            record = stored.logregel
            by_actie[record.attributes.get(names.VERSION_OF) or (record.trace_id, record.span_id)].append(record)
        versions = [self._mapper.version(of_actie) for of_actie in by_actie.values()]
        # A Verwerkingsactie says itself whether it is confidential; of a Logregel of others the Register does.
        if all(is_version(stored.logregel) for stored in records):
            return versions
        hidden = await self._reader.ask(confidential_activities)
        return [
            _by_register(version, of_actie[0], hidden)
            for version, of_actie in zip(versions, by_actie.values(), strict=True)
        ]


def _by_register(version: model.Version, record: Logregel, hidden: frozenset[str]) -> model.Version:
    """Return a Logregel of others with the confidentiality that the Register gives it."""
    if not version.native or record.processing_activity_id not in hidden:
        return version
    return msgspec.structs.replace(
        version, actie=msgspec.structs.replace(version.actie, vertrouwelijkheid="vertrouwelijk")
    )


def _left_behind(before: model.Version, after: model.Version) -> list[model.Version]:
    """Return the version, about nobody, that an actie leaves in its trace when it moves to another one.

    Readers of the old trace would else go on to see the version before as the last one.
    """
    if after.trace_id == before.trace_id:
        return []
    # Without objects: in the old trace nobody is to be found in it any more.
    nobody = msgspec.structs.replace(after.actie, verwerkte_objecten=())
    return [
        msgspec.structs.replace(after, actie=nobody, trace_id=before.trace_id, vervallen=True, moved_to=after.trace_id)
    ]


def _limits(query: VerwerkingsactiesQuery) -> PageLimits:
    """Return the first page of a period.

    An actie outside the times that a record can have is stored at the nearest of those, so the ends of the period are
    moved there too; `_meets` then compares the actie's own time.
    """
    return PageLimits(
        since_ms=None if query.begin is None else within_record_time(ms_from_datetime(query.begin)),
        until_ms=None if query.end is None else within_record_time(ms_from_datetime(query.end) - 1) + 1,
        limit=_PAGE_RECORDS,
    )


def _meets(version: model.Version, query: VerwerkingsactiesQuery) -> bool:
    began_ms = version.actie.tijdstip_ms
    is_later = began_ms >= query.moment_ms and version.registered_us >= us_from_ms(query.moment_ms)
    return (
        (query.begin is None or ms_from_datetime(query.begin) <= began_ms)
        and (query.end is None or began_ms < ms_from_datetime(query.end))
        and query.activity in {"", (version.actie.verwerkingsactiviteit_id or "").lower()}
        and not is_later
    )
