"""Spellings of an identifier past the shield: forms that name a person, forms that quote them, fields, and ways in."""

from __future__ import annotations

import random

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import ldv_otel as ldv
from ldv_otel import testing
from tests.attack.tally import rounds, tally
from tests.record.test_one_builder import OURS, PLAIN, WAYS_IN, by_officer, texts_in
from tests.support.chance import dice
from tests.support.quoting import ENCODINGS, SEPARATORS, TOLD

_LONGEST = 200


def written(source: random.Random, digits: str) -> str:
    """Return the digits as somebody may write them: separated, with zeros lost or added, encoded, or all of that."""
    digits = source.choice([digits, digits, digits.lstrip("0"), f"0{digits}", f"000{digits}"])
    most = source.choice([0, 0, 1, 2])
    gaps = ["".join(source.choices(SEPARATORS[2:], k=source.randint(0, most))) for _ in digits[1:]]
    text = "".join(part for pair in zip(digits, [*gaps, ""], strict=True) for part in pair)
    encoded = source.choice(list(ENCODINGS.values()))(text)
    return encoded if len(encoded) <= _LONGEST else text


def reveals(text: str, digits: str, quotation: str) -> bool:
    """Whether a text has the identifier in it."""
    plain = "".join(char for char in text if char.isdecimal() and char.isascii())
    return quotation in text or digits.lstrip("0") in plain


def test_no_record_quotes_anybody() -> None:
    """In every text of a record, by every way in."""
    source = dice("spellings in records")
    for way, make in WAYS_IN.items():
        with tally("spellings of numbers", f"records: {way}") as counts:
            for _ in range(rounds(40, 4_000)):
                digits = f"{source.randrange(10_000_000, 1_000_000_000):09}"
                quotation, form = written(source, digits), source.choice(list(TOLD))
                identifier = TOLD[form](digits)
                if make is by_officer or (make not in OURS and not isinstance(identifier, PLAIN)):
                    identifier = digits
                around = source.choice(["", "Z-2026-", "nr. ", "(", "/", "\u00a0"])
                records = make(identifier, around + quotation)
                texts = [text for record in records for text in texts_in(record)]
                got_through = not records or any(reveals(text, digits, quotation) for text in texts)
                counts.note((form, quotation), got_through=got_through)


def test_no_other_exporter_gets_anybody() -> None:
    """In every text of a span, also of one that only belongs to the same trace."""
    source = dice("spellings in spans")
    exporter = InMemorySpanExporter()
    with tally("spellings of numbers", "spans for other exporters") as counts, testing.logboek():
        provider = trace.get_tracer_provider()
        assert isinstance(provider, TracerProvider)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        for _ in range(rounds(150, 15_000)):
            digits = f"{source.randrange(10_000_000, 1_000_000_000):09}"
            quotation, form = written(source, digits), source.choice(list(TOLD))
            exporter.clear()
            with ldv.processing("https://register.example/a", name="x") as actie:
                if source.random() < 0.5:
                    ldv.data_subject(TOLD[form](digits), type="BSN")
                else:
                    ldv.data_subjects([TOLD[form](digits)], type="BSN")
                with trace.get_tracer("other").start_as_current_span(f"child {quotation}") as child:
                    child.set_attribute(f"b {quotation}", [quotation, f"x{quotation}"])
                    child.add_event(f"e {quotation}", {"c": quotation})
                actie.span.update_name(f"Zoek {quotation}")
                actie.set_attribute("url.full", f"https://x.example/{quotation}?q={quotation}")
                actie.span.add_link(actie.span.get_span_context(), {"d": quotation})
                actie.span.set_status(trace.StatusCode.ERROR, f"no {quotation}")
            shown: list[object] = []
            for span in exporter.get_finished_spans():
                shown += [span.name, dict(span.attributes or {}), span.status.description]
                shown += [(event.name, dict(event.attributes or {})) for event in span.events]
                shown += [dict(link.attributes or {}) for link in span.links]
            got_through = len(exporter.get_finished_spans()) != 2 or any(
                reveals(str(text), digits, quotation) for text in shown
            )
            counts.note((form, quotation), got_through=got_through)
