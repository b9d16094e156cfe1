"""The site: it builds with every link, offers five doors, and asks nothing of another site."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_the_search_has_every_door(site: Path) -> None:
    """A page that is not in the index is not there for most people."""
    index = (site / "search" / "search_index.json").read_text(encoding="utf-8")
    for page in ("wat-is-een-logboek.html", "start/in-code.html", "operate/deploy.html", "settings.html", "cli.html"):
        assert page in index
