"""tests/compatibility.yaml and the page made of it: no row without a test, no version that was not tried."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from pathlib import Path

import pytest
from packaging.version import Version as Number

from tests.docs.compatibility_page import PAGE, ROOT, Trial, Version, compatibility_page, pinned, read_areas

AREAS = read_areas()
TRIALS = list(chain.from_iterable(area.trials for area in AREAS))


def test_the_page_is_made_of_the_list() -> None:
    """Whoever adds a client to the tests runs `make pages`."""
    assert PAGE.read_text(encoding="utf-8") == compatibility_page(AREAS)


@pytest.mark.parametrize("trial", TRIALS, ids=lambda each: each.what)
def test_what_shows_it_exists(trial: Trial) -> None:
    """A row that no test stands behind is an advertisement."""
    assert trial.shown
    assert trial.result.endswith(".")
    for shown in trial.shown:
        file, _, test = shown.partition("::")
        text = (ROOT / file).read_text(encoding="utf-8")
        assert re.search(rf"^ *(async )?def {test or 'test_'}", text, re.MULTILINE), shown


@pytest.mark.parametrize("trial", TRIALS, ids=lambda each: each.what)
def test_the_version_is_one_that_these_tests_run(trial: Trial) -> None:
    """Not older than what the page says, and said in one way."""
    kinds = [trial.version.python, trial.version.file, trial.version.command, trial.version.text]
    assert sum(map(bool, kinds)) == 1
    assert trial.version.shown()
    if name := trial.version.python:
        try:
            installed = version(name)
        except PackageNotFoundError:
            pytest.skip(f"{name} is not installed here, so its tests were skipped too")
        assert Number(installed) >= Number(trial.version.tried), "older than what the page says was tried"


def test_a_version_is_read_from_the_file_that_pins_it(tmp_path: Path) -> None:
    """In each form of file; the version that replaces another is the one that runs."""
    (tmp_path / "package.json").write_text('{"dependencies": {"@a/b": "1.2.3"}}')
    (tmp_path / "pom.xml").write_text("<artifactId>c-d</artifactId>\n  <version>4.5</version>")
    (tmp_path / "go.mod").write_text("require (\n\te.org/f/v2 v2.6.0\n)\nreplace e.org/f/v2 => e.org/f/v2 v2.7.0\n")
    (tmp_path / "requirements.txt").write_text("g-h==8.9\n")
    assert pinned(tmp_path / "package.json", "@a/b") == "1.2.3"
    assert pinned(tmp_path / "pom.xml", "c-d") == "4.5"
    assert pinned(tmp_path / "go.mod", "e.org/f/v2") == "2.7.0"
    assert pinned(tmp_path / "requirements.txt", "g-h") == "8.9"
    for file in tmp_path.iterdir():
        with pytest.raises(ValueError, match="pins no"):
            pinned(file, "absent")
    assert Version(command="curl").shown() == "that of the system's `curl`"
