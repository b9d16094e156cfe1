"""Plays the story and writes the pictures of `docs/inzage.md`: what a citizen sees of it, in Chromium."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from demo import ROOT, pages, play
from playwright.sync_api import sync_playwright

PICTURES = ROOT / "docs" / "inzage"


def main() -> None:
    """Write the pictures."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("Chromium is missing: `apt-get install chromium` (Debian).")
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        home = Path(name) / "demo"
        gemeente, rdw = play(home)
        with pages(gemeente, rdw, home) as address:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            for width, suffix in ((900, ""), (360, "-smal")):
                page = browser.new_page(viewport={"width": width, "height": 900})
                page.goto(address)
                page.get_by_role("button", name="Log in").click()
                page.get_by_role("article").first.wait_for()
                page.screenshot(path=PICTURES / f"tijdlijn{suffix}.png")
                if not suffix:
                    page.get_by_role("link", name="Bekijk alle stappen").first.click()
                    page.locator("#tekening").wait_for()
                    page.screenshot(path=PICTURES / "handeling.png", full_page=True)
                page.close()
            browser.close()


if __name__ == "__main__":
    main()
