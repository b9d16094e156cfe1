"""`ldv_otel.tenant` names whose Acties these are, for what runs inside it; OpenTelemetry's context carries it."""

from __future__ import annotations

from typing import Any, Final, Protocol

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from ldv_otel._internal.sdk import span_state
from ldv_otel._internal.sdk.current_context import leave
from ldv_otel.errors import ConfigurationError, UnknownTenant

#: Key of the id that `tenant` names, in OpenTelemetry's context.
_TENANT: Final = otel_context.create_key("ldv_otel.tenant")


class TenantNames(Protocol):
    """Says which tenants this process has; `install()` sets it."""

    def has(self, tenant_id: str) -> bool:
        """Return whether there is a Logboek of that tenant."""


class OneTenant:
    """The tenant of a process that works for one alone (`LDV_TENANT`)."""

    def __init__(self, tenant_id: str) -> None:
        self._tenant_id = tenant_id

    def has(self, tenant_id: str) -> bool:
        """Return whether it is this one."""
        return tenant_id == self._tenant_id


_names: TenantNames | None = None


def set_tenant_names(names: TenantNames | None) -> TenantNames | None:
    """Say which tenants there are; return what was said before."""
    global _names
    before, _names = _names, names
    return before


class tenant:  # noqa: N801  (reads as a noun where it is used)
    """Name whose Acties those are that begin inside: `with ldv_otel.tenant("0363"):`, or `async with`.

    What is inside inherits it: nested Acties, tasks, and threads into which OpenTelemetry's context goes along.

    Args:
        tenant_id: An id in the file of `LDV_LOGBOEKEN`.

    Raises:
        UnknownTenant: On entering: the file has no such id. Nothing was begun.
        ConfigurationError: On entering: there is no such file; or an Actie of another tenant is open here, and what is
            part of it is that tenant's.
    """

    def __init__(self, tenant_id: str) -> None:
        self._tenant_id = tenant_id
        self._context: Any = None
        self._token: Any = None

    def __enter__(self) -> None:
        """Make it the tenant of what begins from here on."""
        if _names is None:
            raise ConfigurationError(
                "ldv_otel.tenant was entered, and this process has no tenants. Nothing was begun. Let LDV_LOGBOEKEN "
                "name their file, and call ldv_otel.install() first."
            )
        if not isinstance(self._tenant_id, str) or not _names.has(self._tenant_id):
            raise UnknownTenant(
                "ldv_otel.tenant names a tenant that the file of LDV_LOGBOEKEN does not have. Nothing was begun or "
                "logged. Add it to that file and start again, or refuse the request."
            )
        if self._is_inside_another():
            raise ConfigurationError(
                f"ldv_otel.tenant names {self._tenant_id}, inside an Actie of another tenant. Nothing was begun. End "
                "that Actie first: one Actie, with all that is part of it, is one controller's."
            )
        self._context = otel_context.set_value(_TENANT, self._tenant_id)
        self._token = otel_context.attach(self._context)

    def _is_inside_another(self) -> bool:
        live_span = span_state.current()
        if live_span is None or live_span.owner.tenant == self._tenant_id:
            return False
        # Where there is one Logboek only, as in tests, no processor has a tenant.
        several = bool(live_span.owner.tenant or live_span.owner.refusal)
        return several and live_span.as_enclosing() is not None

    def __exit__(self, *_: object) -> None:
        """Make that current which was so before."""
        leave(self._token, self._context)

    async def __aenter__(self) -> None:
        """Do as `with`."""
        self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        """Do as `with`."""
        self.__exit__()


def named_tenant(context: Context | None) -> str:
    """Return the tenant that code named around here; empty for none."""
    value = otel_context.get_value(_TENANT, context)
    return value if isinstance(value, str) else ""


def with_tenant(tenant_id: str, context: Context | None) -> Context:
    """Return a context in which a tenant is named; one in which none is, for empty text."""
    return otel_context.set_value(_TENANT, tenant_id, context)
