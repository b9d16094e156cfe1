"""No spelling of a known identifier is left in what others get; and what is no identifier stays."""

from __future__ import annotations

from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from ldv_otel._internal.privacy.redaction import (
    REDACTED,
    SHORT,
    Redactor,
    RedactorPair,
    TraceIdentifiers,
    forms_of,
    quoted_identifiers,
)

BSN = "012345672"
KNOWN = Redactor([(BSN, "BSN"), ("Jan@voorbeeld.nl", "https://register.example/mail")])


def percent(text: str) -> str:
    """Encode each byte."""
    return "".join(f"%{byte:02x}" for byte in text.encode())


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"/inwoners/{BSN}/x?y={BSN}", f"/inwoners/{REDACTED}/x?y={REDACTED}"),
        ("bsn 012.345.672, of 12345672!", f"bsn {REDACTED}, of {REDACTED}!"),
        ("0123-45672 0123 45 672", REDACTED),
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


SEPARATED = st.lists(st.sampled_from(["", "", " ", ".", "-"]), min_size=9, max_size=9)
ENCODINGS = st.sampled_from([str, quote, quote_plus, percent, lambda text: quote(percent(text))])


@example(10_000, ["", "", " "], quote, "%x", "")
@given(
    st.integers(min_value=10_000, max_value=999_999_999),
    SEPARATED,
    ENCODINGS,
    st.text(alphabet="/?&=: ab%<>é", max_size=12),
    st.text(alphabet="/?&=: ab%<>é", max_size=12),
)
def test_a_number_is_found_in_every_spelling(
    number: int, separators: list[str], encode: object, before: str, after: str
) -> None:
    """Separators anywhere, encoded or not, in any surroundings."""
    # A `%` just before makes one character of itself and the first digits: nobody reads that number there.
    assume("%" not in before[-2:])
    digits = str(number)
    spelled = digits[0] + "".join(f"{mark}{digit}" for mark, digit in zip(separators, digits[1:], strict=False))
    redactor = Redactor([(digits.zfill(9), "BSN")])
    text = f"{before}{encode(spelled)}{after}"  # type: ignore[operator]
    shown = redactor.text(text)
    assert shown != text
    assert not redactor.finds(shown)
    assert digits not in shown


@example("0000\U0002f800", str, "", "")  # NFC writes it as another character
@given(st.text(min_size=SHORT, max_size=20), ENCODINGS, st.text(max_size=10), st.text(max_size=10))
def test_any_identifier_is_found_as_it_is_and_encoded(value: str, encode: object, before: str, after: str) -> None:
    """Any text at all may be somebody's identifier."""
    value = value.encode("utf-8", "replace").decode()
    forms = forms_of(value, "https://register.example/soort")
    redactor = Redactor([(value, "https://register.example/soort")])
    shown = redactor.text(f"{before}{encode(value.strip())}{after}")  # type: ignore[operator]
    assert not redactor.finds(shown)
    assert forms.empty or len(forms.texts[0]) < SHORT or REDACTED in shown


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
