"""The pages for privacy officers in a real browser: figures, what failed, what is missing, and one person."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from ldv_otel._internal.api.pages.assets import NL_DESIGN_SYSTEM, OWN
from tests.pages.conftest import NOBODY, ROBIN, UNKNOWN, Opened, World
from tests.pages.test_pages import AXE_OPTIONS, tab_to, with_look

pytestmark = pytest.mark.slow

PERIOD = "van=2026-09-21&tot=2026-09-21"
REASON = "Klacht 2026-17 van een inwoner"


def ask(page: Page, world: World, number: str, reason: str = REASON) -> None:
    """Fill in the form for one person, and send it."""
    page.goto(f"{world.address}/toezicht/persoon")
    page.get_by_label("Nummer van de persoon").fill(number)
    page.get_by_label("Waarom wilt u dit zien?").fill(reason)
    with page.expect_navigation():
        page.get_by_role("button", name="Leg vast en laat zien").click()


def test_a_period_at_a_glance(opened: Opened, world: World) -> None:
    """How much, what failed, what was changed, what the Register lacks; each leads to its records."""
    with opened() as page:
        page.goto(f"{world.address}/toezicht?{PERIOD}")
        expect(page.get_by_role("main")).to_contain_text("op 21 september 2026")
        unknown = page.get_by_role("region", name="Niet in het Register").get_by_role("row", name=UNKNOWN)
        expect(unknown).to_contain_text("1")
        expect(page.get_by_role("region", name="Per verwerkingsactiviteit")).to_contain_text(
            "Misbruik van vergunningen"
        )
        page.get_by_role("link", name="bekijk wat niet gelukt is").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Wat niet gelukt is")
        expect(page.locator("tbody tr")).to_have_count(1)
        expect(page.locator("tbody tr")).to_contain_text("=HYPERLINK(1)<script>")
        page.goto(f"{world.address}/toezicht?{PERIOD}")
        page.get_by_role("link", name="bekijk wat aangepast is").click()
        expect(page.locator("tbody tr")).to_contain_text("Aangepast: eindigde voordat het begon")
        page.goto(f"{world.address}/toezicht?{PERIOD}")
        page.get_by_role("region", name="Per verwerkingsactiviteit").get_by_role("link", name="Tenaamstelling").click()
        expect(page.locator("tbody tr")).to_contain_text("Gevraagd aan RDW")


def test_all_records_of_a_period_by_pages_without_script(opened: Opened, world: World) -> None:
    """Every record once, the newest first."""
    with opened(script=False) as page:
        page.goto(f"{world.address}/toezicht/regels?van=2026-08-01&tot=2026-08-20")
        seen: list[str] = []
        while True:
            seen += page.locator("tbody .what").all_inner_texts()
            further = page.get_by_role("link", name="Bekijk oudere handelingen")
            if not further.count():
                break
            page.goto(f"{world.address}{further.get_attribute('href')}")
        assert len(seen) > 100
        assert seen == [f"Van velen {number}" for number in range(1_000 - len(seen), 1_000)]


def test_what_is_missing_of_a_sequence(opened: Opened, world: World) -> None:
    """A writer of whose records one never came is named."""
    with opened() as page:
        page.goto(f"{world.address}/toezicht/reeksen?van=2026-08-01&tot=2026-09-30")
        expect(page.locator("tbody tr")).to_have_count(1)
        lost = page.locator("tbody tr .number").nth(1)
        expect(lost).to_have_text("1")


def test_nothing_is_said_of_days_that_were_not_looked_at(opened: Opened, world: World) -> None:
    """A gap of September does not show in March; the page says of which days it speaks, and what it cannot see."""
    with opened() as page:
        page.goto(f"{world.address}/toezicht/reeksen?van=2026-03-01&tot=2026-03-31")
        main = page.get_by_role("main")
        expect(main).to_contain_text(
            "Er zijn geen reeksen van 1 maart 2026 tot en met 31 maart 2026. Er is dus niets nagekeken."
        )
        expect(main).to_contain_text("Het einde van een reeks.")
        expect(main).not_to_contain_text("ontbreekt niets")
        page.goto(f"{world.address}/toezicht?van=2026-03-01&tot=2026-03-31")
        expect(main).to_contain_text(
            "Er is niets nagekeken: er is van 1 maart 2026 tot en met 31 maart 2026 niets te zien."
        )


def test_when_the_logboek_was_checked_for_changes(opened: Opened, world: World) -> None:
    """The last check, who made it, and what came out; and that this is what the Logboek itself says."""
    with opened() as page:
        page.goto(f"{world.address}/toezicht/controles")
        expect(page.locator("tbody tr")).to_have_count(1)
        expect(page.locator("tbody tr")).to_contain_text("geen verandering")
        expect(page.get_by_role("main")).to_contain_text(
            "De laatste controle vond geen verandering in wat verzegeld is."
        )
        expect(page.get_by_role("main")).to_contain_text(socket.gethostname())
        expect(page.get_by_role("main")).to_contain_text("Dit staat in het Logboek zelf.")


def test_looking_at_one_person_is_on_record_for_that_person(opened: Opened, world: World) -> None:
    """The officer sees the records; the person sees that somebody looked, under an activity of its own."""
    with opened(ROBIN) as page:
        ask(page, world, ROBIN, f"{REASON}, BSN {ROBIN}")
        expect(page.get_by_role("main")).to_contain_text("Klacht 2026-17")
        expect(page.get_by_role("main")).to_contain_text("Wijzig kenteken")
        expect(page.get_by_role("article").first).to_contain_text("Gegevens bekeken door de privacyofficer")
        assert ROBIN not in page.content() + page.url + page.title()
        page.goto(world.page)
        first = page.get_by_role("article").first
        expect(first).to_contain_text("Gegevens bekeken door de privacyofficer")
        expect(first).to_contain_text("Toezicht op het Logboek")
    assert ROBIN not in world.log.read_text("utf-8")
    assert "Klacht" not in world.log.read_text("utf-8")


def test_what_is_wrong_in_the_form_is_said_and_nothing_is_shown(opened: Opened, world: World) -> None:
    """Without a number that can be, and without a reason, there is no record and there are no data."""
    with opened() as page:
        ask(page, world, "12ab", "zomaar")
        expect(page.get_by_role("alert")).to_contain_text("Dit nummer kan niet kloppen")
        expect(page.get_by_role("alert")).to_contain_text("Schrijf op waarom")
        expect(page.get_by_label("Waarom wilt u dit zien?")).to_have_value("zomaar")
        assert "12ab" not in page.content()
        page.goto(f"{world.address}/toezicht?van=2026-09-22&tot=2026-09-21")
        expect(page.get_by_role("main")).to_contain_text("De eerste dag moet voor de laatste dag liggen.")


def test_a_slip_in_a_bsn_is_asked_about_first(opened: Opened, world: World) -> None:
    """An access to nobody's records is not put on record by a slip; who insists is served."""
    with opened() as page:
        ask(page, world, "123456781", REASON)
        expect(page.get_by_role("alert")).to_contain_text("Dit BSN kan niet kloppen. Kijk het na.")
        page.get_by_label("Nummer van de persoon").fill("123456781")
        page.get_by_label("Toch zoeken met dit BSN").check()
        page.get_by_role("button", name="Leg vast en laat zien").click()
        expect(page.get_by_role("main")).to_contain_text("Gegevens bekeken door de privacyofficer")
        assert "123456781" not in page.content()


def test_with_the_keyboard_alone(opened: Opened, world: World) -> None:
    """A person can be looked up with Tab, the arrows and Enter."""
    with opened() as page:
        page.goto(f"{world.address}/toezicht/persoon")
        tab_to(page, "Nummer van de persoon")
        page.keyboard.type(NOBODY)
        tab_to(page, "Waarom wilt u dit zien?")
        page.keyboard.type(REASON)
        tab_to(page, "Leg vast en laat zien")
        with page.expect_navigation():
            page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("Wat is er over deze persoon vastgelegd?")


def every_state(page: Page, world: World) -> Iterator[str]:
    """Go to every page, in every state, and say which it is."""
    for path in (
        f"?{PERIOD}",
        "?van=1990-01-01&tot=1990-01-02",
        "?van=onzin",
        f"/regels?{PERIOD}",
        f"/regels?{PERIOD}&soort=aangepast",
        "/reeksen",
        "/controles",
        "/persoon",
        "/bestaat-niet",
    ):
        page.goto(f"{world.address}/toezicht{path}")
        yield path
    ask(page, world, "12ab", "zomaar")
    yield "wrong"
    ask(page, world, ROBIN)
    yield "person"


@pytest.mark.parametrize("look", [with_look(OWN), with_look(NL_DESIGN_SYSTEM)])
def test_no_violation_of_wcag_and_no_sideways_scrolling(opened: Opened, world: World, look: str) -> None:
    """axe-core finds nothing on any page, and at 320 px only the tables scroll, by themselves."""
    axe = Axe()
    with opened(width=320, look=look) as page:
        for state in every_state(page, world):
            found = axe.run(page, options=AXE_OPTIONS)
            assert not found.response["violations"], (state, found.generate_report())
            assert page.evaluate("document.documentElement.scrollWidth") <= 320, state
