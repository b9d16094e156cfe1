from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ldv_otel._internal.privacy.pseudonyms import (
    Key,
    KeyRing,
    Pseudonymiser,
    new_key,
    normalise_identifier,
    normalise_type,
)
from ldv_otel.attributes import Flag
from ldv_otel.errors import ConfigurationError
from tests.strategies import anything

SECRET = "0123456789abcdef0123456789abcdef"  # a test's key
KEY = Key(id="k1", secret=SECRET)


@pytest.fixture
def pseudonymiser() -> Pseudonymiser:
    """One key, nothing pseudonymous beforehand."""
    return Pseudonymiser(KeyRing([KEY], active="k1"))


def test_the_form_shared_with_the_collector(pseudonymiser: Pseudonymiser) -> None:
    """The first 16 bytes of HMAC-SHA256 over `ldv/v1|TYPE|identifier`, under the key's own text."""
    expected = hmac.new(SECRET.encode(), b"ldv/v1|BSN|123456782", hashlib.sha256).digest()[:16]
    assert pseudonymiser.subject("123456782", "BSN").pseudonym == expected


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=32, max_size=80), st.text(min_size=1))
def test_it_is_hmac_whatever_the_key(secret: str, identifier: str) -> None:
    """Of the standard library's making, for keys shorter and longer than a block."""
    key = Key(id="k", secret=secret)
    message = f"ldv/v1|x|{identifier}".encode("utf-8", "replace")
    expected = hmac.digest(secret.encode(), message, "sha256")[:16]
    assert KeyRing([key], active="k").pseudonym("x", identifier) == expected


@pytest.mark.parametrize("spelling", ["123.456.782", " 123456782 ", "1234 56 782", 123456782])
def test_one_person_has_one_pseudonym(pseudonymiser: Pseudonymiser, spelling: object) -> None:
    """Spaces and dots do not make another person."""
    assert pseudonymiser.subject(spelling, "bsn") == pseudonymiser.subject("123456782", "BSN")


def test_without_the_key_a_pseudonym_says_nothing() -> None:
    """Who has the table but no key cannot find a number by trying all of them: no two keys agree on anybody."""
    one, other = (KeyRing([new_key("k")], active="k") for _ in range(2))
    numbers = [f"{number:09}" for number in range(1_000)]
    assert not {one.pseudonym("BSN", number) for number in numbers} & {
        other.pseudonym("BSN", number) for number in numbers
    }
    assert not {one.pseudonym("BSN", number) for number in numbers} & {
        digest(f"ldv/v1|BSN|{number}".encode()).digest()[:16]
        for number in numbers
        for digest in (hashlib.sha256, hashlib.sha1, hashlib.md5)
    }


def test_leading_zeros_come_back(pseudonymiser: Pseudonymiser) -> None:
    """A BSN that was once a number has lost its zero; it is the same BSN."""
    assert pseudonymiser.subject(12345672, "BSN").pseudonym == pseudonymiser.subject("012345672", "BSN").pseudonym


def test_equal_digits_of_another_type_are_another_subject(pseudonymiser: Pseudonymiser) -> None:
    """A company's number may equal a person's."""
    assert pseudonymiser.subject("12345678", "KVK").pseudonym != pseudonymiser.subject("12345678", "BSN").pseudonym


def test_a_dot_tells_people_apart_where_it_may(pseudonymiser: Pseudonymiser) -> None:
    """Only numbers of known kinds lose their dots."""
    register = "https://register.example/relaties"
    assert pseudonymiser.subject("jan.s", register).pseudonym != pseudonymiser.subject("jans", register).pseudonym


@given(anything, anything)
def test_no_input_raises(identifier: Any, type_: Any) -> None:
    """Whatever is named as a data subject, logging goes on (LDV-A8)."""
    subject = Pseudonymiser(KeyRing([KEY], active="k1")).subject(identifier, type_)
    assert len(subject.pseudonym) in (0, 16)


@given(st.text())
@example("\u0339 \u0334")
def test_normalising_twice_changes_nothing(identifier: str) -> None:
    """The normal form is its own normal form, or a search would miss what was stored."""
    for type_ in ("BSN", "KVK", "https://x/y"):
        normal, _ = normalise_identifier(type_, identifier)
        assert normalise_identifier(type_, normal)[0] == normal


def test_odd_types_are_flagged() -> None:
    """A missing and an unknown type are stored, and said to be odd."""
    assert normalise_type(None) == ("", (Flag.SUBJECT_TYPE_MISSING,))
    assert normalise_type("kenteken") == ("kenteken", (Flag.SUBJECT_TYPE_UNKNOWN,))
    assert normalise_type("123.456.782") == ("", (Flag.SUBJECT_TYPE_UNKNOWN,)), "the identifier in the wrong place"
    assert normalise_type(" bsn ") == ("BSN", ())
    assert normalise_type("https://register.example/type") == ("https://register.example/type", ())


def test_a_search_tries_every_live_key() -> None:
    """After a change of keys old records are still found."""
    old, new = new_key("2025"), new_key("2026")
    before = Pseudonymiser(KeyRing([old], active="2025")).subject("123456782", "BSN")
    after = Pseudonymiser(KeyRing([old, new], active="2026"))
    assert after.subject("123456782", "BSN").pseudonym != before.pseudonym
    assert before.pseudonym in after.candidates("123456782", "BSN")
    assert after.subject("123456782", "BSN").key_id == "2026"


def test_a_sealed_identifier_opens_with_its_key_only() -> None:
    """AES-SIV adds a way back for who holds the key, and the lookup pseudonym stays the HMAC."""
    key = new_key("s", sealing=True)
    ring = KeyRing([key], active="s")
    subject = Pseudonymiser(ring).subject("123.456.782", "BSN")
    assert subject.sealed.startswith("siv1.")
    assert "123456782" not in subject.sealed
    assert ring.unseal(subject) == "123456782"
    assert subject == Pseudonymiser(ring).subject("123456782", "BSN")
    with pytest.raises(ConfigurationError, match="seal"):
        KeyRing([KEY], active="k1").unseal(subject)


def test_a_pseudonym_of_the_caller_is_kept_beside_the_lookup() -> None:
    """Types that are pseudonyms already stay readable as given (LDV_PSEUDONYMOUS_TYPES)."""
    subject = Pseudonymiser(KeyRing([KEY], active="k1"), ["personeelsnummer"]).subject("p-77", "Personeelsnummer")
    assert subject.sealed == "p-77"
    assert len(subject.pseudonym) == 16


def test_keys_do_not_show_themselves() -> None:
    """A key in a traceback or a debugger is named, not shown."""
    key = new_key("k", sealing=True)
    ring = KeyRing([key], active="k")
    for shown in (repr(key), repr(ring), str(ring)):
        assert key.secret not in shown
        assert key.seal not in shown


@pytest.mark.parametrize(
    ("keys", "active", "says"),
    [
        ([Key(id="a", secret="short")], "a", "32 bytes"),  # a test's key
        ([KEY], "other", "not among its keys"),
        ([KEY, KEY], "k1", "twice"),
        ([Key(id="a", secret=SECRET, seal="bm8=")], "a", "64 bytes"),
    ],
)
def test_a_ring_that_cannot_work_is_refused(keys: list[Key], active: str, says: str) -> None:
    """Bad keys fail at the start, with the way out."""
    with pytest.raises(ConfigurationError, match=says):
        KeyRing(keys, active=active)
