from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldv_otel._internal.config.settings import read_settings
from ldv_otel._internal.config.variables import StrayBsn
from ldv_otel._internal.privacy.redaction import Redactor
from ldv_otel._internal.privacy.stray_numbers import StrayNumbers
from ldv_otel._internal.record.builder import LogregelBuilder, resource_of
from ldv_otel._internal.record.logregel import (
    ACTIVITY_MAX_CHARACTERS,
    NAME_MAX_CHARACTERS,
)
from ldv_otel._internal.record.resource_choice import MORE_NAMES, resource_choice
from ldv_otel._internal.times.instants import TIME_MAX_MS
from ldv_otel.attributes import FLAGS, Flag
from ldv_otel.errors import ConfigurationError
from tests.strategies import anything


def a_builder(redactor: Redactor | None = None) -> LogregelBuilder:
    """A builder with the fields that every record has."""
    builder = LogregelBuilder(b"t" * 16, b"s" * 8, redactor)
    builder.name("Wijzig kenteken")
    builder.period(1_000, 2_000)
    return builder


def flags(builder: LogregelBuilder) -> set[str]:
    """What the builder normalised, as the record names it."""
    return set(builder.build().flags)


class Unprintable:
    """A stranger's object at its worst."""

    def __str__(self) -> str:
        raise RuntimeError("no")


@given(anything)
def test_any_value_becomes_storable_text(value: Any) -> None:
    """Normalisation never raises, and what it gives can be stored as UTF-8."""
    text = a_builder().text(value)
    assert "\x00" not in text
    text.encode("utf-8")


@pytest.mark.parametrize(
    ("value", "text", "flag"),
    [
        (True, "true", None),
        (12, "12", None),
        pytest.param(10**5000, hex(10**5000), None, id="int-5000-digits"),
        (1.5, "1.5", None),
        (math.nan, "NaN", None),
        (-math.inf, "-Infinity", None),
        (["a", 1, None, [True]], '["a",1,null,[true]]', None),
        ({"b": {"c": math.nan}}, '{"b":{"c":"NaN"}}', None),
        (b"\xff\x00", "/wA=", Flag.VALUE_CONVERTED),
        (None, "", Flag.VALUE_CONVERTED),
        (Unprintable(), "(Unprintable)", Flag.VALUE_CONVERTED),
        ("a\x00b", "a\ufffdb", Flag.TEXT_REPAIRED),
        ("a\ud800b", "a\ufffdb", Flag.TEXT_REPAIRED),
        ("caf\u00e9 \U0001f600", "caf\u00e9 \U0001f600", None),
    ],
)
def test_odd_values_have_one_outcome(value: Any, text: str, flag: Flag | None) -> None:
    """Each kind of odd value ends as the documented text, flagged where something was normalised."""
    builder = a_builder()
    found = builder.text(value)
    assert found == text
    assert flags(builder) == ({flag} if flag else set())


def test_a_value_that_contains_itself_ends() -> None:
    """A cycle, or a list that doubles at each level, is cut, not followed forever."""
    cycle: list[Any] = []
    cycle.extend([cycle, cycle])
    builder = a_builder()
    assert "\u2026" in builder.text(cycle)
    assert Flag.VALUE_CUT in flags(builder)


def test_objects_are_kept_whole() -> None:
    """A nested value far beyond OpenTelemetry's habits is stored in full (extension objecten)."""
    dataset = [{"dataset_id": f"d{number}", "feature": [{"feature_id": "boom" * 100}]} for number in range(500)]
    builder = a_builder()
    assert json.loads(builder.text(dataset)) == dataset
    assert not flags(builder)


def test_an_empty_name_is_filled_in() -> None:
    """An empty name is filled in, never an error (LDV-A8)."""
    builder = a_builder()
    builder.name("  ")
    assert builder.build().name == "(naamloos)"
    assert flags(builder) == {Flag.NAME_MISSING}


def test_what_is_cut_is_kept_whole() -> None:
    """Nothing is lost to a limit: the whole value stays beside the cut one."""
    builder = a_builder()
    builder.name("n" * 5000)
    builder.activity("https://x/" + "a" * 5000)
    record = builder.build()
    assert len(record.name) == NAME_MAX_CHARACTERS
    assert len(record.processing_activity_id) == ACTIVITY_MAX_CHARACTERS
    kept = record.attributes
    assert kept["ldv.original.name"] == "n" * 5000
    assert kept["ldv.original.processing_activity_id"] == "https://x/" + "a" * 5000
    assert kept[FLAGS] == "activity_cut,name_cut"


@pytest.mark.parametrize(
    "activity", ["https://register.example/a", "urn:uuid:9b1e", "http://localhost:5000/processes/x"]
)
def test_a_uri_is_not_flagged(activity: str) -> None:
    """Absolute URIs of any scheme name an activity."""
    builder = a_builder()
    assert builder.activity(activity) == activity
    assert builder.build().processing_activity_id == activity
    assert not flags(builder)


@pytest.mark.parametrize("activity", ["RVA: Aanvraag Kapvergunning", "parkeren", "/relative"])
def test_an_activity_that_is_no_uri_is_kept_and_flagged(activity: str) -> None:
    """What implementers really send is stored, and said to be odd."""
    builder = a_builder()
    assert builder.activity(activity) == activity
    assert builder.build().processing_activity_id == activity
    assert flags(builder) == {Flag.ACTIVITY_NOT_URI}


@given(st.integers(), st.integers())
def test_times_are_in_range_and_in_order(start: int, end: int) -> None:
    """Whatever the clocks said, the record can be stored and its end is not before its start."""
    builder = a_builder()
    builder.period(start, end)
    record = builder.build()
    assert 0 <= record.start_time_ms <= record.end_time_ms <= TIME_MAX_MS


def test_an_end_before_the_start_is_kept_beside() -> None:
    """The odd end is flagged and kept."""
    builder = a_builder()
    builder.period(1_000, 900)
    record = builder.build()
    assert (record.start_time_ms, record.end_time_ms) == (1_000, 1_000)
    assert record.attributes == {FLAGS: "end_before_start", "ldv.original.end_time": "900"}


def test_a_resource_names_the_system_and_nobody() -> None:
    """The owner of the process is an employee and stays out (LDV-A9)."""
    resource = {"service.name": "gemeente", "process.owner": "j.jansen", "process.command_args": ["--token", "x"]}
    found = resource_of(resource)
    assert found.text == '{"ldv.left_out":"process.command_args,process.owner","service.name":"gemeente"}'
    assert found.left_out == ("process.command_args", "process.owner")


def test_names_that_are_left_out_stay_few() -> None:
    """Who makes names of values makes ever more of them; a record names a hundred."""
    resource = resource_of({f"os.x{chr(97 + number // 26)}{chr(97 + number % 26)}": "" for number in range(200)})
    assert len(resource.left_out) == 101
    assert resource.left_out[-1] == MORE_NAMES


@pytest.mark.parametrize("policy", ["redact", "flag"])
def test_a_stray_bsn_in_a_resource_is_found_once_for_all_its_records(policy: StrayBsn) -> None:
    """An id of the instance that has nine digits in it by chance is none."""
    stray = StrayNumbers(policy, ("cmdb.ci",))
    instance = "627cc493-f310-47de-96bd-71410b7dec09"
    attributes = {"service.version": 123456782, "cmdb.ci": "123456782", "service.instance.id": instance}
    resource = resource_of(attributes, stray=stray)
    version = "*********" if policy == "redact" else "123456782"
    wanted = {"cmdb.ci": "123456782", "service.instance.id": instance, "service.version": version}
    assert json.loads(resource.text) == wanted
    builder = LogregelBuilder(b"", b"", stray=stray)
    builder.resource(resource)
    assert builder.flags == {Flag.STRAY_BSN}


@pytest.mark.parametrize(
    "names", ["process.owner", "service.name,process.command_line", "dpl.core.dataSubjectId", "process.user*"]
)
def test_what_can_hold_a_person_cannot_be_asked_for(names: str) -> None:
    """A setting that asks for an owner or a command line stops the start (LDV-A9)."""
    settings = read_settings({"LDV_LOGBOEK": "chdb:///x", "LDV_RESOURCE_ATTRIBUTES": names})
    with pytest.raises(ConfigurationError, match="can hold a person"):
        resource_choice(settings)


@pytest.mark.parametrize("names", ["*", "a b", "x**", "*.name"])
def test_a_list_that_means_nothing_stops_the_start(names: str) -> None:
    """A star alone would keep everything."""
    with pytest.raises(ConfigurationError, match="LDV_RESOURCE_ATTRIBUTES"):
        read_settings({"LDV_LOGBOEK": "chdb:///x", "LDV_RESOURCE_ATTRIBUTES": names})
