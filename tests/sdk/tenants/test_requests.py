"""Whose a request is: by header, claim, host, path, caller or resource; a stranger's word never chooses a Logboek."""

from __future__ import annotations

import base64
import json
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry import propagate, trace

import ldv_otel as ldv
from ldv_otel._internal.parties.parties import Parties
from ldv_otel._internal.sdk.tenants.choice import _claims
from tests.sdk.conftest import ACTIVITY
from tests.sdk.tenants.conftest import MakeService, Service, server_span
from tests.support.tenants import write_logboeken

GATEWAY = "10.0.0.5"
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

CALL_FOR_0363 = {"traceparent": TRACEPARENT, "tracestate": "ldv=a:00f067aa0ba902b7;t:0363"}
CALL_FOR_0344 = {"traceparent": TRACEPARENT, "tracestate": "ldv=a:00f067aa0ba902b7;t:0344"}


def token(claims: object) -> str:
    """A token as a gateway lets it through; what its signature is, nobody here looks at."""
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"Bearer e30.{payload}.c2ln"


FIELDS = {
    "0363": {"hosts": ["amsterdam.example"], "paths": ["/0363"], "values": ["oin-363"], "callers": ["gemeente"]},
    "0344": {"hosts": ["utrecht.example"], "paths": ["/a/0344/"], "calls": ["rdw.example:8443", "brp.example"]},
}


def whose(service: Service) -> list[str]:
    """The Logboeken in which something is."""
    return sorted(service.names())


@pytest.mark.parametrize(
    ("headers", "peer", "attributes", "logboek"),
    [
        ({"X-Tenant": "0363"}, GATEWAY, {}, "0363"),
        ({"x-tenant": "oin-363"}, GATEWAY, {}, "0363"),
        ({"X-Tenant": "0363"}, "10.0.0.6", {}, "0344"),
        ({"X-Tenant": "0363"}, "", {}, "0344"),
        ({"X-Tenant": "0999"}, GATEWAY, {}, "quarantine"),
        ({"X-Tenant": ""}, GATEWAY, {}, "quarantine"),
        ({"Authorization": token({"oin": "oin-363"})}, GATEWAY, {}, "0363"),
        ({"Authorization": token({"oin": "oin-363"})}, "192.0.2.1", {}, "0344"),
        ({"Authorization": token({"oin": ["oin-363"]})}, GATEWAY, {}, "quarantine"),
        ({"Authorization": token({"sub": "x"})}, GATEWAY, {}, "0344"),
        ({"Authorization": "Bearer a.b.c"}, GATEWAY, {}, "0344"),
        ({"X-Tenant": "0363", "Authorization": token({"oin": "0344"})}, GATEWAY, {}, "quarantine"),
        ({}, "", {"server_address": "amsterdam.example"}, "0363"),
        ({}, "", {"http_host": "Amsterdam.example.:8443"}, "0363"),
        ({}, "", {"server_address": "elders.example"}, "0344"),
        ({}, "", {"url_path": "/0363/vergunning?x=1"}, "0363"),
        ({}, "", {"url_path": "/03630/vergunning"}, "0344"),
        ({}, "", {"url_path": "/a/0344"}, "0344"),
        ({}, "", {"url_path": "/0363", "server_address": "utrecht.example"}, "quarantine"),
        ({"X-Tenant": "0344"}, GATEWAY, {"server_address": "amsterdam.example"}, "quarantine"),
        ({**CALL_FOR_0363, "X-Consumer": "gemeente"}, GATEWAY, {}, "0363"),
        ({**CALL_FOR_0363, "X-Consumer": "gemeente"}, "", {}, "0344"),
        ({**CALL_FOR_0363}, GATEWAY, {}, "0344"),
        ({**CALL_FOR_0344, "X-Consumer": "gemeente"}, GATEWAY, {}, "quarantine"),
        ({**CALL_FOR_0363, "X-Consumer": "ander"}, GATEWAY, {}, "0344"),
    ],
)  # fmt: skip
def test_a_request_is_of_whom_it_can_be_believed_to_be(
    make_service: MakeService, headers: dict[str, str], peer: str, attributes: dict[str, str], logboek: str
) -> None:
    """The default is 0344: what a stranger says is as if it were not said."""
    service = make_service(default="0344", fields=FIELDS, rules={"header": "X-Tenant", "claim": "oin"})
    with server_span(service, headers, peer=peer, **attributes):
        pass
    assert whose(service) == [logboek]


def test_a_request_that_cannot_be_read_is_nobodys(make_service: MakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default is for those who say nothing; whose this one is, is not known."""
    service = make_service(default="0344", fields=FIELDS, rules={"header": "X-Tenant"})

    def fail(*_: object) -> bool:
        raise ValueError("a certificate may hold anything")

    monkeypatch.setattr(Parties, "is_gateway", fail)
    with server_span(service, {"X-Tenant": "0363"}, peer=GATEWAY):
        pass
    assert whose(service) == ["quarantine"]


def test_what_is_inside_a_request_is_of_the_same(make_service: MakeService) -> None:
    """The processing in it, and a data subject named outside of one."""
    service = make_service(fields=FIELDS)
    with server_span(service, {}, server_address="amsterdam.example"), ldv.processing(ACTIVITY, name="binnen"):
        ldv.data_subject("123456782", type="BSN")
    with server_span(service, {}, server_address="elders.example"):
        with pytest.raises(ldv.UnknownTenant), ldv.processing(ACTIVITY):
            pass
        with pytest.raises(ldv.ConfigurationError, match="inside an Actie of another"), ldv.tenant("0344"):
            pass
    assert service.names() == {"0363": ["GET /vergunning", "binnen"], "quarantine": ["GET /vergunning"]}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(
    header=st.sampled_from([None, "0363", "0344", "0999", "oin-363"]),
    host=st.sampled_from([None, "amsterdam.example", "utrecht.example", "elders.example"]),
    path=st.sampled_from([None, "/0363/x", "/a/0344", "/elders"]),
    named=st.sampled_from(["", "0363", "0344"]),
    trusted=st.booleans(),
)
def test_a_record_is_never_with_a_controller_that_something_speaks_against(
    requested: Service, header: str | None, host: str | None, path: str | None, named: str, *, trusted: bool
) -> None:
    """Whatever is said together: one name, on which all agree that are believed; else the quarantine."""
    service = requested
    headers = {} if header is None else {"X-Tenant": header}
    attributes = {name: value for name, value in (("server_address", host), ("url_path", path)) if value is not None}
    before = {name: len(memory.logregels) for name, memory in service.logboeken.items()}
    with (
        ldv.tenant(named) if named else nullcontext(),
        server_span(service, headers, peer=GATEWAY if trusted else "192.0.2.1", **attributes),
    ):
        pass
    said = {
        {"0363": "0363", "oin-363": "0363", "0344": "0344"}.get(header or "", "?") if header and trusted else "",
        {"amsterdam.example": "0363", "utrecht.example": "0344"}.get(host or "", ""),
        {"/0363/x": "0363", "/a/0344": "0344"}.get(path or "", ""),
    } - {""}
    wanted = named or (next(iter(said)) if len(said) == 1 and "?" not in said else "quarantine")
    assert service.processor.flush(10.0)
    after = {name: len(memory.logregels) - before.get(name, 0) for name, memory in service.logboeken.items()}
    assert {name: count for name, count in after.items() if count} == {wanted: 1}


@pytest.fixture
def requested(make_service: MakeService) -> Service:
    """A service with every rule, and no default."""
    return make_service(fields=FIELDS, rules={"header": "X-Tenant"})


@pytest.mark.parametrize(("value", "logboek"), [("0363", "0363"), ("oin-363", "0363"), ("x", "quarantine")])
def test_a_process_may_be_one_tenants(make_service: MakeService, value: str, logboek: str) -> None:
    """By an attribute of its resource."""
    service = make_service(
        default="0344", fields=FIELDS, rules={"resource": "app.gemeente"}, resource={"app.gemeente": value}
    )
    with server_span(service, {}):
        pass
    assert whose(service) == [logboek]


@pytest.mark.parametrize(
    ("url", "tenant"),
    [
        ("https://rdw.example:8443/x", ";t:0344"),
        ("https://rdw.example/x", ""),
        ("https://BRP.example/x", ";t:0344"),
        ("https://elders.example/x", ""),
    ],
)
def test_the_tenant_goes_only_to_parties_named_for_it(make_service: MakeService, url: str, tenant: str) -> None:
    """For 0344 two are named, and for 0363 none."""
    service = make_service(fields=FIELDS)
    tracer = service.provider.get_tracer("client")
    sent = {}
    for tenant_id in ("0344", "0363"):
        with (
            ldv.tenant(tenant_id),
            ldv.processing(ACTIVITY) as actie,
            tracer.start_as_current_span("GET", kind=trace.SpanKind.CLIENT, attributes={"url.full": url}),
        ):
            headers: dict[str, str] = {}
            propagate.inject(headers)
            sent[tenant_id] = (headers["tracestate"], f"ldv=a:{actie.span_id}")
    assert sent["0344"][0] == sent["0344"][1] + tenant
    assert sent["0363"][0] == sent["0363"][1]


def test_a_callers_tenant_is_not_passed_on(make_service: MakeService) -> None:
    """It was for us; a call that no Actie makes has the caller's member without it."""
    service = make_service(fields=FIELDS)
    tracestate = "x=1,ldv=a:00f067aa0ba902b7;c:g;t:0363"
    headers = {"traceparent": TRACEPARENT, "tracestate": tracestate, "X-Consumer": "gemeente"}
    context = ldv.extract(headers, peer_address=GATEWAY)
    with service.provider.get_tracer("x").start_as_current_span("techniek", context):
        headers = {}
        propagate.inject(headers)
    assert headers["tracestate"] == "ldv=a:00f067aa0ba902b7;c:g,x=1"


@given(st.lists(st.text(max_size=40) | st.just("Bearer a.e30.c") | st.just(token({"oin": 1}))))
def test_any_header_is_read_or_passed_over(values: list[str]) -> None:
    """Nothing else comes out of what a stranger wrote."""
    assert all(isinstance(claim, str) for claim in _claims(values, "oin"))


def test_a_rule_that_anybody_could_use_is_refused_at_the_start(make_service: MakeService, tmp_path: Path) -> None:
    """A header without a gateway that sets it, and a caller that proves nothing."""
    fields = {"0344": {"callers": ["niemand"]}}
    with pytest.raises(ldv.ConfigurationError, match=r"logboeken.yaml:\d+: callers names 'niemand'"):
        make_service(fields=fields)
    from ldv_otel._internal.config.logboeken import read_logboeken
    from ldv_otel._internal.parties.parties import Parties
    from ldv_otel._internal.sdk.tenants.choice import TenantChoice

    path = write_logboeken(tmp_path, ["0363"], rules={"header": "X-Tenant"}, with_keys=False)
    with pytest.raises(ldv.ConfigurationError, match="names no gateways"):
        TenantChoice(read_logboeken(path, allow_insecure=False), Parties())
