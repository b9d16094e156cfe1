"""A processor for each tenant: its own keys, delivery and Logboek, made when its first span begins."""

from __future__ import annotations

import copy
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from ldv_otel._internal.config.logboeken import QUARANTINE, SHARED_KEY, LogboekenFile, LogboekEntry
from ldv_otel._internal.config.settings import Settings, tenant_settings
from ldv_otel._internal.delivery.durable import DurableDelivery
from ldv_otel._internal.delivery.level import Delivery
from ldv_otel._internal.delivery.repeated_line import RepeatedLine
from ldv_otel._internal.delivery.sink import Sink, make_sink
from ldv_otel._internal.delivery.write_gates import gated
from ldv_otel._internal.parties.parties import Parties
from ldv_otel._internal.privacy.pseudonyms import KeyRing, Pseudonymiser
from ldv_otel._internal.record.actie import LogregelMaker
from ldv_otel._internal.record.builder import flagged
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.sdk._private import uninstrumented
from ldv_otel._internal.sdk.extensions import Extensions, load_extensions
from ldv_otel._internal.sdk.processor import LdvSpanProcessor, register_check
from ldv_otel._internal.sdk.span_rules import mapper_for
from ldv_otel._internal.sdk.span_state import LiveSpan
from ldv_otel.attributes import Flag
from ldv_otel.errors import ConfigurationError, LogboekUnavailable

P = TypeVar("P", bound=LdvSpanProcessor)

_logger = logging.getLogger(__name__)

_NOTHING_SAID: Final = (
    "Nothing says whose this processing is, and the file of LDV_LOGBOEKEN has no default. The block was not entered "
    "and nothing was logged. Enter ldv_otel.tenant(...) around it, or give that file a rule or a default."
)
_CONTRADICTED: Final = (
    "What says whose this processing is cannot be followed: it names a tenant that the file of LDV_LOGBOEKEN does not "
    "have, or names two, or another than that of the Actie around it. The block was not entered and nothing was logged."
)
_NO_PLACE: Final = (
    "The Logboek of this tenant cannot be used here, and the log says why. The block was not entered and nothing was "
    "logged."
)


class QuarantineProcessor(LdvSpanProcessor):
    """Logs spans of which it cannot be told whose they are, each with a flag; a `processing` is refused."""

    def records_so_far(self, live_span: LiveSpan) -> Sequence[Logregel]:
        """Return the records of a span that runs, flagged."""
        return [flagged(record, Flag.TENANT_UNKNOWN) for record in super().records_so_far(live_span)]

    def _hand_over(self, records: Sequence[Logregel], live_span: LiveSpan) -> None:
        super()._hand_over([flagged(record, Flag.TENANT_UNKNOWN) for record in records], live_span)

    def refusing(self, reason: str, *, decided: bool) -> QuarantineProcessor:
        """Return this one with the reason for which a `processing` is refused."""
        other = copy.copy(self)
        other.refusal, other.tenant_decided = reason, decided
        return other


class TenantProcessors:
    """The processors of all tenants, each made when it is first needed.

    Args:
        common: What the Logboeken have in common.
        file: Their file.
        rings: The keys of each, by id.
        parties: Shared by all.
        delivery_for: Makes the delivery of one, from its settings and its sink.

    Attributes:
        quarantine: Made at once, so that a spool that cannot be had shows at the start.
        unnamed: Takes spans of which nothing was said: of the default tenant, or the quarantine.
        contradicted: Takes spans of which something was said that cannot be followed.

    Raises:
        ConfigurationError: The settings cannot work.
    """

    def __init__(
        self,
        common: Settings,
        file: LogboekenFile,
        rings: Mapping[str, KeyRing],
        parties: Parties,
        delivery_for: Callable[[Settings, Sink], Delivery],
    ) -> None:
        _check_registers(common, file)
        self._common = common
        self._file = file
        #: Tenants that are gone from the file, each with the last one that has it.
        self._gone: dict[str, LogboekenFile] = {}
        self._rings = dict(rings)
        self._parties = parties
        self._delivery_for = delivery_for
        self._extensions: dict[str, Extensions] = {}
        self._mapper = mapper_for(common, Pseudonymiser(rings[QUARANTINE], common.pseudonymous_types).subject)
        #: A lock for each process: an inherited one may be held by a thread that does not exist here.
        self._locks: dict[int, threading.RLock] = {}
        self._made: dict[str, LdvSpanProcessor] = {}
        self._unusable = RepeatedLine(_logger, logging.ERROR)
        quarantine = self._make(QUARANTINE, QuarantineProcessor)
        self.quarantine = quarantine
        self.contradicted = quarantine.refusing(_CONTRADICTED, decided=True)
        self._no_place = quarantine.refusing(_NO_PLACE, decided=True)
        self.unnamed: LdvSpanProcessor = self._unnamed()

    def _unnamed(self) -> LdvSpanProcessor:
        if not self._file.content.default:
            return self.quarantine.refusing(_NOTHING_SAID, decided=False)
        # One that is no decision: what is inside may say more.
        unnamed = copy.copy(self.of(self._file.content.default))
        unnamed.tenant_decided = False
        return unnamed

    def take_over(self, file: LogboekenFile, rings: Mapping[str, KeyRing]) -> None:
        """Have the tenants of another file.

        Raises:
            ConfigurationError: It cannot be followed while this process runs; nothing has changed.
        """
        _check_registers(self._common, file)
        if file.content.quarantine != self._file.content.quarantine:
            raise ConfigurationError(
                f"{file.place_of(QUARANTINE)}: the quarantine is another one; that needs a restart."
            )
        for tenant in file.content.tenants:
            before = self._file_of(tenant.id).tenant(tenant.id)
            # By what it has been logging with: a spool that is half one key's and half another's helps nobody.
            if before is not None and _place_of(before) != _place_of(tenant):
                raise ConfigurationError(
                    f"{file.place_of(tenant.id)}: {tenant.id} has another address, key file, spool or Register than "
                    "before, or other files; that needs a restart."
                )
        self._check_keys(file, rings)
        with self._locks.setdefault(os.getpid(), threading.RLock()):
            for tenant in self._file.content.tenants:
                if file.tenant(tenant.id) is None:
                    self._gone[tenant.id] = self._file
            for tenant in file.content.tenants:
                self._gone.pop(tenant.id, None)
            # Those that were there keep the keys that they were read with, as with one Logboek.
            self._rings = {**rings, **self._rings}
            self._file = file
            self.unnamed = self._unnamed()

    def _check_keys(self, file: LogboekenFile, rings: Mapping[str, KeyRing]) -> None:
        """Refuse a key that comes with one tenant and that this process logs with for another; files say no more."""
        holders = {key.secret: holder for holder, ring in self._rings.items() for key in ring.keys.values()}
        for tenant in file.content.tenants:
            if tenant.id in self._rings:
                continue
            for key in rings[tenant.id].keys.values():
                holder = holders.get(key.secret)
                if holder is None:
                    continue
                entry = self._file_of(holder).tenant(holder)
                if not (tenant.shared_key and entry is not None and entry.shared_key):
                    raise ConfigurationError(
                        f"{file.place_of(tenant.id)}: {tenant.id} has a key that {holder} logs with in this process. "
                        f"{SHARED_KEY}."
                    )

    def _file_of(self, tenant_id: str) -> LogboekenFile:
        return self._gone.get(tenant_id, self._file)

    def of(self, tenant_id: str) -> LdvSpanProcessor:
        """Return the processor of a tenant of the file."""
        made = self._made.get(tenant_id)
        if made is not None:
            return made
        with self._locks.setdefault(os.getpid(), threading.RLock()):
            made = self._made.get(tenant_id)
            if made is None:
                try:
                    made = self._make(tenant_id, LdvSpanProcessor)
                except ConfigurationError as error:
                    # Not kept: an administrator may put it right. Until then nothing is lost, or in another's Logboek.
                    self._unusable.log("The Logboek of tenant %s cannot be used. %s", tenant_id, str(error))
                    return self._no_place
                self._made[tenant_id] = made
            return made

    def all(self) -> dict[str, LdvSpanProcessor]:
        """Return those that were made, by the id of their tenant; with the quarantine."""
        return {QUARANTINE: self.quarantine, **self._made.copy()}

    def send_left(self, tenant_id: str) -> None:
        """Send what dead processes have left for a tenant."""
        delivery = self.of(tenant_id).delivery
        try:
            if isinstance(delivery, DurableDelivery):
                delivery.resume()
        except LogboekUnavailable as error:
            self._unusable.log("What was left for tenant %s cannot be sent now. %s", tenant_id, str(error))

    def logboek_of(self, tenant_id: str) -> str:
        """Return the address of a tenant's Logboek, or of the quarantine, as it is shown."""
        file = self._file_of(tenant_id)
        return str((file.tenant(tenant_id) or file.content.quarantine).address)

    def _make(self, tenant_id: str, type_: type[P]) -> P:
        file = self._file_of(tenant_id)
        if tenant_id != QUARANTINE and file.tenant(tenant_id) is None:
            # Settings of a tenant that nobody has would be those of the quarantine.
            raise ConfigurationError("No file of LDV_LOGBOEKEN has this tenant.")
        settings = tenant_settings(self._common, file, tenant_id)
        sink = gated(make_sink(settings), settings, uninstrumented)
        extension = sink.traits.extension
        if extension not in self._extensions:
            self._extensions[extension] = load_extensions(self._parties, extension)
        pseudonymise = Pseudonymiser(self._rings[tenant_id], settings.pseudonymous_types).subject
        maker = LogregelMaker.from_settings(settings, pseudonymise)
        maker.knows = register_check(settings)
        processor = type_(
            maker,
            self._delivery_for(settings, sink),
            flush_seconds=settings.flush_seconds,
            mapper=self._mapper.for_keys(pseudonymise),
            parties=self._parties,
            extensions=self._extensions[extension],
            expose_subject=settings.expose_subject == "pseudonym",
            status_of=settings.status_of,
        )
        if tenant_id != QUARANTINE:
            processor.tenant, processor.tenant_decided = tenant_id, True
        return processor


def _check_registers(common: Settings, file: LogboekenFile) -> None:
    entries = [file.content.quarantine, *file.content.tenants]
    if common.register_check != "off" and any("://" in (entry.register or common.register) for entry in entries):
        raise ConfigurationError(
            "LDV_REGISTER_CHECK checks activities while they are logged, and a Register of LDV_LOGBOEKEN is at a "
            "URL: fetching a thousand of them would hold up requests. Logging did not start. Let `register` name "
            "files."
        )


def _place_of(entry: LogboekEntry) -> tuple[object, ...]:
    """Return what a tenant logs with and to; how it is chosen and served may change at any time."""
    return tuple(getattr(entry, field) for field in LogboekEntry.__struct_fields__)
