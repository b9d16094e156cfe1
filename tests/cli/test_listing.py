"""Lists of records for people: a line each, at any width, in one language."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from ldv_otel._internal.cli.listing import ListingTexts, cut, listing, person_title, short_uri, tree_label
from ldv_otel._internal.cli.rendering import trace_tree
from ldv_otel._internal.cli.words import DUTCH, ENGLISH, words_for
from ldv_otel._internal.clickhouse.register_table import StoredActivity
from ldv_otel._internal.parties.parties import ReadApi
from ldv_otel._internal.parties.party_names import PartyNames
from ldv_otel._internal.record.logregel import Logregel, Status
from ldv_otel._internal.register.register import ProcessingActivity

#: 28 November 2026, 23.38 in the Netherlands.
NIGHT: Final = 1_795_905_538_000
TONEN: Final = "https://register.example/activiteiten/parkeren/vergunningen-tonen"
ONDERZOEK: Final = "https://register.example/activiteiten/handhaving/onderzoek"


def entry(uri: str, name: str, ground: str, *, confidential: bool = False) -> StoredActivity:
    """An entry of the Register."""
    activity = ProcessingActivity(
        id=uri, name=name, legal_ground=ground, purpose="p", controller="c", retention="P5Y", confidential=confidential
    )
    return StoredActivity(activity, datetime(2026, 1, 1, tzinfo=UTC))


REGISTER: Final = {
    TONEN: [entry(TONEN, "vergunningen verlenen en tonen", "Parkeerverordening 2024, art. 3")],
    ONDERZOEK: [entry(ONDERZOEK, "onderzoek", "Gemeentewet, art. 172", confidential=True)],
}


def record(number: int, name: str, **fields: Any) -> Logregel:
    """A record of the person."""
    ordinary: dict[str, Any] = {
        "trace_id": b"t" * 16,
        "start_time_ms": NIGHT + number,
        "processing_activity_id": TONEN,
        "data_subject_id": bytes.fromhex("813272b1b308aabbccddeeff00112233"),
        "data_subject_id_type": "BSN",
        "resource": '{"service.name":"parkeervergunningen"}',
    }
    merged = ordinary | fields
    return Logregel(name=name, span_id=number.to_bytes(8, "big"), end_time_ms=merged["start_time_ms"] + 3, **merged)


EARLIER: Final = NIGHT - 18 * 86_400_000 - 52_860_000
RECORDS: Final = [
    record(1, "Toon alle vergunningen"),
    record(2, "Wijzig kenteken"),
    record(
        3,
        "Controleer tenaamstelling",
        parent_span_id=(2).to_bytes(8, "big"),
        external_read_api_id="https://logboek.rdw.example/v1/",
    ),
    record(
        4,
        "Onderzoek",
        start_time_ms=EARLIER,
        status=Status.ERROR,
        processing_activity_id=ONDERZOEK,
        resource='{"service.name":"handhaving"}',
    ),
    record(
        5,
        "Verstrek gegevens over een aanvraag die langer is dan een regel",
        start_time_ms=EARLIER + 60_000,
        processing_activity_id="https://elders.example/a/b/c/d",
        foreign_operation_trace_id=b"f" * 16,
        foreign_operation_span_id=b"g" * 8,
        foreign_operation_processor="https://loket.example/app",
        resource='{"service.name":"een-applicatie-met-een-heel-lange-naam"}',
    ),
]
RDW: Final = ReadApi(url="https://logboek.rdw.example/v1", name="RDW")
TEXTS: Final = ListingTexts(register=REGISTER, words=DUTCH, parties=PartyNames([RDW]))

AT_80: Final = """\
Over deze persoon (pseudoniem 813272b1b308…)
10 \N{EN DASH} 28 november 2026, Nederlandse tijd
5 handelingen door 3 applicaties · 1 niet gelukt · 1 niet in het Register
1 vertrouwelijk

zaterdag 28 november 2026
  23:38:58  Toon alle vergunningen                           parkeervergunningen
            Parkeerverordening 2024, art. 3 · vergunningen verlenen en tonen
  23:38:58  Wijzig kenteken                                  parkeervergunningen
  23:38:58  └ Controleer tenaamstelling  → gevraagd aan RDW  parkeervergunningen

dinsdag 10 november 2026
  08:57:58  Onderzoek  VERTROUWELIJK  NIET GELUKT                     handhaving
            Gemeentewet, art. 172 · onderzoek
  08:58:58  Verstrek gegevens over een…dan een regel  een-applicatie-me…nge-naam
            ← gevraagd door loket.example
            niet in het Register: c/d
"""


def shown(width: int, texts: ListingTexts = TEXTS, records: list[Logregel] = RECORDS) -> str:
    """The listing, as it leaves a command in a pipe."""
    file = io.StringIO()
    console = Console(width=width, file=file, highlight=False, emoji=False)
    console.print(listing(records, texts, title=person_title(records, texts.words), width=width))
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def test_a_listing_reads_like_a_page() -> None:
    """Days, names of the Register, what failed, who was asked: at 80 columns."""
    assert shown(80) == AT_80


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_no_line_is_wider_than_the_terminal(width: int, wide: bool) -> None:
    """Nor is a record lost."""
    lines = shown(width, ListingTexts(register=REGISTER, words=ENGLISH, wide=wide)).splitlines()
    assert max(map(cell_len, lines)) <= min(width, 120)
    assert sum(line[2:10].count(":") == 2 for line in lines) == len(RECORDS)
    ids = " ".join(lines)
    assert (RECORDS[0].trace_id.hex() in ids, "status Error" in ids) == ((wide, wide) if width > 50 else (False, wide))


@given(st.text(max_size=60), st.integers(0, 70))
def test_a_cut_text_fits_and_keeps_both_ends(text: str, cells: int) -> None:
    """What fits is as it was."""
    short = cut(text, cells)
    assert cell_len(short) <= cells
    if cell_len(text) <= cells:
        assert short == text


@given(st.text(max_size=80), st.integers(40, 130))
def test_no_name_steers_the_terminal(name: str, width: int) -> None:
    """Whatever characters a caller chose for names and addresses."""
    hostile = record(1, name, external_read_api_id=name, processing_activity_id=name, resource="{}")
    for wide in (False, True):
        text = shown(width, ListingTexts(wide=wide), [hostile])
        assert not any(ord(letter) < 32 and letter != "\n" for letter in text)
        assert max(map(cell_len, text.splitlines())) <= width


def test_an_address_that_could_end_a_link_is_none() -> None:
    """A terminal gets a link for ordinary addresses only."""
    safe, hostile = (
        tree_label(record(1, "n", processing_activity_id=uri), ListingTexts())
        for uri in ("https://register.example/a", "https://register.example/\x1b]8;;\x07x")
    )
    assert [span.link for span in (safe.style, hostile.style)] == ["https://register.example/a", None]  # type: ignore[union-attr]


def test_the_end_of_an_address_stands_for_it() -> None:
    """Without the Register."""
    assert short_uri("https://register.example/a/b/c/d?x=1") == "c/d"
    assert short_uri("urn:nl:verwerking") == "urn:nl:verwerking"
    assert short_uri("https://[") == "https://["


def test_language_is_that_of_the_setting_or_the_system() -> None:
    """English where nothing says Dutch."""
    assert words_for("nl", {"LANG": "en_GB.UTF-8"}) is DUTCH
    assert words_for("en", {"LANG": "nl_NL.UTF-8"}) is ENGLISH
    assert words_for(None, {"LC_ALL": "", "LANG": "nl_NL.UTF-8"}) is DUTCH
    assert words_for(None, {"LC_ALL": "C.UTF-8", "LANG": "nl_NL.UTF-8"}) is ENGLISH
    assert words_for(None, {}) is ENGLISH


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        (datetime(2026, 11, 1), datetime(2026, 11, 1), "1 november 2026"),
        (datetime(2026, 11, 1), datetime(2026, 11, 28), "1 \N{EN DASH} 28 november 2026"),
        (datetime(2026, 10, 31), datetime(2026, 11, 1), "31 oktober \N{EN DASH} 1 november 2026"),
        (datetime(2025, 12, 31), datetime(2026, 1, 1), "31 december 2025 \N{EN DASH} 1 januari 2026"),
    ],
)
def test_a_period_is_as_short_as_it_can_be(first: datetime, last: datetime, words: str) -> None:
    """Day, month and year where they differ."""
    assert DUTCH.period(first, last) == words


def test_a_tree_has_the_same_words() -> None:
    """`ldv trace`, without the fields."""
    file = io.StringIO()
    tree = trace_tree(RECORDS[:3], title="T", label=lambda each, **more: tree_label(each, TEXTS, **more))
    Console(width=90, file=file).print(tree)
    assert [line.rstrip() for line in file.getvalue().splitlines()] == [
        "T",
        "├── Toon alle vergunningen",
        "│   23:38:58 · parkeervergunningen · Parkeerverordening 2024, art. 3 · vergunningen",
        "│   verlenen en tonen",
        "└── Wijzig kenteken",
        "    23:38:58 · parkeervergunningen · Parkeerverordening 2024, art. 3 · vergunningen",
        "    verlenen en tonen",
        "    └── Controleer tenaamstelling",
        "        23:38:58 · parkeervergunningen · Parkeerverordening 2024, art. 3 · vergunningen",
        "        verlenen en tonen",
        "        → gevraagd aan RDW",
    ]
