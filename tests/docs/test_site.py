"""The site: it builds with every link, offers five doors, and asks nothing of another site."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, sync_playwright

import ldv_otel
from ldv_otel import attributes, errors, plugins, testing

ROOT = Path(__file__).parents[2]
#: What a browser fetches by itself, as opposed to a link that somebody follows.
FETCHED = re.compile(r"<(?:script|img|iframe|source)[^>]*\bsrc=\"?([^\s\">]+)|<link[^>]*\bhref=\"?([^\s\">]+)")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, as `make docs` builds it."""
    directory = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", directory],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return directory


def test_nothing_is_fetched_from_another_site(site: Path) -> None:
    """It works without a network, and tells nobody who reads it."""
    pages = list(site.rglob("*.html"))
    assert len(pages) > 60
    fetched = {
        target
        for page in pages
        for match in FETCHED.finditer(page.read_text(encoding="utf-8"))
        for target in match.groups()
        if target
    }
    assert any(target.endswith(".css") for target in fetched)
    assert not [target for target in fetched if target.startswith(("http:", "https:", "//"))]


def test_the_doors_are_there(site: Path) -> None:
    """Five, and how we know apart."""
    text = (site / "index.html").read_text(encoding="utf-8")
    tabs = re.findall(r"md-tabs__link\">\s*(?:<[^>]+>\s*)*([^<\n]+)", text)
    assert [tab.strip() for tab in tabs if tab.strip()] == [
        "Home",
        "Wat is een Logboek?",
        "Start",
        "Beheer",
        "Toezicht",
        "Reference",
        "How we know",
    ]


def test_the_page_of_the_api_has_every_public_name(site: Path) -> None:
    """It is made from the docstrings of the public modules."""
    text = (site / "api.html").read_text(encoding="utf-8").replace("<wbr>", "")
    for module in (ldv_otel, testing, errors, plugins, attributes):
        for name in module.__all__:
            if not name.startswith("__"):
                assert f">{name}</code>" in text, name


def test_the_search_has_every_door(site: Path) -> None:
    """A page that is not in the index is not there for most people."""
    index = (site / "search" / "search_index.json").read_text(encoding="utf-8")
    for page in ("wat-is-een-logboek.html", "start/in-code.html", "operate/deploy.html", "settings.html", "cli.html"):
        assert page in index


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Print nothing into the output of the tests."""


@contextmanager
def served(directory: Path) -> Iterator[str]:
    """A server of files, by its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(directory)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def chromium() -> str:
    """The browser of this machine."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        reason = "Chromium is missing: `apt-get install chromium` (Debian)."
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    return program


def test_pages_of_each_door_are_accessible(site: Path) -> None:
    """WCAG 2.1 AA as far as axe can see it, in a browser that reaches nothing else."""
    program = chromium()
    pages = [
        "index",
        "wat-is-een-logboek",
        "start/in-code",
        "start/architecture",
        "operate/deploy",
        "toezicht/index",
        "cli",
        "flags",
        "messages",
    ]
    elsewhere: list[str] = []
    with served(site) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.on("request", lambda request: None if request.url.startswith(address) else elsewhere.append(request.url))
        violations = []
        for name in pages:
            page.goto(f"{address}{name}.html")
            report = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]})
            violations += [(name, each["id"], each["nodes"][0]["html"][:200]) for each in report.response["violations"]]
        browser.close()
    assert not violations
    assert not elsewhere


def test_commands_can_be_copied_and_each_page_has_a_next_one(site: Path) -> None:
    """A quick start is followed with two hands: what is copied has no prompt, and nothing that a command printed."""
    program = chromium()
    with served(site) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
        page = context.new_page()
        page.goto(f"{address}start/flask.html")
        assert page.locator("a.md-footer__link--next").get_attribute("href") == "django.html"
        assert _copied(page, "ldv register apply").splitlines()[-1].split(" #")[0].rstrip() == "ldv inzage --type BSN"
        assert "$" not in _copied(page, "ldv register apply")
        page.goto(f"{address}start/doctor.html")
        assert _copied(page, "WRONG variables").strip() == "ldv doctor"
        browser.close()


def _copied(page: Page, words: str) -> str:
    """What the button of the first block with these words puts on the clipboard."""
    block = page.locator(".highlight", has_text=words).first
    block.hover()
    block.locator(".md-clipboard, .md-code__button").first.click()
    page.wait_for_selector(".md-dialog--active")
    return str(page.evaluate("navigator.clipboard.readText()"))


def test_versions_beside_one_another_are_in_a_menu(site: Path, tmp_path: Path) -> None:
    """Each page leads to the same site of another version; the address above them leads to the newest."""
    program = chromium()
    for version in ("0.9.0", "0.10.0"):
        shutil.copytree(site, tmp_path / version)
    listed = subprocess.run(
        [sys.executable, ROOT / "docs" / "versions.py", tmp_path], capture_output=True, text=True, check=True
    )
    assert listed.stdout.split() == ["0.10.0", "0.9.0"]
    with served(tmp_path) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(f"{address}0.9.0/settings.html")
        page.wait_for_selector(".md-version__link", state="attached")
        links = page.locator(".md-version__link")
        assert {link.get_attribute("href") for link in links.all()} == {f"{address}0.10.0/", f"{address}0.9.0/"}
        page.goto(address)
        page.wait_for_url(f"{address}0.10.0/index.html")
        browser.close()
