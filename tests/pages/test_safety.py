"""Who sees what: never somebody else's, never what is confidential, and nothing left behind on the way."""

from __future__ import annotations

import csv
import io
import math
import random
import re
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pages.conftest import (
    HIDDEN,
    LONG,
    LONG_WATCHED,
    MANY,
    NOBODY,
    ONE,
    PERMIT,
    PLAIN,
    ROBIN,
    SHARED,
    WATCHED,
    World,
)
from tests.support.chance import examples

pytestmark = pytest.mark.slow

PATHS = ("", "/verwerkingen", "/downloaden", "/mijn-gegevens.json", "/mijn-gegevens.csv")
#: Words that only one person's pages may have.
MARKS = {ROBIN: "kenteken", MANY: "Van velen", ONE: "HYPERLINK", NOBODY: ""}


@pytest.fixture(scope="module")
def sessions(world: World) -> Iterator[dict[str, httpx.Client]]:
    """A session of each."""
    found = {number: world.signed_in(number) for number in (*MARKS, PLAIN, WATCHED, LONG, LONG_WATCHED)}
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


def test_what_is_confidential_by_itself_leaves_no_gap_in_a_page(sessions: dict[str, httpx.Client]) -> None:
    """Pages are as long, and turn at the same place, whether such records lie between those that are shown or not."""
    plain, watched = (sessions[number].get("/inzage").text for number in (LONG, LONG_WATCHED))
    for _ in range(3):
        shown = re.findall(r'class="what">(Lang \d+)<', plain)
        assert shown
        assert shown == re.findall(r'class="what">(Lang \d+)<', watched)
        assert "Geheim" not in watched
        following = [re.search(r'href="(/inzage\?vanaf=(\d+)-[^"]*)"', text) for text in (plain, watched)]
        if following[0] is None or following[1] is None:
            break
        assert following[0][2] == following[1][2]
        plain, watched = sessions[LONG].get(following[0][1]).text, sessions[LONG_WATCHED].get(following[1][1]).text
    assert following == [None, None]


def differ(first: list[float], second: list[float]) -> bool:
    """Say whether two series of times, in seconds, differ by more than their own noise.

    Five times the error of the difference of two medians is more than chance gives in years of runs; and less than
    2 ms, or a tenth, nobody sees over a network.
    """
    medians = [statistics.median(found) for found in (first, second)]
    errors = []
    for found in (first, second):
        quarters = statistics.quantiles(found, n=4)
        errors.append(1.2533 * (quarters[2] - quarters[0]) / 1.349 / len(found) ** 0.5)
    return abs(medians[0] - medians[1]) > max(5 * math.hypot(*errors), 0.002, 0.1 * min(medians))


@pytest.mark.parametrize("path", ["", f"/handelingen/{HIDDEN.hex()}"])
def test_confidential_activities_take_no_time(sessions: dict[str, httpx.Client], path: str) -> None:
    """Whether there is something that is not shown cannot be told from how long a page takes.

    Both are asked in turn, in an order that is drawn each time, so that whatever else the machine does hits both.
    """
    taken: dict[str, list[float]] = {PLAIN: [], WATCHED: []}
    draw = random.Random(0)  # an order, no secret
    for _ in range(30):
        for number in draw.sample((PLAIN, WATCHED), 2):
            begin = time.perf_counter()
            sessions[number].get(f"/inzage{path}")
            taken[number].append(time.perf_counter() - begin)
    assert not differ(*taken.values())


def test_time_could_tell() -> None:
    """The test above would see 15 ms more of 30, with noise of 5 ms, and takes nothing for a difference of itself."""
    draw = random.Random(1)  # noise
    first, second = ([draw.gauss(base, 0.005) for _ in range(30)] for base in (0.030, 0.045))
    assert differ(first, second)
    assert not differ(first, [draw.gauss(0.030, 0.005) for _ in range(30)])


@settings(max_examples=examples(15))
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
