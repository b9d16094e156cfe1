"""Logboek Dataverwerkingen for OpenTelemetry: every processing of data, on record."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

from ldv_otel._internal.config.settings import Settings, read_settings
from ldv_otel._internal.doors import publish as _publish
from ldv_otel._internal.record.logregel import Logregel, Status
from ldv_otel._internal.sdk.data_subjects import data_subjects
from ldv_otel._internal.sdk.health import Health
from ldv_otel._internal.sdk.install import force_flush, health, install
from ldv_otel._internal.sdk.processing import (
    Actie,
    called_by,
    data_subject,
    foreign_read_api,
    next_logbook,
    ok,
    processing,
    reject,
)
from ldv_otel._internal.sdk.processor import LdvSpanProcessor
from ldv_otel._internal.sdk.propagator import LdvPropagator, extract
from ldv_otel._internal.sdk.sampler import LdvSampler
from ldv_otel._internal.sdk.shield import SubjectShieldingSpanProcessor
from ldv_otel._internal.sdk.tenant_context import tenant
from ldv_otel._version import __version__
from ldv_otel.errors import (
    BatchRefused,
    ConfigurationError,
    LdvError,
    LogboekUnavailable,
    QueryError,
    SchemaError,
    UnknownTenant,
    UnreadableInput,
)

if TYPE_CHECKING:
    from ldv_otel._internal.sdk import outbox
    from ldv_otel._internal.sdk.exporter import ClickHouseSpanExporter

__all__ = [
    "Actie",
    "BatchRefused",
    "ClickHouseSpanExporter",
    "ConfigurationError",
    "Health",
    "LdvError",
    "LdvPropagator",
    "LdvSampler",
    "LdvSpanProcessor",
    "LogboekUnavailable",
    "Logregel",
    "QueryError",
    "SchemaError",
    "Settings",
    "Status",
    "SubjectShieldingSpanProcessor",
    "UnknownTenant",
    "UnreadableInput",
    "__version__",
    "called_by",
    "data_subject",
    "data_subjects",
    "extract",
    "force_flush",
    "foreign_read_api",
    "health",
    "install",
    "next_logbook",
    "ok",
    "outbox",
    "processing",
    "read_settings",
    "reject",
    "tenant",
]

_publish(__name__, __all__, globals())


def __getattr__(name: str) -> Any:
    """Import what few services use when it is asked for."""
    if name == "ClickHouseSpanExporter":
        from ldv_otel._internal.sdk.exporter import ClickHouseSpanExporter

        _publish(__name__, [name], {name: ClickHouseSpanExporter})
        return ClickHouseSpanExporter
    if name == "outbox":
        # By its name: `from ... import` would look for the attribute here again.
        return _import_module("ldv_otel._internal.sdk.outbox")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
