"""What a request to either API asks for."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from ldv_otel._internal.gemma.provider.requests import calling_span_of

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def request_with(*traceparents: str) -> Request:
    """A request with these headers."""
    return Request({"type": "http", "headers": [(b"traceparent", value.encode()) for value in traceparents]})


@pytest.mark.parametrize(
    "traceparent", [f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00", f"cc-{TRACE}-{SPAN}-01-more"]
)
def test_the_calling_span_is_that_of_the_traceparent(traceparent: str) -> None:
    """Sampled or not, and of a later version as far as this one can read it."""
    span = calling_span_of(request_with(traceparent.format(TRACE, SPAN)))
    assert span is not None
    assert (span.trace_id.hex(), span.span_id.hex()) == (TRACE, SPAN)


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "x",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
    ],
)
def test_what_is_no_traceparent_names_no_span(traceparent: str) -> None:
    """W3C Trace Context says which values are to be passed over."""
    assert calling_span_of(request_with(traceparent)) is None
    assert calling_span_of(request_with()) is None
