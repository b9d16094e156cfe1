"""What `ldv status` says of a service with several Logboeken: what waits on this machine for each of its tenants.

The Logboeken themselves are not asked: there may be a thousand. `ldv status --tenant ID` asks that one.
"""

from __future__ import annotations

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ldv_otel._internal.cli import rendering
from ldv_otel._internal.config.logboeken import QUARANTINE, LogboekenFile
from ldv_otel._internal.config.settings import Settings, tenant_settings
from ldv_otel._internal.delivery.losses import read_losses
from ldv_otel._internal.delivery.paths import losses_directory, spool_base, spool_root
from ldv_otel._internal.delivery.spool.inspect import backlog_of, inspect_spools
from ldv_otel._internal.delivery.spool.quarantine import QUARANTINE_NAME, Quarantine
from ldv_otel._internal.privacy.tenant_keys import read_tenant_keys
from ldv_otel._internal.times.instants import now_ms
from ldv_otel.errors import ConfigurationError


class TenantStatus(msgspec.Struct, kw_only=True):
    """What waits on this machine for the Logboek of one tenant.

    Attributes:
        tenant: Its id, or `quarantine`.
        processes: Spools that a running process has.
        pending: Logregels that are not confirmed yet.
        oldest_ms: When the oldest of them ended, in ms since 1970-01-01 UTC; None when nothing is pending.
        quarantined: Logregels that this Logboek refused as data.
        lost: Logregels that are stored nowhere.
        full: Whether the disk of its spools has no room left.
    """

    tenant: str
    logboek: str
    processes: int
    pending: int
    oldest_ms: int | None
    quarantined: int
    lost: int
    full: bool

    @property
    def ok(self) -> bool:
        """Whether nothing has to be done."""
        return not (self.quarantined or self.lost or self.full)


class TenantOverview(msgspec.Struct, kw_only=True):
    """All of them.

    Attributes:
        problem: Why the keys of the tenants cannot be used; empty where they can.
    """

    tenants: list[TenantStatus]
    problem: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing has to be done."""
        return not self.problem and all(tenant.ok for tenant in self.tenants)


def tenant_overview(common: Settings, file: LogboekenFile) -> TenantOverview:
    """Return what waits on this machine for each tenant of a file, and for its quarantine."""
    names = [QUARANTINE, *(tenant.id for tenant in file.content.tenants)]
    report = TenantOverview(tenants=[_status(tenant_settings(common, file, name)) for name in names])
    try:
        read_tenant_keys(file)
    except ConfigurationError as error:
        report.problem = str(error)
    return report


def print_overview(out: Console, report: TenantOverview) -> None:
    """Print the tenants for which something waits or has to be done, and how many there are without."""
    at_rest = [tenant for tenant in report.tenants if tenant.ok and not tenant.pending]
    shown = [tenant for tenant in report.tenants if tenant not in at_rest]
    if shown:
        table = Table(header_style="bold", box=SIMPLE_HEAD)
        for caption in ("tenant", "pending", "oldest (UTC)", "quarantined", "lost", "processes", "Logboek"):
            table.add_column(caption)
        for tenant in shown:
            table.add_row(
                tenant.tenant,
                str(tenant.pending) + (" [bold red]DISK FULL[/]" if tenant.full else ""),
                "" if tenant.oldest_ms is None else rendering.moment(tenant.oldest_ms),
                f"[bold red]{tenant.quarantined}[/]" if tenant.quarantined else "0",
                f"[bold red]{tenant.lost}[/]" if tenant.lost else "0",
                str(tenant.processes),
                tenant.logboek,
            )
        out.print(table)
    out.print(f"{len(at_rest)} of {len(report.tenants)} Logboeken have nothing waiting here.")
    if report.problem:
        out.print(report.problem, style="bold red", markup=False, soft_wrap=True)


def _status(settings: Settings) -> TenantStatus:
    base = spool_base(spool_root(settings), settings.logboek)
    spools = inspect_spools(base)
    backlog = backlog_of(base, spools, now_ms())
    losses = [loss for loss in read_losses(losses_directory(settings)) if loss.logboek == str(settings.logboek)]
    return TenantStatus(
        tenant=settings.tenant,
        logboek=str(settings.logboek),
        processes=sum(spool.alive for spool in spools),
        pending=backlog.pending,
        oldest_ms=backlog.oldest_ms,
        quarantined=len(Quarantine(base / QUARANTINE_NAME).records()),
        lost=sum(loss.lost for loss in losses),
        full=backlog.full,
    )
