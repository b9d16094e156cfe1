"""`ldv_otel.tenant`: named in code, inherited inside, never followed to another controller's Logboek."""

from __future__ import annotations

import asyncio
import contextvars
import resource
import threading

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace

import ldv_otel as ldv
from ldv_otel import testing
from ldv_otel._internal.sdk.tenants.processor import _warn_about_files
from ldv_otel.attributes import Flag
from tests.sdk.conftest import ACTIVITY
from tests.sdk.tenants.conftest import MakeService

BSN = "123456782"


def act(name: str) -> None:
    """Do something about a person."""
    with ldv.processing(ACTIVITY, name=name) as actie:
        actie.data_subject(BSN, type="BSN")


def test_each_tenant_has_its_own_logboek_and_pseudonyms(make_service: MakeService) -> None:
    """One person has another pseudonym at each controller."""
    service = make_service()
    for tenant_id in ("0363", "0344", "0363"):
        with ldv.tenant(tenant_id):
            act(f"van {tenant_id}")
    assert service.names() == {"0363": ["van 0363"] * 2, "0344": ["van 0344"]}
    logged = service.logged()
    pseudonyms = {name: {each.data_subject_id for each in logregels} for name, logregels in logged.items()}
    assert [len(each) for each in pseudonyms.values()] == [1, 1]
    assert pseudonyms["0363"].isdisjoint(pseudonyms["0344"])
    for name, memory in service.logboeken.items():
        assert len(memory.about(BSN)) == len(logged.get(name, []))


def test_what_is_inside_inherits_it(make_service: MakeService) -> None:
    """Nested Acties, technical spans, tasks, threads that carry the context, and outcomes told elsewhere."""
    service = make_service()
    tracer = service.provider.get_tracer("instrumentation")

    async def deep() -> None:
        async with ldv.tenant("0344"), ldv.processing(ACTIVITY, name="taak"):
            await asyncio.gather(*[asyncio.to_thread(act, "draad") for _ in range(3)])

    with ldv.tenant("0363"):
        with ldv.processing(ACTIVITY, name="buiten") as outer, tracer.start_as_current_span("techniek"):
            act("binnen")
            # The name itself is gone from this context; what it is part of says it.
            token = otel_context.attach(trace.set_span_in_context(trace.get_current_span(), otel_context.Context()))
            act("zonder naam")
            otel_context.detach(token)
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(act, "andere draad"))
        thread.start()
        thread.join()
    asyncio.run(deep())
    with ldv.tenant("0344"):
        outer.outcome()
    assert service.names() == {
        "0363": ["andere draad", "binnen", "buiten", "buiten", "zonder naam"],
        "0344": ["draad", "draad", "draad", "taak"],
    }


def test_without_a_name_there_is_the_default_or_a_refusal(make_service: MakeService) -> None:
    """The block is not entered where nothing says whose it is; the refused span leaves nothing."""
    service = make_service()
    entered = False
    with pytest.raises(ldv.UnknownTenant, match="Nothing says whose"), ldv.processing(ACTIVITY):
        entered = True
    assert not entered
    assert service.names() == {}


def test_the_default_takes_what_names_none(make_service: MakeService) -> None:
    """And a name inside counts, as long as no Actie of the default is open."""
    service = make_service(default="0344")
    act("zonder")
    with service.provider.get_tracer("x").start_as_current_span("techniek"), ldv.tenant("0363"):
        act("met")
        ldv.data_subject(BSN, type="BSN")
    assert service.names() == {"0344": ["zonder"], "0363": ["Betrokkene", "met"]}


@pytest.mark.parametrize("tenant_id", ["0999", "", "quarantine", "0363 ", "../0363", 363, None])
def test_an_unknown_tenant_is_refused_where_it_is_named(make_service: MakeService, tenant_id: str) -> None:
    """Also with a default: what is named and not there is not the default's."""
    service = make_service(default="0344")
    with pytest.raises(ldv.UnknownTenant) as raised, ldv.tenant(tenant_id):
        act("nooit")
    assert "0999" not in str(raised.value)
    assert service.names() == {}


def test_an_actie_is_one_controllers(make_service: MakeService) -> None:
    """Another tenant inside it is refused: by name at once, by any other way at the processing."""
    service = make_service()
    with ldv.tenant("0344"):
        other = otel_context.get_current()
    with ldv.tenant("0363"), ldv.processing(ACTIVITY, name="open"):
        with pytest.raises(ldv.ConfigurationError, match="inside an Actie of another tenant"), ldv.tenant("0344"):
            act("nooit")
        with ldv.tenant("0363"):
            act("zelfde")
        token = otel_context.attach(trace.set_span_in_context(trace.get_current_span(), other))
        with pytest.raises(ldv.UnknownTenant, match="cannot be followed"):
            act("nooit")
        otel_context.detach(token)
    assert service.names() == {"0363": ["open", "zelfde"]}


def test_a_marked_span_of_which_nothing_is_said_goes_to_the_quarantine(make_service: MakeService) -> None:
    """Nothing may break the application there (LDV-A8), so it is logged apart, flagged and counted."""
    service = make_service()
    tracer = service.provider.get_tracer("x")
    with tracer.start_as_current_span("merk", attributes={"dpl.core.processing_activity_id": ACTIVITY}):
        ldv.data_subject(BSN, type="BSN")
    (record,) = service.logged()["quarantine"]
    assert record.flags == (Flag.TENANT_UNKNOWN,)
    assert service.processor.health().tenants["quarantine"].flags == {"tenant_unknown": 1}


def test_figures_are_kept_for_each(make_service: MakeService) -> None:
    """Of those that something was logged for, with their sums."""
    service = make_service(("0363", "0344", "0518"))
    for tenant_id in ("0363", "0363", "0344"):
        with ldv.tenant(tenant_id):
            act("doe")
    service.logged()
    health = service.processor.health()
    assert {name: each.confirmed for name, each in health.tenants.items()} == {"quarantine": 0, "0363": 2, "0344": 1}
    assert (health.confirmed, health.pending, health.lost) == (3, 0, 0)


def test_a_spool_that_cannot_be_had_costs_no_record(make_service: MakeService) -> None:
    """A processing is refused, a span by rule goes to the quarantine; and it is tried again."""
    service = make_service(fields={"0363": {"spool": "/proc/no-such-place"}})
    with ldv.tenant("0363"):
        with pytest.raises(ldv.UnknownTenant, match="cannot be used here"):
            act("nooit")
        with service.provider.get_tracer("x").start_as_current_span("GET /vergunning", attributes={"app.bsn": BSN}):
            pass
    with ldv.tenant("0344"):
        act("wel")
    assert service.names() == {"quarantine": ["GET /vergunning"], "0344": ["wel"]}


def test_in_a_users_test_any_tenant_may_be_named() -> None:
    """The Logboek in memory takes them all; without tenants, naming one is a mistake that shows."""
    with testing.logboek() as logboek:
        with ldv.tenant("0363"), ldv.processing(ACTIVITY, name="doe"), ldv.tenant("0363"):
            act("binnen")
        logboek.assert_logged("binnen", about=BSN)
    with pytest.raises(ldv.ConfigurationError, match="this process has no tenants"), ldv.tenant("0363"):
        pass


def test_a_limit_on_files_that_is_too_low_is_said_at_the_start(
    make_service: MakeService, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Later on it would be a refused record."""
    make_service()
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1_024, 4_096))
    _warn_about_files(200)
    assert not caplog.records
    _warn_about_files(1_000)
    assert "may have 1024 files open, and 1000 tenants" in caplog.text
