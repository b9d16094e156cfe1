"""No spelling of a known identifier is left in what others get; and what is no identifier stays."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable
from unittest import mock
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ldv_otel._internal.privacy.folding import BETWEEN_TEXTS, LETTERS_AND_DIGITS, MAY_HOLD_DIGIT, WHOLE_TEXT
from ldv_otel._internal.privacy.identifier_forms import SHORT, forms_of
from ldv_otel._internal.privacy.redaction import (
    REDACTED,
    Redactor,
    RedactorPair,
    TraceIdentifiers,
    quoted_identifiers,
)
from tests.support.quoting import ENCODINGS, TOLD, percent, separated, values_that_quote, with_exponent

BSN = "012345672"
KNOWN = Redactor([(BSN, "BSN"), ("Jan@voorbeeld.nl", "https://register.example/mail")])


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"/inwoners/{BSN}/x?y={BSN}", f"/inwoners/{REDACTED}/x?y={REDACTED}"),
        ("bsn 012.345.672, of 12345672!", f"bsn {REDACTED}, of {REDACTED}!"),
        ("0123-45672 0123 45 672", f"{REDACTED} {REDACTED}"),
        ("Z-2026-000012345672, x", f"Z-2026-{REDACTED}, x"),
        ("012345672.0 of 1.2345672e+07", REDACTED + ".0 of " + REDACTED + "e+07"),
        ("/a/01234567", "/a/REDACTED"),
        ("/a/%30%31%32%33%34%35%36%3", f"/a/{REDACTED}"),
        ("/a/01234", "/a/01234"),
        ("/a/123456/b", "/a/123456/b"),
        (f"/a/{percent(BSN)}/b", f"/a/{REDACTED}/b"),
        (f"/a/{quote(percent(BSN))}/b", f"/a/{REDACTED}/b"),
        ("/a/01234%35672/b", f"/a/{REDACTED}/b"),
        ("?q=012+345+672&r=1", f"?q={REDACTED}&r=1"),
        ("mail=JAN%40voorbeeld.nl&x=1", f"mail={REDACTED}&x=1"),
        ("To: <jan@Voorbeeld.NL>", f"To: <{REDACTED}>"),
        ("GET /gezondheid", "GET /gezondheid"),
        ("order 98765432 of 2026-11-22", "order 98765432 of 2026-11-22"),
        ("100% + 5%", "100% + 5%"),
        ("", ""),
    ],
)
def test_texts(text: str, left: str) -> None:
    """The identifier goes, what stands around it stays."""
    assert KNOWN.text(text) == left


def test_values_of_every_type() -> None:
    """Lists, mappings and their names, bytes and numbers, nested; what holds nothing keeps its type."""
    value = {"a": [BSN, {"b": (BSN.encode(), 12345672, 12345672.0)}], BSN: True, "n": 7, "f": 0.5, "none": None}
    assert KNOWN.value(value) == {
        "a": (REDACTED, {"b": (REDACTED, REDACTED, REDACTED)}),
        REDACTED: True,
        "n": 7,
        "f": 0.5,
        "none": None,
    }


def test_what_is_nested_beyond_reason_goes_whole() -> None:
    """A value that could not be looked through is not let through."""
    value: object = BSN
    for _ in range(100):
        value = [value]
    assert BSN not in str(KNOWN.value(value))


def test_a_short_identifier_is_found_where_it_stands_alone() -> None:
    """`7` in a path segment, not in `17` or in a status."""
    short = Redactor([(7, "personeelsnummer")])
    assert short.text("/medewerkers/7/x17") == f"/medewerkers/{REDACTED}/x17"
    assert short.value(7) == 7


ENCODED = st.sampled_from(list(ENCODINGS.values()))
NUMBERS = st.integers(10_000_000, 999_999_999).map(lambda number: f"{number:09}")
AROUND = st.text(alphabet="/?&=: abé<>", max_size=12)


WRITTEN = NUMBERS.flatmap(
    lambda digits: st.tuples(
        st.just(digits), separated(digits) | with_exponent(digits) | st.sampled_from([digits, f"{float(digits)}"])
    )
)


@example(("100000000", "1.0e8"), "text", str, "", "")
@example(("012345670", "1.234567E+7"), "integer", str, "", "")
@settings(max_examples=500)
@given(WRITTEN, st.sampled_from(list(TOLD)), ENCODED, AROUND, AROUND)
def test_a_number_is_found_in_every_spelling(
    number: tuple[str, str], told: str, encode: Callable[[str], str], before: str, after: str
) -> None:
    """Told in one form, quoted in another, in any surroundings."""
    digits, written = number
    redactor = Redactor([(TOLD[told](digits), "BSN")])
    text = f"{before}{encode(written)}{after}"
    shown = redactor.text(text)
    assert shown != text
    assert not redactor.finds(shown)
    assert digits.lstrip("0") not in shown


@given(NUMBERS, st.sampled_from(list(TOLD)))
def test_a_number_is_found_in_every_value(digits: str, told: str) -> None:
    """As a number, in bytes, in lists and mappings and their names."""
    redactor = Redactor([(TOLD[told](digits), "BSN")])
    for value in values_that_quote(digits)[:-1]:
        assert digits.lstrip("0") not in str(redactor.value(value)).replace("_", "")


@given(st.sampled_from(["José.Núñez@voorbeeld.nl", "AB-123-C", "Ærøskøbing-7Ψ", "straße 12b"]), ENCODED, AROUND, AROUND)
def test_letters_are_found_in_every_spelling(value: str, encode: Callable[[str], str], before: str, after: str) -> None:
    """In either case, composed or not, encoded; with digits among them, with any separators."""
    redactor = Redactor([(value, "x")])
    for spelled in (value, value.upper(), value.lower(), value.casefold(), unicodedata.normalize("NFD", value)):
        text = f"{before}{encode(spelled)}{after}"
        assert redactor.text(text) != text
        assert not redactor.finds(redactor.text(text))
    bare = Redactor([("AB-123-C", "kenteken")])
    assert bare.text("ab123c AB 123 C a.b.1.2.3.c") == "REDACTED REDACTED REDACTED"
    assert Redactor([("de.jong", "x")]).text("beleid voor de jongeren") == "beleid voor de jongeren"


@given(NUMBERS, st.integers(6, 9), ENCODED, AROUND)
def test_what_was_cut_counts_as_that_number(digits: str, kept: int, encode: Callable[[str], str], before: str) -> None:
    """Six or more of its digits at the end of a text, or a part of the escape of the next one."""
    bare = digits.lstrip("0")
    redactor = Redactor([(digits, "BSN")])
    whole = before + encode(bare)
    for length in range(len(before), len(whole) + 1):
        cut = whole[:length]
        shown = redactor.text(cut)
        assert not redactor.finds(shown)
        if encode(bare[:kept]) == cut[len(before) :]:
            assert shown != cut
    assert redactor.text(f"{before}{bare[:5]}") == f"{before}{bare[:5]}"


def test_every_character_with_a_digit_in_it_is_looked_at() -> None:
    """The prefilter's class of characters, against all characters there are."""
    looked_at = re.compile(MAY_HOLD_DIGIT.pattern)
    missed = [
        code
        for code in range(sys.maxunicode + 1)
        if any(map(str.isdigit, LETTERS_AND_DIGITS.of_character(chr(code)))) and not looked_at.match(chr(code))
    ]
    assert not missed


@given(st.text(max_size=300), st.text(max_size=300))
def test_folding_goes_character_by_character(one: str, other: str) -> None:
    """Which is what lets a place be found back, and a text be folded in pieces."""
    for folding in (LETTERS_AND_DIGITS, WHOLE_TEXT):
        assert folding(one + other) == folding(one) + folding(other)
        places = folding.places(one * 9)
        assert folding("".join(dict.fromkeys(one * 9))) or not folding(one)
        for index, character in enumerate(folding(one * 9)):
            assert character in folding.of_character((one * 9)[places[index]])


def test_a_text_that_is_encoded_more_often_than_anybody_does_goes_whole() -> None:
    """What it hides is not known."""
    text = "\\u0025" * 3 + "31"
    for _ in range(12):
        text = "".join(f"\\u{ord(character):04x}" for character in text[:6]) + text[6:]
    assert KNOWN.text(text) == REDACTED


@example("0000\U0002f800", str, "", "")  # NFC writes it as another character
@given(st.text(min_size=SHORT, max_size=20), ENCODED, st.text(max_size=10), st.text(max_size=10))
def test_any_identifier_is_found_as_it_is_and_encoded(value: str, encode: object, before: str, after: str) -> None:
    """Any text at all may be somebody's identifier."""
    value = value.encode("utf-8", "replace").decode()
    forms = forms_of(value, "https://register.example/soort")
    redactor = Redactor([(value, "https://register.example/soort")])
    shown = redactor.text(f"{before}{encode(value.strip())}{after}")  # type: ignore[operator]
    assert not redactor.finds(shown)
    assert forms.empty or forms.short or REDACTED in shown


@given(st.text(max_size=200))
def test_any_text_can_be_looked_through(text: str) -> None:
    """Nothing raises, and what is left holds nothing."""
    assert not KNOWN.finds(KNOWN.text(text))


def test_an_identifier_does_not_show_itself() -> None:
    """It ends up in tracebacks and debuggers."""
    assert BSN not in repr(forms_of(BSN, "BSN"))
    assert BSN not in repr(Redactor([(BSN, "BSN")]))


@given(
    st.one_of(st.text(st.sampled_from("0123456789aB٣ .%"), min_size=1, max_size=12), st.integers(), st.floats()),
    st.text(st.sampled_from("0123456789abAB٣ .%+-/"), max_size=30),
    st.sampled_from(["", "BSN", "KVK", "x"]),
)
def test_the_prefilter_rejects_no_text_that_holds_an_identifier(value: object, text: str, type_: str) -> None:
    """The cheap test of each text: it may be wrong in one direction only."""
    redactor, thorough = Redactor([(value, type_)]), Redactor([(value, type_)])
    thorough.may_find = bool
    assert redactor.finds(text) == thorough.finds(text)


@example("012345672", "0123+45672")
@example("100000000", "%31 000 000 00")
@given(
    st.text(st.sampled_from("0123456789"), min_size=1, max_size=40),
    st.text(st.sampled_from("00112345678٣ .%+-/\u00a0"), max_size=40),
)
def test_the_prefilter_for_numbers_misses_none(number: str, text: str) -> None:
    """A search for numbers alone finds what a search for a name as well finds."""
    numbers = [(number, "BSN")]
    assert Redactor(numbers).finds(text) == Redactor([*numbers, ("Jan Jansen", "x")]).finds(text)


@given(
    st.lists(st.text(st.sampled_from("0123456789.aé"), min_size=1, max_size=12), max_size=6),
    st.text(st.sampled_from("0123456789 .%ae\u0301é"), max_size=40),
)
def test_many_identifiers_are_found_as_few_are(values: list[str], text: str) -> None:
    """Among thousands the text's own parts are looked up; the result is that of a scan for each."""
    identifiers = [(value, "x") for value in values]
    many = Redactor([*identifiers, *((f"ééé{number}", "x") for number in range(300))])
    assert many.text(text) == Redactor(identifiers).text(text)


@given(
    st.lists(st.sampled_from(["71", "123456782", "jan@voorbeeld.nl", "000071"]), max_size=3),
    st.lists(st.sampled_from(["99", "111222333", "12345"]), max_size=3),
    st.lists(
        st.sampled_from(["71", "123.456.782", "JAN%40voorbeeld.nl", "111222333", "99", "x1234567829"]), max_size=4
    ),
)
def test_a_pair_finds_what_both_find(own: list[str], around: list[str], parts: list[str]) -> None:
    """A record's own identifiers and those of its trace, with their own rule for short ones."""
    text = " ".join(parts)
    first, second = Redactor([(value, "x") for value in own]), Redactor([(value, "x") for value in around], short=False)
    pair = RedactorPair(first, second)
    assert pair.finds(text) == (first.finds(text) or second.finds(text))
    assert not first.finds(pair.text(text))
    assert not second.finds(pair.text(text))
    assert pair.long_only.text(text) == second.text(first.long_only.text(text))
    assert pair.finds(text) <= bool(pair.may_find(text))


def test_a_short_identifier_stays_with_its_own_record() -> None:
    """In the records of others of its trace a `71` is something else; in names of things it is so anywhere."""
    trace = TraceIdentifiers()
    trace.add(b"t", [(71, "personeelsnummer"), (BSN, "BSN")])
    own, other = trace.redactor(b"t", [(71, "personeelsnummer")]), trace.redactor(b"t", [(BSN, "BSN")])
    assert own is not None
    assert other is not None
    assert own.text(f"71 {BSN}") == f"{REDACTED} {REDACTED}"
    assert other.text(f"71 {BSN}") == f"71 {REDACTED}"
    assert own.long_only.text(f"71 {BSN}") == f"71 {REDACTED}"
    assert trace.redactor(b"u", []) is None


@given(
    st.lists(st.sampled_from(["123456782", "012345672", "71", 111222333, "jan@voorbeeld.nl", None]), max_size=20),
    st.sampled_from(["Aanslag 2026", "voor 123.456.782", "Jan@voorbeeld.nl", "111222333/71", "%3123456782"]),
)
def test_those_of_many_that_are_quoted(values: list[object], text: str) -> None:
    """The shortcut for many numbers finds what a search for each finds."""
    quoted = [value for value, _ in quoted_identifiers(text, values, "x")]
    assert quoted == [value for value in values if Redactor([(value, "x")], short=False).finds(text)]


PLAIN = "123456782"
_around = st.one_of(
    st.sampled_from(
        ["", "/inwoners/", "?bsn=", "0", "00", "-", " 0-", "1", "a", "a1", ".0", "e+07", "/12", "%31", PLAIN]
    ),
    st.text(max_size=4),
    st.text("0123456789 .-/aex", max_size=6),
)
_in_pieces = st.lists(_around | st.just(PLAIN) | st.sampled_from([PLAIN[:6], "123.456.782"]), max_size=6).map("".join)


@given(_in_pieces, st.sampled_from([PLAIN, "100000000", "12345678", "999990019", "", "7", "1234", "12345"]))
@example(f"https://dienst.example:8443/inwoners/{PLAIN}/vergunningen?nr=7", PLAIN)
@settings(max_examples=500)
def test_a_plain_number_is_replaced_as_by_the_search_for_all_forms(text: str, number: str) -> None:
    """The short way, which URLs take, leaves what the long one leaves."""
    short = Redactor([(number, "BSN")]).text(text)
    with mock.patch.object(Redactor, "_text_of_plain_number", return_value=None):
        assert short == Redactor([(number, "BSN")]).text(text)


def test_a_plain_number_takes_the_short_way() -> None:
    """Else the two would be equal because there is one."""
    with mock.patch.object(Redactor, "_prepared", side_effect=AssertionError("all forms were made")):
        assert (
            Redactor([(PLAIN, "BSN")]).text(f"/inwoners/{PLAIN}/x?y={PLAIN}") == f"/inwoners/{REDACTED}/x?y={REDACTED}"
        )


@given(st.lists(_in_pieces, max_size=4), st.sampled_from(["12345678", PLAIN, "100000000", "7", "Jansen"]))
@example(["/a/123456", "x"], PLAIN)
@example(["a", "/a/123456 "], PLAIN)
@settings(max_examples=500)
def test_one_look_at_all_texts_sees_what_a_look_at_each_sees(texts: list[str], number: str) -> None:
    """Where several texts are looked through at once, each ends where it ends."""
    may_find = Redactor([(number, "BSN")]).may_find
    assert may_find(BETWEEN_TEXTS.join(texts)) or not any(map(may_find, texts))


def test_digits_of_two_texts_are_no_number() -> None:
    """Else a port and a status beside it would be looked at twice."""
    assert not Redactor([(PLAIN, "BSN")]).may_find(BETWEEN_TEXTS.join(["1234", "56782"]))
