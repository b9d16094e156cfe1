from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from ldv_otel._internal.importer.any_value import attributes_of
from tests.importer.spelling import any_json


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"stringValue": "x"}, "x"),
        ({"string_value": "x"}, "x"),
        ({"stringValue": ""}, ""),
        ({"stringValue": "x", "intValue": None}, "x"),
        ({"intValue": "201"}, 201),
        ({"intValue": 201}, 201),
        ({"intValue": "-5"}, -5),
        ({"intValue": "007"}, "007"),
        ({"intValue": "1_0"}, "1_0"),
        ({"intValue": "9" * 5_000}, "9" * 5_000),
        ({"doubleValue": 5}, 5.0),
        ({"doubleValue": "Infinity"}, float("inf")),
        ({"doubleValue": "x"}, "x"),
        ({"doubleValue": 10**400}, 10**400),
        ({"doubleValue": []}, []),
        ({"boolValue": True}, True),
        ({"boolValue": "False"}, False),
        ({"boolValue": "perhaps"}, "perhaps"),
        ({"bytesValue": "AQI="}, b"\x01\x02"),
        ({"bytesValue": "!"}, "!"),
        ({"bytesValue": 1}, 1),
        ({"arrayValue": {"values": [{"intValue": "1"}, {"stringValue": "x"}, {}]}}, [1, "x", None]),
        ({"arrayValue": [{"intValue": "1"}]}, [1]),
        ({"arrayValue": {}}, []),
        ({"arrayValue": "x"}, []),
        (
            {"kvlistValue": {"values": [{"key": "a", "value": {"boolValue": True}}, {"key": "b"}]}},
            {"a": True, "b": None},
        ),
        ({"kvlistValue": {"values": [None]}}, {"": None}),
        ({}, ""),
        (None, ""),
        ("x", "x"),
        (5, 5),
        (["x", {"intValue": "1"}], ["x", 1]),
        ({"type": "Point", "value": [1, 2]}, {"type": "Point", "value": [1, 2]}),
        ({"Type": "INT64SLICE", "Value": [1, 2]}, [1, 2]),
        ({"dataset_id": {"stringValue": "x"}, "feature": {}}, {"dataset_id": "x", "feature": {}}),
    ],
)
def test_values_typed_and_plain(value: object, expected: object) -> None:
    """The same value comes out however its type is told."""
    assert attributes_of([{"key": "a", "value": value}]) == ({"a": expected}, False)
    assert attributes_of({"a": value}) == ({"a": expected}, False)


def test_only_the_wanted_attributes_are_kept() -> None:
    """What never enters a record is not even held (LDV-A9)."""
    entries = [{"key": "dpl.x", "value": {"stringValue": "1"}}, {"key": "url.full", "value": {"stringValue": "2"}}]
    assert attributes_of(entries, "dpl.") == ({"dpl.x": "1"}, False)
    assert attributes_of({"dpl.x": "1", "url.full": "2"}, "dpl.") == ({"dpl.x": "1"}, False)


@pytest.mark.parametrize("value", ["text", 5, True, [None], [{}], [{"value": 1}], [{"key": 5}], ["x"]])
def test_unreadable_attributes_are_told(value: object) -> None:
    """Somebody wrote something, and nobody can say what it was."""
    assert attributes_of(value) == ({}, True)


def test_no_attributes() -> None:
    """Absent and empty attributes are nothing odd."""
    assert attributes_of(None) == attributes_of([]) == attributes_of({}) == ({}, False)


def test_an_unreadable_entry_leaves_the_others() -> None:
    """One bad entry does not cost the record its activity."""
    assert attributes_of([None, {"key": "a", "value": {"intValue": 1}}]) == ({"a": 1}, True)


def test_depth_is_bounded() -> None:
    """Nesting ends where a record ends it, whatever the file holds."""
    value: Any = {"stringValue": "x"}
    for _ in range(400):
        value = {"arrayValue": {"values": [value]}}
    found, _ = attributes_of([{"key": "a", "value": value}])
    depth = 0
    inner = found["a"]
    while isinstance(inner, list):
        depth, inner = depth + 1, inner[0]
    assert depth == 64
    assert isinstance(inner, dict)


@given(any_json)
def test_no_value_raises(value: Any) -> None:
    """Whatever stands where attributes belong, something comes out."""
    attributes_of(value)
    attributes_of([value])
    attributes_of([{"key": "a", "value": value}])
