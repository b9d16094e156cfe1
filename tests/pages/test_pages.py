"""The pages in a real browser, as the people they are for use them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from ldv_otel._internal.api.pages.assets import LOOKS, NL_DESIGN_SYSTEM, OWN
from tests.pages.conftest import MANY, NOBODY, ONE, OTHER, PERMIT, ROBIN, SILENT, UNKNOWN, Opened, World

pytestmark = pytest.mark.slow

AXE_OPTIONS = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


def test_the_citizens_story(opened: Opened, world: World) -> None:
    """Sign in, see what was done and why, see what the other organisation did, sign out."""
    with opened(ROBIN) as page:
        expect(page.get_by_role("heading", level=1)).to_have_text("Wat deden wij met uw gegevens?")
        expect(page.get_by_role("heading", level=2).first).to_have_text("maandag 21 september 2026")
        first = page.get_by_role("article").first
        expect(first).to_contain_text("Tenaamstelling controleren")
        expect(first).to_contain_text("Nagaan of een kenteken op naam staat van de houder van de vergunning")
        expect(first).to_contain_text("Parkeerverordening 2024, artikel 4")
        expect(first).to_contain_text("1 jaar en 6 maanden")
        expect(first).to_contain_text("Gevraagd aan RDW")
        # The clock of here, not the browser's.
        expect(first).to_contain_text("16.13 uur")
        first.get_by_role("link").click()
        expect(page.get_by_role("main")).to_contain_text("RDW heeft ons verteld wat zij deed")
        nested = page.locator(".tree .tree .tree .node")
        expect(nested).to_contain_text("Verstrek houdergegevens")
        expect(nested).to_contain_text("RDW")
        expect(page.locator("svg .box")).to_have_count(4)
        expect(page.get_by_role("main")).not_to_contain_text("een ander")
        assert ROBIN not in page.content() + page.url + page.title()
        page.get_by_role("button", name="Uitloggen").click()
        expect(page.get_by_label("Burgerservicenummer")).to_be_visible()
        page.goto(f"{world.page}/handelingen/{PERMIT.hex()}")
        expect(page.get_by_label("Burgerservicenummer")).to_be_visible()
    assert ROBIN not in world.log.read_text("utf-8")
    assert PERMIT.hex() not in world.log.read_text("utf-8")


def test_who_does_not_answer_is_named_with_where_to_ask(opened: Opened, world: World) -> None:
    """Unreachable, without an API, and unknown: each is told as what it is (LDV-R6)."""
    with opened(OTHER) as page:
        page.goto(f"{world.page}/handelingen/{SILENT.hex()}")
        expect(page.get_by_role("main")).to_contain_text("CJIB geeft nu geen antwoord")
        expect(page.get_by_role("link", name="Vraag het aan CJIB")).to_have_attribute(
            "href", "https://cjib.example/privacy"
        )
        expect(page.get_by_role("main")).to_contain_text("Wij kunnen niet zien wat Klein deed")
        expect(page.get_by_role("main")).to_contain_text("Wij hebben vreemd.example iets gevraagd")
        expect(page.locator("svg .box.silent")).to_have_count(3)


def test_what_the_register_lacks_is_said(opened: Opened) -> None:
    """An activity without words is not hidden, and not dressed up; a name is never markup."""
    with opened(ONE) as page:
        expect(page.get_by_role("article")).to_contain_text("Handeling zonder uitleg")
        expect(page.get_by_role("article")).to_contain_text(UNKNOWN)
        expect(page.get_by_role("article")).to_contain_text("=HYPERLINK(1)<script>")
        expect(page.get_by_role("article")).to_contain_text("Niet gelukt door een fout bij ons")


def test_a_thousand_records_by_pages_without_script(opened: Opened, world: World) -> None:
    """Twenty pages, every record once, the newest first."""
    with opened(MANY, script=False) as page:
        page.wait_for_load_state()
        expect(page.get_by_role("main")).to_contain_text("U ziet 50 handelingen")
        seen: list[str] = []
        while True:
            seen += page.locator(".what").all_inner_texts()
            further = page.get_by_role("link", name="Bekijk oudere handelingen")
            if not further.count():
                break
            page.goto(f"{world.address}{further.get_attribute('href')}")
        assert seen == [f"Van velen {number}" for number in range(1_000)]


def test_with_the_keyboard_alone(opened: Opened) -> None:
    """Everything can be reached with Tab and Enter, and one sees where one is."""
    with opened() as page:
        tab_to(page, "Burgerservicenummer")
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.type(ROBIN)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=2).first).to_be_visible()
        page.keyboard.press("Tab")
        expect(page.get_by_text("Ga naar de inhoud")).to_be_focused()
        expect(page.get_by_text("Ga naar de inhoud")).to_be_in_viewport()
        page.keyboard.press("Enter")
        tab_to(page, "Bekijk alle stappen")
        width = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
        assert float(width.removesuffix("px")) >= 2
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("Wat gebeurde er precies?")
        expect(page.get_by_role("region", name="Dezelfde stappen als tekening")).to_be_visible()
        tab_to(page, "tekening")


def tab_to(page: Page, wanted: str) -> None:
    """Press Tab until something with that in its name or text has the focus."""
    for _ in range(30):
        page.keyboard.press("Tab")
        there = page.evaluate(
            "(e => [e.innerText, e.getAttribute('aria-label'), e.getAttribute('aria-labelledby'),"
            " e.labels && e.labels[0] && e.labels[0].innerText].join(' '))(document.activeElement)"
        )
        if wanted in there:
            return
    pytest.fail(f"Tab does not come to {wanted}")


def every_state(page: Page, world: World) -> Iterator[str]:
    """Go to every page that this person has, and say which it is."""
    yield "timeline"
    for path in ("verwerkingen", "downloaden", "bestaat-niet", "?vanaf=onzin"):
        page.goto(f"{world.page}{'' if path.startswith('?') else '/'}{path}")
        yield path
    page.goto(world.page)
    link = page.get_by_role("link", name="Bekijk alle stappen")
    if link.count():
        page.goto(f"{world.address}{link.first.get_attribute('href')}")
        yield "trace"


def with_look(look: str, *values: str) -> Any:
    """Parameters of a test, the look first; skipped where that look is not there."""
    reason = "`make assets` was not run, or could not be: no npm"
    return pytest.param(look, *values, marks=pytest.mark.skipif(look not in LOOKS, reason=reason))


@pytest.mark.parametrize(
    ("look", "number"),
    [
        *(with_look(OWN, number) for number in ("", NOBODY, ONE, ROBIN, OTHER)),
        *(with_look(NL_DESIGN_SYSTEM, number) for number in ("", ONE, OTHER)),
    ],
)
def test_no_violation_of_wcag(opened: Opened, world: World, look: str, number: str) -> None:
    """axe-core finds nothing: signed out, empty, one record, a chain, silent parties, errors.

    That is on a screen of 320 px, where everything but the drawing, which scrolls by itself, has to fit (WCAG 1.4.10).
    """
    axe = Axe()
    with opened(number, width=320, look=look) as page:
        for state in every_state(page, world):
            found = axe.run(page, options=AXE_OPTIONS)
            assert not found.response["violations"], (state, found.generate_report())
            assert page.evaluate("document.documentElement.scrollWidth") <= 320, state


def test_no_violation_of_wcag_with_a_thousand_records(opened: Opened) -> None:
    """As many as a page has, on a wide screen."""
    with opened(MANY) as page:
        found = Axe().run(page, options=AXE_OPTIONS)
        assert not found.response["violations"], found.generate_report()


def test_on_paper(opened: Opened) -> None:
    """A print has what was done and why, and nothing to click."""
    with opened(ROBIN) as page:
        page.emulate_media(media="print")
        expect(page.get_by_text("Wijzig kenteken")).to_be_visible()
        expect(page.get_by_text("Parkeerverordening 2024, artikel 3")).to_be_visible()
        expect(page.locator("nav.menu")).to_be_hidden()
        expect(page.get_by_role("button", name="Uitloggen")).to_be_hidden()
        assert page.pdf().startswith(b"%PDF")


def test_weight_and_calm(opened: Opened) -> None:
    """The page with most on it and its stylesheet stay under 150 kB, and nothing moves while it loads."""
    with opened(MANY) as page:
        assert page.evaluate("document.styleSheets.length") == 1
        shift = """() => new Promise(done => {
            new PerformanceObserver(list => done(list.getEntries().reduce((sum, one) => sum + one.value, 0)))
                .observe({type: 'layout-shift', buffered: true});
            setTimeout(() => done(0), 500);
        })"""
        assert page.evaluate(shift) == 0
        sizes = page.evaluate(
            "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
            ".map(one => one.decodedBodySize)"
        )
        assert 0 < sum(sizes) < 150_000
