"""The headers of Haal Centraal: sent where a party is named for them, on record at the called party."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.instrumentation.requests import RequestsInstrumentor

import ldv_otel as ldv
from ldv_otel import testing
from ldv_otel._internal.gemma.consumer.haalcentraal import open_extension
from ldv_otel._internal.parties.evidence import Certificate
from ldv_otel._internal.parties.parties import read_parties
from ldv_otel._internal.sdk.extension_contract import OutboundCall
from ldv_otel._internal.sdk.extensions import load_extensions
from ldv_otel.errors import ConfigurationError
from tests.gemma.test_doelbinding import ACTIVITY, CALLED_ACTIVITY, OIN, Party

FOUR = ("x-doelbinding", "x-verwerking", "x-gebruiker", "x-origin-oin")
SAID = {
    "haalcentraal.doelbinding": "Burgerzaken",
    "haalcentraal.verwerking": "Verhuizing",
    "haalcentraal.gebruiker": "balie-7",
}


@pytest.fixture
def brp() -> Iterator[Party]:
    """One that is sent the headers."""
    with Party() as server:
        yield server


@pytest.fixture
def stranger() -> Iterator[Party]:
    """One that is not."""
    with Party() as server:
        yield server


@pytest.fixture
def logboek(tmp_path: Path, brp: Party) -> Iterator[testing.InMemoryLogboek]:
    """A Logboek for both sides, with the extension on and the headers for one party."""
    path = tmp_path / "parties.yaml"
    path.write_text(
        f'extensions: {{haalcentraal: {{oin: "{OIN}", doelbinding: Algemeen}}}}\n'
        f'called: [{{at: "{brp.url}", headers: [haalcentraal]}}]\n',
        encoding="utf-8",
    )
    RequestsInstrumentor().instrument()
    with testing.logboek(parties=path, unknown_callers="restart") as opened:
        yield opened
    RequestsInstrumentor().uninstrument()


def sent(party: Party) -> dict[str, str]:
    """The four headers of the last request."""
    return {name: value for name, value in party.heard[-1].items() if name.lower() in FOUR}


def test_the_four_headers_are_sent_and_kept(logboek: testing.InMemoryLogboek, brp: Party, stranger: Party) -> None:
    """To the named party only; the called party keeps them, and nobody keeps the user (LDV-A9)."""
    with ldv.processing(ACTIVITY, attributes=SAID):
        requests.get(brp.url, timeout=10)
        requests.get(stranger.url, timeout=10)
    assert sent(brp) == {
        "x-doelbinding": "Burgerzaken",
        "x-verwerking": "Verhuizing",
        "x-gebruiker": "balie-7",
        "x-origin-oin": OIN,
    }
    assert sent(stranger) == {}
    called = next(
        record
        for record in logboek.logregels
        if record.processing_activity_id == CALLED_ACTIVITY and record.attributes.get("haalcentraal.origin_oin")
    )
    kept = {name: value for name, value in called.attributes.items() if name.startswith("haalcentraal.")}
    assert kept == {
        "haalcentraal.doelbinding": "Burgerzaken",
        "haalcentraal.verwerking": "Verhuizing",
        "haalcentraal.origin_oin": OIN,
    }
    assert "balie-7" not in str([record.attributes for record in logboek.logregels])


def test_what_the_file_says_holds_where_the_actie_says_nothing(logboek: testing.InMemoryLogboek, brp: Party) -> None:
    """The purpose and our OIN; the processing is the activity."""
    with ldv.processing(ACTIVITY):
        requests.get(brp.url, timeout=10)
    assert sent(brp) == {"x-doelbinding": "Algemeen", "x-verwerking": ACTIVITY, "x-origin-oin": OIN}
    assert logboek.logregels


@given(value=st.text(max_size=300))
def test_no_value_breaks_a_header(value: str) -> None:
    """What cannot be sent as it is stays out: a line feed would end the header."""
    extension = open_extension({})
    call = OutboundCall(b"t" * 16, value, dict.fromkeys(extension.attributes, value))
    for header in extension.call_headers(call).values():
        assert header == value
        assert header.isascii()
        assert header.isprintable()
        assert len(header) <= 242


@pytest.mark.parametrize(
    ("headers", "certified", "attributes"),
    [
        ({"x-origin-oin": [OIN]}, "", {"haalcentraal.origin_oin": OIN}),
        ({"x-origin-oin": ["7"], "x-doelbinding": ["a"]}, "", {"haalcentraal.doelbinding": "a"}),
        ({"x-doelbinding": ["a", "b"]}, "", {}),
        ({"x-gebruiker": ["jan"]}, "", {}),
        ({"x-doelbinding": ["x" * 243]}, "", {}),
        ({"x-origin-oin": [OIN], "x-doelbinding": ["a"]}, "0" * 20, {}),
        ({"x-origin-oin": [OIN]}, OIN, {"haalcentraal.origin_oin": OIN}),
    ],
    ids=str,
)
def test_what_is_believed_of_a_caller(
    headers: dict[str, list[str]], certified: str, attributes: dict[str, Any]
) -> None:
    """Well formed, once, and not against its certificate; never who sits at the screen."""
    certificate = Certificate(frozenset({("2.5.4.5", certified)}), "0" * 64) if certified else None
    read = open_extension({}).read_headers(lambda name: headers.get(name, []), certificate)
    assert read.attributes == attributes


@pytest.mark.parametrize("options", ['{oin: "7"}', "{doelbinding: é}", "{gebruiker: jan}"])
def test_options_that_cannot_be_used_stop_the_start(tmp_path: Path, options: str) -> None:
    """Before the first call goes out without them."""
    path = tmp_path / "parties.yaml"
    path.write_text(f"extensions: {{haalcentraal: {options}}}\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="haalcentraal"):
        load_extensions(read_parties(path, "continue"))
