"""Odd values cost no record, and no request gets an error of the server for them."""

from __future__ import annotations

import json
from typing import Any

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st

import ldv_otel as ldv
from ldv_otel import testing
from ldv_otel.attributes import Flag
from tests.attack.conftest import Target
from tests.attack.tally import rounds, tally
from tests.record.test_last_resort import huge
from tests.strategies import anything

#: What JSON can hold, and cannot.
json_values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=40), st.just("\x00"), st.just(10**400)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=8,
)


def test_no_value_costs_a_record() -> None:
    """In every place where an application hands one over: the Actie is stored, and the application goes on."""
    with tally("odd values", "records") as counts:

        @settings(max_examples=rounds(100, 10_000))
        @given(st.one_of(anything, huge))
        def attempt(value: Any) -> None:
            with testing.logboek() as memory:
                with ldv.processing("https://register.example/a", name="Zoek") as actie:
                    actie.set_attribute("dpl.core.zaak", value)
                    actie.set_attribute("dpl.core.lijst", [value, {"x": value}])
                    ldv.data_subject(value, type="BSN")
                got_through = not memory.logregels or Flag.RECORD_FAILED in memory.logregels[0].flags
            counts.note(type(value), got_through=got_through)

        attempt()


def test_no_value_is_an_error_of_a_server(target: Target) -> None:
    """In any member of a query or of a Verwerkingsactie: it is answered, or refused with what is wrong."""
    lezen = {"Authorization": f"Bearer {target.token}", "Content-Type": "application/json"}
    gemma = {"Authorization": f"Bearer {target.gemma_token}", "Content-Type": "application/json"}
    path = "/lezenapi/v1/data-processing-operations"
    with tally("odd values", "APIs") as counts:

        @settings(max_examples=rounds(40, 2_000))
        @given(
            json_values, st.sampled_from(["traceId", "startTime", "attributes", "dpl", "dpl.core.data_subject_id", "x"])
        )
        def attempt(value: Any, member: str) -> None:
            content = json.dumps({member: value}).encode("utf-8", "surrogatepass")
            whole = json.dumps(value).encode("utf-8", "surrogatepass")
            for headers, url, sent in (
                (lezen, path, content),
                (lezen, path, whole),
                (lezen, f"{path}/_batch", json.dumps({"requests": [{member: value}], "context": value}).encode()),
                (gemma, "/api/v1/verwerkingsacties", content),
                (gemma, "/api/v1/verwerkingsacties", json.dumps({"verwerkteObjecten": [{member: value}]}).encode()),
            ):
                answer: httpx.Response = target.http.post(url, content=sent, headers=headers)
                counts.note((url, sent[:200], answer.status_code), got_through=answer.status_code >= 500)

        attempt()
