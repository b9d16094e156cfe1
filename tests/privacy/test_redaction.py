"""No spelling of a known identifier is left in what others get; and what is no identifier stays."""

from __future__ import annotations

from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from ldv_otel._internal.privacy.redaction import REDACTED, SHORT, Redactor, has_digits, identifier, only_beside_digits

BSN = "012345672"
KNOWN = Redactor([identifier(BSN, "BSN"), identifier("Jan@voorbeeld.nl", "https://register.example/mail")])


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
    short = Redactor([identifier(7, "personeelsnummer")])
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
    redactor = Redactor([identifier(digits.zfill(9), "BSN")])
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
    known = identifier(value, "https://register.example/soort")
    redactor = Redactor([known])
    shown = redactor.text(f"{before}{encode(value.strip())}{after}")  # type: ignore[operator]
    assert not redactor.finds(shown)
    assert known.empty or len(known.texts[0]) < SHORT or REDACTED in shown


@given(st.text(max_size=200))
def test_any_text_can_be_looked_through(text: str) -> None:
    """Nothing raises, and what is left holds nothing."""
    assert not KNOWN.finds(KNOWN.text(text))


def test_an_identifier_does_not_show_itself() -> None:
    """It ends up in tracebacks and debuggers."""
    assert BSN not in repr(identifier(BSN, "BSN"))


@given(
    st.text(st.sampled_from("0123456789aB٣ .%"), min_size=1, max_size=12),
    st.text(st.sampled_from("0123456789abAB٣ .%+-/"), max_size=30),
    st.sampled_from(["", "BSN", "KVK", "x"]),
)
def test_what_is_not_even_looked_through_holds_nothing(value: str, text: str, type_: str) -> None:
    """The short way of the privacy shield: a text without digits, when whom it is about has one."""
    if only_beside_digits(value) and not has_digits(text):
        assert not Redactor([identifier(value, type_)]).finds(text)


@example("012345672", "0123+45672")
@example("100000000", "%31 000 000 00")
@given(
    st.text(st.sampled_from("0123456789"), min_size=1, max_size=40),
    st.text(st.sampled_from("00112345678٣ .%+-/\u00a0"), max_size=40),
)
def test_a_glance_for_numbers_overlooks_none(number: str, text: str) -> None:
    """Who looks for numbers alone finds what one finds who looks for a name as well."""
    numbers = [identifier(number, "BSN")]
    assert Redactor(numbers).finds(text) == Redactor([*numbers, identifier("Jan Jansen", "x")]).finds(text)
