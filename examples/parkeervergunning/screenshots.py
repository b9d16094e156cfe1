"""Plays the story and writes the pictures of `docs/inzage.md` and `docs/toezicht`: what people see, in Chromium."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from demo import ROOT, pages, play
from playwright.sync_api import Page, sync_playwright

PICTURES = ROOT / "docs" / "inzage"
QUESTIONS = ROOT / "docs" / "toezicht"


def main() -> None:
    """Write the pictures."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("Chromium is missing: `apt-get install chromium` (Debian).")
    PICTURES.mkdir(exist_ok=True)
    QUESTIONS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        home = Path(name) / "demo"
        gemeente, rdw = play(home)
        with pages(gemeente, rdw, home) as address:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            for width, suffix in ((900, ""), (360, "-smal")):
                page = browser.new_page(viewport={"width": width, "height": 900}, locale="nl-NL")
                page.goto(address)
                with page.expect_navigation():
                    page.get_by_role("button", name="Log in").click()
                page.screenshot(path=PICTURES / f"tijdlijn{suffix}.png")
                if not suffix:
                    page.get_by_role("link", name="Bekijk alle stappen").first.click()
                    page.locator("#tekening").wait_for()
                    page.screenshot(path=PICTURES / "handeling.png", full_page=True)
                page.close()
            oversight = address.replace("/inzage", "/toezicht")
            officer(browser.new_page(viewport={"width": 900, "height": 900}, locale="nl-NL"), oversight)
            questions(browser.new_page(viewport={"width": 1200, "height": 900}, locale="nl-NL"), oversight)
            browser.close()


def officer(page: Page, address: str) -> None:
    """Write the pictures of the pages for privacy officers."""
    page.goto(address)
    page.screenshot(path=PICTURES / "toezicht.png", full_page=True)
    page.goto(f"{address}/persoon")
    page.get_by_label("Nummer van de persoon").fill("123456782")
    page.get_by_label("Waarom wilt u dit zien?").fill("Klacht 2026-17 van een inwoner")
    page.screenshot(path=PICTURES / "toezicht-persoon.png", full_page=True)
    with page.expect_navigation():
        page.get_by_role("button", name="Leg vast en laat zien").click()
    page.screenshot(path=PICTURES / "toezicht-persoon-regels.png")


def questions(page: Page, address: str) -> None:
    """Write the pictures of the ten questions, and of a letter."""
    page.goto(f"{address}/vragen")
    page.screenshot(path=QUESTIONS / "vragen.png", full_page=True)
    page.goto(f"{address}/vragen/datalek")
    page.screenshot(path=QUESTIONS / "datalek.png", full_page=True)
    page.goto(f"{address}/persoon")
    page.get_by_label("Nummer van de persoon").fill("123456782")
    page.get_by_label("Waarom wilt u dit zien?").fill("Klacht 2026-17 van een inwoner")
    page.get_by_label("Hoe wilt u het hebben?").select_option("Als brief aan de persoon")
    with page.expect_navigation():
        page.get_by_role("button", name="Leg vast en laat zien").click()
    page.screenshot(path=QUESTIONS / "brief.png")


if __name__ == "__main__":
    main()
