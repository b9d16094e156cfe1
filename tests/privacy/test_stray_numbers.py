"""A BSN that nobody named is redacted, flagged or refused, in every text of a record, by every way in (LDV-N14)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

import ldv_otel as ldv
from ldv_otel import attributes as names
from ldv_otel import testing
from ldv_otel._internal.api.pages.officer.access_record import OfficerAccess, officer_access
from ldv_otel._internal.config.settings import read_settings
from ldv_otel._internal.config.variables import StrayBsn
from ldv_otel._internal.delivery.batch import number_batch
from ldv_otel._internal.delivery.durable import DurableDelivery
from ldv_otel._internal.delivery.spool.quarantine import QUARANTINE_NAME, Quarantine
from ldv_otel._internal.delivery.write_gates import GatedSink, gated, stray_bsn_in
from ldv_otel._internal.importer.run import import_files
from ldv_otel._internal.privacy.stray_numbers import DIGITS, MASK, StrayNumbers
from ldv_otel._internal.record.actie import LogregelMaker
from ldv_otel._internal.record.logregel import decode_logregel, encode_logregel
from ldv_otel._internal.sdk.processor import LdvSpanProcessor
from ldv_otel.attributes import FLAGS, Flag
from ldv_otel.errors import BatchRefused, ConfigurationError, LogboekUnavailable
from tests.importer.spelling import PSEUDONYMISER
from tests.record.test_one_builder import WAYS_IN, texts_in
from tests.support.chance import examples
from tests.support.quoting import ENCODINGS

STRAY: Final = "999990019"
BSN: Final = "123456782"
ACTIVITY: Final = "https://register.example/a"


def with_check_digit(number: int) -> str:
    """Return the first BSN from eight digits on."""
    while True:
        digits = [int(digit) for digit in f"{number:08}"]
        check = sum(weight * digit for weight, digit in zip(range(9, 1, -1), digits, strict=True)) % 11
        if check < 10 and f"{number:08}{check}" != BSN:
            return f"{number:08}{check}"
        number += 1


bsns = st.integers(10**6, 99_999_000).map(with_check_digit)
grouped = st.sampled_from(
    [
        lambda digits: digits,
        lambda digits: f"{digits[:3]}.{digits[3:6]}.{digits[6:]}",
        lambda digits: f"{digits[:3]} {digits[3:6]} {digits[6:]}",
        lambda digits: f"{digits[:3]}--{digits[3:6]}--{digits[6:]}",
        lambda digits: f"{digits[:4]}.{digits[4:6]}.{digits[6:]}",
        lambda digits: f"{digits[:3]}\u2011{digits[3:6]}\u2011{digits[6:]}",
        lambda digits: f"{digits}.0",
    ]
)


@given(
    bsns,
    grouped,
    st.sampled_from(list(ENCODINGS.values())),
    st.sampled_from(["", "Z-2026-", "nr ", "(", "klant_", "/"]),
)
def test_a_bsn_is_found_in_its_spellings(digits: str, group: Any, encode: Any, around: str) -> None:
    """In the groups in which people write it, in any script, encoded or not."""
    stray = StrayNumbers()
    text = f"{around}{encode(group(digits))} x"
    shown = stray.text(text)
    assert shown != text
    assert MASK in shown
    assert not stray.finds(shown)
    assert stray.finds_in_scalar(int(digits)) == (digits[0] != "0")
    assert stray.finds_in_scalar(digits.encode())


@given(st.integers(1, 2**64 - 1), st.sampled_from(["{}", "span {}", "{}-x", "({})"]))
@settings(max_examples=examples(500))
@example(int("486be61a7f3c41e7", 16), "{}")
@example(int("80016189e1b7d72a", 16), "{}")
@example(int("905f40ac0ef328e6", 16), "span {}")
@pytest.mark.hypothesis
def test_an_id_of_a_span_is_left_alone(number: int, text: str) -> None:
    """Its letters make numbers with exponents of it, of which one in eleven passes the test."""
    written = text.format(f"{number:016x}")
    if not f"{number:016x}".isdecimal():
        assert StrayNumbers().text(written) == written


# Most digits stand before the exponent: what ends with more zeros is a round number.
@given(st.integers(10**7, 99_999_000).map(with_check_digit).filter(lambda digits: len(digits.rstrip("0")) > 6))
def test_with_an_exponent(digits: str) -> None:
    """As a program writes a float."""
    assert StrayNumbers().text(f"x {digits[0]}.{digits[1:]}e+08") == f"x {MASK}"
    assert StrayNumbers().finds_in_scalar(float(digits))


@pytest.mark.parametrize(
    "text",
    [
        "123456789",  # does not pass
        "000000000",
        f"1{STRAY}", f"{STRAY}1", f"12-{STRAY}1",
        "999.990.019.123",
        "1750000000000", "2026-11-22 10:15:07.123456",
        "00f067aa0ba902b7999990019", "4bf92f35-77b3-4da6-a3ce-999990019abc",
        "06-12345678", "1.234.567,89", "10.20.30.40",
        "9999 90019", "99999001",
    ],
)  # fmt: skip
def test_what_is_no_bsn_stays(text: str) -> None:
    """Times, ids of traces, amounts, telephone numbers, and numbers of another length."""
    assert StrayNumbers().text(text) == text


@given(st.text(st.sampled_from("0123456789 .,-_/%&#;\\uxeE+\u0660\uff11é"), max_size=40))
def test_the_prefilter_misses_none(text: str) -> None:
    """The cheap test may be wrong in one direction only."""
    thorough = StrayNumbers()
    thorough.may_find = bool
    assert StrayNumbers().finds(text) == thorough.finds(text)
    assert not StrayNumbers().finds(StrayNumbers().text(text))


@pytest.mark.parametrize("way_in", WAYS_IN)
@given(bsns)
def test_it_is_in_no_text_by_every_way_in(way_in: str, digits: str) -> None:
    """By default it is replaced and flagged."""
    records = WAYS_IN[way_in](BSN, f"van {digits}")
    assert records
    for record in records:
        assert not [text for text in texts_in(record) if digits in text]
    assert Flag.STRAY_BSN in records[0].flags
    assert any(MASK in text for text in texts_in(records[0]))


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (int(STRAY), MASK),
        (float(STRAY), MASK),
        (STRAY.encode(), MASK),
        ([int(STRAY), STRAY, {"x": STRAY}], f'["{MASK}","{MASK}",{{"x":"{MASK}"}}]'),
        ({STRAY: 1}, f'{{"{MASK}":1}}'),
        (99999001, "99999001"),
    ],
)
def test_it_is_in_no_value(value: Any, stored: str) -> None:
    """As a number, in bytes, nested."""
    with testing.logboek() as memory, ldv.processing(ACTIVITY, attributes={"dpl.core.zaak": value}):
        pass
    assert memory.logregels[0].attributes["dpl.core.zaak"] == stored


def logged(**settings: Any) -> testing.InMemoryLogboek:
    """Log an Actie that has a stray BSN in each kind of text."""
    with testing.logboek(**settings) as memory:
        own = {"dpl.core.zaak": f"Z {STRAY}", "dpl.core.order": STRAY}
        with ldv.processing(f"{ACTIVITY}/{STRAY}", name=f"Zoek {STRAY}", attributes=own):
            ldv.data_subject(BSN, type="BSN")
    return memory


def test_flag_keeps_it_and_says_so() -> None:
    """For who wants to know first."""
    (record,) = logged(stray_bsn="flag").logregels
    assert record.attributes == {"dpl.core.zaak": f"Z {STRAY}", "dpl.core.order": STRAY, FLAGS: "stray_bsn"}
    assert record.name == f"Zoek {STRAY}"
    assert record.processing_activity_id == f"{ACTIVITY}/{STRAY}"


def test_some_attributes_are_never_looked_at() -> None:
    """Numbers that are no BSN and pass by chance; and fields by the names of their attributes."""
    exempt = ("dpl.core.order", "name", names.PROCESSING_ACTIVITY_ID)
    (record,) = logged(stray_bsn_except=exempt).logregels
    assert record.attributes == {"dpl.core.zaak": f"Z {MASK}", "dpl.core.order": STRAY, FLAGS: "stray_bsn"}
    assert (record.name, record.processing_activity_id) == (f"Zoek {STRAY}", f"{ACTIVITY}/{STRAY}")


def test_refuse_raises_and_stores_nothing_of_it() -> None:
    """As level `confirmed` does, so that the application can roll back; the message quotes nothing."""
    with pytest.raises(LogboekUnavailable, match="LDV_STRAY_BSN") as refused:
        logged(stray_bsn="refuse")
    assert not refused.value.in_doubt
    assert STRAY not in str(refused.value)
    with testing.logboek(stray_bsn="refuse") as memory, ldv.processing(ACTIVITY):
        ldv.data_subject(BSN, type="BSN")
    assert len(memory.logregels) == 1


def test_a_known_number_is_no_stray_one() -> None:
    """It reads REDACTED, and is not counted as one that nobody named."""
    with testing.logboek(stray_bsn="refuse") as memory, ldv.processing(ACTIVITY, name=f"Zoek {BSN}"):
        ldv.data_subject(BSN, type="BSN")
    assert memory.logregels[0].flags == ("subject_redacted",)


@pytest.mark.parametrize("level", ["durable", "confirmed"])
def test_what_is_refused_is_quarantined_without_it(tmp_path: Path, level: Any) -> None:
    """Nothing is lost, nothing raw is on disk, and what is beside it in a batch is stored."""
    memory = testing.InMemoryLogboek(PSEUDONYMISER)
    delivery = DurableDelivery(GatedSink(memory, stray_bsn_in), tmp_path, level=level)
    maker = LogregelMaker(PSEUDONYMISER.subject, stray=StrayNumbers("refuse"))
    processor = LdvSpanProcessor(maker, delivery)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("x")
    for name in ("goed", f"fout {STRAY}", "ook goed"):
        tracer.start_span(name, attributes={names.PROCESSING_ACTIVITY_ID: ACTIVITY}).end()
    delivery.flush(20)
    assert sorted(record.name for record in memory.logregels) == ["goed", "ook goed"]
    (set_apart,) = Quarantine(tmp_path / QUARANTINE_NAME).records()
    assert decode_logregel(set_apart.payload).name == f"fout {MASK}"
    assert "LDV_STRAY_BSN" in set_apart.reason
    assert processor.flags[Flag.STRAY_BSN] == 1
    provider.shutdown()
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and STRAY.encode() in path.read_bytes()]


def test_the_exporter_refuses_only_that_one() -> None:
    """Which it says, and stores the others."""
    memory, provider = testing.InMemoryLogboek(PSEUDONYMISER), TracerProvider(shutdown_on_exit=False)
    exporter = ldv.ClickHouseSpanExporter(memory, LogregelMaker(PSEUDONYMISER.subject, stray=StrayNumbers("refuse")))
    processor = BatchSpanProcessor(exporter)
    provider.add_span_processor(processor)
    for name in ("goed", f"fout {STRAY}"):
        provider.get_tracer("x").start_span(name, attributes={names.PROCESSING_ACTIVITY_ID: ACTIVITY}).end()
    processor.force_flush()
    assert [record.name for record in memory.logregels] == ["goed"]
    provider.shutdown()


def test_an_officer_is_asked_to_take_it_out() -> None:
    """Where it would be refused; else it is redacted, as everywhere."""
    form = {"nummer": BSN, "soort": "BSN", "reden": f"Een klacht van {BSN} over {STRAY}"}
    assert officer_access(form, PSEUDONYMISER, StrayNumbers("refuse")) == {
        "reden": "Haal het BSN uit deze tekst: het hoort niet bij de persoon van uw vraag."
    }
    assert isinstance(officer_access(form, PSEUDONYMISER), OfficerAccess)
    form["reden"] = f"Een klacht van {BSN} over inzage"
    assert isinstance(officer_access(form, PSEUDONYMISER, StrayNumbers("refuse")), OfficerAccess)


def spans_file(tmp_path: Path) -> Path:
    """A file with one Actie that quotes somebody, and one that does not."""
    spans = [
        {
            "traceId": f"{number:032x}",
            "spanId": f"{number:016x}",
            "name": name,
            "startTimeUnixNano": "1750000000000000000",
            "endTimeUnixNano": "1750000001000000000",
            "attributes": [{"key": names.PROCESSING_ACTIVITY_ID, "value": {"stringValue": ACTIVITY}}],
        }
        for number, name in enumerate(("goed", f"fout {STRAY}"), 1)
    ]
    path = tmp_path / "spans.json"
    path.write_text("\n".join(map(json.dumps, spans)), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("policy", "names_stored"),
    [("redact", ["goed", f"fout {MASK}"]), ("flag", ["goed", f"fout {STRAY}"]), ("refuse", ["goed"])],
)
def test_an_import(tmp_path: Path, policy: StrayBsn, names_stored: list[str]) -> None:
    """Counted by flag; what is refused is a problem of the report, which quotes nothing."""
    memory = testing.InMemoryLogboek(PSEUDONYMISER)
    memory.open()
    report = import_files(
        [spans_file(tmp_path)],
        maker=LogregelMaker(PSEUDONYMISER.subject, stray=StrayNumbers(policy)),
        sink=GatedSink(memory, stray_bsn_in) if policy == "refuse" else memory,
        existing=lambda _: {},
    )
    assert [record.name for record in memory.logregels] == names_stored
    assert report.flags[Flag.STRAY_BSN] == (0 if policy == "refuse" else 1)
    assert len(report.problems) == (1 if policy == "refuse" else 0)
    assert STRAY not in str(report)


def test_the_settings() -> None:
    """A slip fails at the start, with the choices."""
    base = {"LDV_LOGBOEK": "chdb:///x"}
    settings = read_settings(base | {"LDV_STRAY_BSN": "refuse", "LDV_STRAY_BSN_EXCEPT": "dpl.core.order, name"})
    assert (settings.stray_bsn, settings.stray_bsn_except) == ("refuse", ("dpl.core.order", "name"))
    assert read_settings(base).stray_bsn == "redact"
    memory = testing.InMemoryLogboek()
    assert isinstance(gated(memory, settings), GatedSink)
    assert gated(memory, read_settings(base)) is memory
    with pytest.raises(ConfigurationError, match="it must be one of redact, flag, refuse"):
        read_settings(base | {"LDV_STRAY_BSN": "yes"})


def test_a_sink_that_refuses_is_a_sink() -> None:
    """It gives everything else to the one behind it."""
    memory = testing.InMemoryLogboek(PSEUDONYMISER)
    testing.check_sink(GatedSink(memory, stray_bsn_in))
    assert len(MASK) == DIGITS
    (record,) = logged(stray_bsn="flag").logregels
    with pytest.raises(BatchRefused):
        GatedSink(memory, stray_bsn_in).send(number_batch("w", 0, [record]))
    assert STRAY.encode() in encode_logregel(record)
