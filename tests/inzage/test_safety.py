"""Who sees what: never somebody else's, never what is confidential, and nothing left behind on the way."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.inzage.conftest import HIDDEN, MANY, NOBODY, ONE, PERMIT, PLAIN, ROBIN, SHARED, WATCHED, World

pytestmark = pytest.mark.slow

PATHS = ("", "/verwerkingen", "/downloaden", "/mijn-gegevens.json", "/mijn-gegevens.csv")
#: Words that only one person's pages may have.
MARKS = {ROBIN: "kenteken", MANY: "Van velen", ONE: "HYPERLINK", NOBODY: ""}


@pytest.fixture(scope="module")
def sessions(world: World) -> Iterator[dict[str, httpx.Client]]:
    """A session of each."""
    found = {number: world.signed_in(number) for number in (*MARKS, PLAIN, WATCHED)}
    yield found
    for client in found.values():
        client.close()


def test_confidential_activities_leave_no_trace(sessions: dict[str, httpx.Client]) -> None:
    """Two people with the same records; what one of them has besides is confidential, and every page is the same."""
    paths = [*PATHS, f"/handelingen/{SHARED.hex()}", f"/handelingen/{HIDDEN.hex()}", "/handelingen/" + "9" * 32]
    plain, watched = ([sessions[number].get(f"/inzage{path}") for path in paths] for number in (PLAIN, WATCHED))
    for path, one, other in zip(paths, plain, watched, strict=True):
        assert one.content == other.content, path
        assert one.status_code == other.status_code
        one.headers.pop("date"), other.headers.pop("date")
        assert one.headers == other.headers
    assert "Stap 2" in plain[0].text
    assert "3 handelingen" in plain[0].text
    assert plain[-1].status_code == plain[-2].status_code == 404
    assert plain[-1].content == plain[-2].content


@settings(max_examples=15)
@given(data=st.data())
def test_sessions_side_by_side(sessions: dict[str, httpx.Client], data: st.DataObject) -> None:
    """Whatever addresses, cursors of others included, are asked for at once: everybody sees their own."""
    cursor = re.search(r"vanaf=([0-9a-f-]+)", sessions[MANY].get("/inzage").text)
    activity = re.search(r"verwerking=([0-9a-f]+)", sessions[ROBIN].get("/inzage/verwerkingen").text)
    assert cursor
    assert activity
    further = (f"?vanaf={cursor[1]}", f"?verwerking={activity[1]}", f"/handelingen/{PERMIT.hex()}")
    asked = data.draw(
        st.lists(st.tuples(st.sampled_from(list(MARKS)), st.sampled_from(PATHS + further)), min_size=2, max_size=6)
    )
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda item: sessions[item[0]].get(f"/inzage{item[1]}"), asked))
    for (number, path), answer in zip(asked, answers, strict=True):
        assert answer.status_code in {200, 404}, path
        for other, mark in MARKS.items():
            if other != number and mark:
                assert mark not in answer.text, path


def test_nothing_may_be_kept_or_come_from_elsewhere(sessions: dict[str, httpx.Client], world: World) -> None:
    """Every page: not kept by caches, no script, no frame; the cookie is for this page only and not for scripts."""
    for path in PATHS:
        headers = sessions[ROBIN].get(f"/inzage{path}").headers
        assert headers["cache-control"] == "no-store"
        assert "script-src" not in headers["content-security-policy"]
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "unsafe" not in headers["content-security-policy"]
    answer = httpx.post(f"{world.page}/aanmelden", data={"nummer": ROBIN}, headers={"Sec-Fetch-Site": "same-origin"})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "path=/inzage" in cookie
    assert ROBIN not in cookie


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "none"}, {"Origin": "https://kwaad.example"}, {}]
)
def test_a_form_of_another_site_does_nothing(world: World, headers: dict[str, str]) -> None:
    """Only our own pages may sign somebody in or out."""
    for form in ("aanmelden", "afmelden"):
        answer = httpx.post(f"{world.page}/{form}", data={"nummer": ROBIN}, headers=headers)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers


def test_no_other_name_reaches_a_demonstration(world: World) -> None:
    """A web page that lets its own name point to this machine gets nothing (DNS rebinding)."""
    assert httpx.get(world.page, headers={"Host": "kwaad.example"}).status_code == 400


@pytest.mark.parametrize("text", ["", " ", "a" * 300, "\x00", "%00", "é"])
def test_odd_numbers_sign_nobody_in(world: World, text: str) -> None:
    """Garbage is answered with a page, never with a session for everybody."""
    answer = httpx.post(f"{world.page}/aanmelden", data={"nummer": text}, headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code in {303, 401}
    if answer.status_code == 303:
        shown = httpx.get(world.page, headers={"Cookie": answer.headers["set-cookie"].partition(";")[0]})
        assert "Er is niets te zien" in shown.text


def test_the_files(sessions: dict[str, httpx.Client]) -> None:
    """All records, with the Register's words; a name that looks like a formula is none to a spreadsheet program."""
    found = sessions[MANY].get("/inzage/mijn-gegevens.json").json()
    assert found["volledig"]
    assert len({rule["kenmerk"] for rule in found["regels"]}) == 1_000
    assert found["regels"][0]["grondslag"] == "Parkeerverordening 2024, artikel 3"
    answer = sessions[ONE].get("/inzage/mijn-gegevens.csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="mijn-gegevens.csv"'
    (row,) = csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig")), delimiter=";")
    assert row["handeling"] == "'=HYPERLINK(1)<script>"
    assert row["resultaat"] == "niet gelukt"
    assert row["begin"].endswith("+02:00")
