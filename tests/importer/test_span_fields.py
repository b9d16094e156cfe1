from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given

from ldv_otel._internal.importer.span_fields import (
    Id,
    common_fields,
    first,
    is_outbound,
    read_id,
    read_status,
)
from ldv_otel._internal.record.logregel import Status
from tests.importer.spelling import any_json

TRACE = "3TyLHab1r5n8seXR6t3hkg=="
SPAN = "PXuTjAp8o1Q="


@pytest.mark.parametrize("name", ["parentSpanId", "parent_span_id", "ParentSpanID", "parentspanid"])
def test_names_are_the_same_in_all_spellings(name: str) -> None:
    """Protobuf's JSON, Python, and Go each write a field their own way."""
    assert common_fields({name: 1}) == {"parentspanid": 1}


def test_names_of_what_is_no_object() -> None:
    """Anything else has no fields."""
    assert common_fields(None) == common_fields([1]) == common_fields("x") == {}
    assert common_fields({"x" * 1_000: 1}) == {"": 1}
    assert first({"a": "", "b": None, "c": 0}, "a", "b", "c") == 0
    assert first({}, "a") is None


@pytest.mark.parametrize(
    ("value", "length", "expected"),
    [
        ("dd3c8b1da6f5af99fcb1e5d1eadde192", 16, "dd3c8b1da6f5af99fcb1e5d1eadde192"),
        ("DD3C8B1DA6F5AF99FCB1E5D1EADDE192", 16, "dd3c8b1da6f5af99fcb1e5d1eadde192"),
        (" 0xdd3c8b1da6f5af99fcb1e5d1eadde192 ", 16, "dd3c8b1da6f5af99fcb1e5d1eadde192"),
        ("dd3c8b1d-a6f5-af99-fcb1-e5d1eadde192", 16, "dd3c8b1da6f5af99fcb1e5d1eadde192"),
        (TRACE, 16, "dd3c8b1da6f5af99fcb1e5d1eadde192"),
        ("12345678abcdef12", 16, "000000000000000012345678abcdef12"),
        (1234567890123456, 16, "00000000000000001234567890123456"),
        ("3d7b938c0a7ca354", 8, "3d7b938c0a7ca354"),
        (SPAN, 8, "3d7b938c0a7ca354"),
        ("-_-_-_-_-_8=", 8, "fbffbffbffbffbff"),
        ("0XAAAAAAAAA=", 8, "d170000000000000"),
    ],
)
def test_ids_are_told_apart_by_length(value: object, length: int, expected: str) -> None:
    """Hexadecimal of any case or base64, and 16 digits as the lower half of a trace id."""
    assert read_id(value, length) == Id(bytes.fromhex(expected))


@pytest.mark.parametrize("length", [8, 16])
@pytest.mark.parametrize("value", [None, "", "  ", "0", "0x0", 0, "0" * 32, "AAAAAAAAAAA=", True, 1.5, [], {}, ["a"]])
def test_no_id(value: object, length: int) -> None:
    """Zeros are W3C's way to say that there is none; other types are no ids."""
    if value != "AAAAAAAAAAA=" or length == 8:
        assert read_id(value, length).raw == b""


@pytest.mark.parametrize(
    "value", ["bbbbbbbb000020000", "bbbbbbbb0001", "span-7", "zz7b938c0a7ca354", "\ud800", SPAN[:-1]]
)
def test_an_id_of_another_form_is_replaced_the_same_way_each_time(value: str) -> None:
    """What refers to it finds it, and the original is kept."""
    expected = hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()[:8]
    assert read_id(value, 8) == Id(expected, value)
    assert read_id(f" {value}", 8) == read_id(value, 8)
    assert len(read_id(value, 16).raw) == 16


def test_a_numeric_span_id() -> None:
    """A number is its digits."""
    assert read_id(123_456, 8) == read_id("123456", 8) == Id(hashlib.sha256(b"123456").digest()[:8], "123456")


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (None, Status.UNSET),
        ({}, Status.UNSET),
        ("", Status.UNSET),
        (0, Status.UNSET),
        ({"code": 1}, Status.OK),
        ({"code": "2"}, Status.ERROR),
        ({"code": "STATUS_CODE_OK"}, Status.OK),
        ({"statusCode": "STATUS_CODE_ERROR"}, Status.ERROR),
        ({"status_code": "UNSET"}, Status.UNSET),
        ("Ok", Status.OK),
        ("error", Status.ERROR),
        ("StatusCode.ERROR", Status.ERROR),
        (3, None),
        ("STATUS_CODE_FINE", None),
        (True, None),
        (1.0, None),
        ({"code": []}, None),
        (["OK"], None),
    ],
)
def test_status(value: object, status: Status | None) -> None:
    """Number or name, inside an object or bare; None for what is not one of the three."""
    assert read_status(value) is status


@pytest.mark.parametrize("kind", [3, "3", 4, "CLIENT", "client", "SPAN_KIND_CLIENT", "SpanKind.PRODUCER", "Producer"])
def test_outbound_kinds(kind: object) -> None:
    """Called parties see these spans as their parent."""
    assert is_outbound(kind)


@pytest.mark.parametrize("kind", [None, 0, 1, 2, 5, "SERVER", "SPAN_KIND_INTERNAL", "", True, 3.0, [], {}])
def test_other_kinds(kind: object) -> None:
    """All others are never seen from outside, or are no kinds."""
    assert not is_outbound(kind)


@given(any_json)
def test_no_field_raises(value: Any) -> None:
    """Whatever stands in a field, something comes out."""
    assert len(read_id(value, 8).raw) in (0, 8)
    assert len(read_id(value, 16).raw) in (0, 16)
    read_status(value)
    is_outbound(value)
