"""LDV-N15: activities are checked against the Register at the time of writing, and no record is lost by that."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

import ldv_otel as ldv
from ldv_otel import testing
from ldv_otel._internal.config.settings import Settings, read_settings
from ldv_otel._internal.delivery.batch import number_batch
from ldv_otel._internal.delivery.durable import DurableDelivery, retry_quarantine
from ldv_otel._internal.delivery.spool.quarantine import QUARANTINE_NAME, Quarantine
from ldv_otel._internal.delivery.write_gates import gated, reasons_to_refuse
from ldv_otel._internal.privacy.pseudonyms import KeyRing, Pseudonymiser, new_key
from ldv_otel._internal.record.actie import LogregelMaker
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.record.span_facts import SpanFacts
from ldv_otel._internal.register.known_activities import KnownActivities, known_activities
from ldv_otel._internal.register.source import RegisterSource
from ldv_otel.attributes import DATA_SUBJECT_ID, PROCESSING_ACTIVITY_ID, Flag
from ldv_otel.errors import BatchRefused, ConfigurationError, LdvError

KNOWN, LATER = "https://register.example/bekend", "https://register.example/later"
PSEUDONYMISER = Pseudonymiser(KeyRing([new_key("k")], active="k"))


def register(path: Path, *activities: str) -> Path:
    """A Register with these."""
    entries = "".join(f"  - {{id: '{activity}', name: x}}\n" for activity in activities)
    path.write_text(f"activities:\n{entries}")
    # A file system may not tell two writes of one moment apart.
    os.utime(path, ns=(0, path.stat().st_mtime_ns + len(activities) * 10**9))
    return path


def settings(tmp_path: Path, check: str) -> Settings:
    """Settings that check against a Register."""
    register(tmp_path / "register.yaml", KNOWN)
    return read_settings(
        {"LDV_LOGBOEK": "chdb:///x", "LDV_REGISTER": str(tmp_path / "register.yaml"), "LDV_REGISTER_CHECK": check}
    )


def made(checked: Settings, activity: str, people: object = None) -> list[Logregel]:
    """The records of an Actie."""
    activities = known_activities(checked)
    maker = LogregelMaker(PSEUDONYMISER.subject)
    maker.knows = activities.knows if activities is not None else None
    attributes = {PROCESSING_ACTIVITY_ID: activity} | ({DATA_SUBJECT_ID: people} if people else {})
    facts = SpanFacts(
        trace_id=b"t" * 16, span_id=b"s" * 8, name="x", start_time_ns=0, end_time_ns=0, attributes=attributes
    )
    return maker.make(facts)


@pytest.mark.parametrize(("check", "flagged"), [("off", False), ("flag", True), ("refuse", True)])
def test_an_activity_that_the_register_lacks_is_flagged(tmp_path: Path, check: str, *, flagged: bool) -> None:
    """On each record of the Actie; one that it has, and one that names none, are not."""
    checked = settings(tmp_path, check)
    for record in made(checked, LATER, ["123456782", "999990019"]):
        assert (Flag.ACTIVITY_UNKNOWN in record.flags) == flagged
        assert record.processing_activity_id == LATER
    for activity in (KNOWN, ""):
        assert Flag.ACTIVITY_UNKNOWN not in made(checked, activity)[0].flags


def test_what_is_refused_is_set_apart_and_stored_once_the_register_has_it(tmp_path: Path) -> None:
    """Never lost: it waits in quarantine, and is looked up again when it is sent again."""
    checked = settings(tmp_path, "refuse")
    memory = testing.InMemoryLogboek(PSEUDONYMISER)
    delivery = DurableDelivery(gated(memory, checked), tmp_path / "spool", level="durable")
    delivery.start_draining()
    for activity in (LATER, KNOWN):
        for record in made(checked, activity):
            delivery.submit(record)
    assert not delivery.flush(10)
    delivery.shutdown(10)
    assert [record.processing_activity_id for record in memory.logregels] == [KNOWN]
    assert len(Quarantine(tmp_path / "spool" / QUARANTINE_NAME).records()) == 1
    register(tmp_path / "register.yaml", KNOWN, LATER)
    assert retry_quarantine(gated(memory, checked), tmp_path / "spool")[0] == 1
    assert [record.processing_activity_id for record in memory.logregels] == [KNOWN, LATER]
    assert Flag.ACTIVITY_UNKNOWN in memory.logregels[-1].flags


def test_off_and_flag_have_no_gate(tmp_path: Path) -> None:
    """A record that is flagged is stored."""
    for check in ("off", "flag"):
        assert reasons_to_refuse(settings(tmp_path, check)) is None


def test_a_gate_says_what_to_do(tmp_path: Path) -> None:
    """And nothing of the record: an activity may hold anything."""
    sink = gated(testing.InMemoryLogboek(PSEUDONYMISER), settings(tmp_path, "refuse"))
    sink.open()
    (record,) = made(settings(tmp_path, "off"), "https://register.example/123456782")
    with pytest.raises(BatchRefused, match="Add the activity to the Register") as error:
        sink.send(number_batch("w", 0, [record]))
    assert "register.example" not in str(error.value)


def test_an_activity_that_is_added_is_known_soon(tmp_path: Path) -> None:
    """A file is looked at again when it lacks one, at most once in a second."""
    now = [0.0]
    activities = KnownActivities(RegisterSource(str(register(tmp_path / "r.yaml", KNOWN))), clock=lambda: now[0])
    assert not activities.knows(LATER)
    register(tmp_path / "r.yaml", KNOWN, LATER)
    assert not activities.knows(LATER)
    now[0] = 2.0
    assert activities.knows(LATER)


def test_one_that_is_taken_out_is_unknown_after_a_minute(tmp_path: Path) -> None:
    """Nothing looks at the file for an activity that is known."""
    now = [0.0]
    activities = KnownActivities(RegisterSource(str(register(tmp_path / "r.yaml", KNOWN, LATER))), clock=lambda: now[0])
    register(tmp_path / "r.yaml", KNOWN)
    now[0] = 59.0
    assert activities.knows(LATER)
    now[0] = 61.0
    assert not activities.knows(LATER)


def test_a_register_that_breaks_stays_in_use_as_it_was(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With a line in the log."""
    now = [0.0]
    path = register(tmp_path / "r.yaml", KNOWN)
    activities = KnownActivities(RegisterSource(str(path)), clock=lambda: now[0])
    path.write_text("activities: [")
    now[0] = 100.0
    assert activities.knows(KNOWN)
    assert not activities.knows(LATER)
    assert "stays in use" in caplog.text


def test_a_register_behind_an_address_holds_up_no_record(caplog: pytest.LogCaptureFixture) -> None:
    """It is asked beside the work; as long as it never answered nothing is flagged, for nothing was looked up."""
    now = [0.0]
    asked = threading.Event()

    class Away(RegisterSource):
        def get(self) -> ldv.Logregel:  # type: ignore[override]  # it never returns
            asked.set()
            raise ConfigurationError("LDV_REGISTER cannot be fetched.")

    activities = KnownActivities(Away("https://register.invalid/x"), clock=lambda: now[0])
    assert "not checked until" in caplog.text
    asked.clear()
    now[0] = 61.0
    assert activities.knows(LATER)
    assert asked.wait(10)


def test_a_check_without_a_register_stops_the_start(tmp_path: Path) -> None:
    """Also with one whose file is not there."""
    for more in ({}, {"LDV_REGISTER": str(tmp_path / "none.yaml")}):
        checked = read_settings({"LDV_LOGBOEK": "chdb:///x", "LDV_REGISTER_CHECK": "flag"} | more)
        with pytest.raises(LdvError, match="LDV_REGISTER"):
            known_activities(checked)
    with pytest.raises(ConfigurationError, match="LDV_REGISTER_CHECK"):
        read_settings({"LDV_LOGBOEK": "chdb:///x", "LDV_REGISTER_CHECK": "warn"})
