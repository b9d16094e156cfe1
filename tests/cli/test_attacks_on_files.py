"""Attacks on the files of an embedded Logboek, by somebody who may write its directory, found by `ldv verify`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.test_cli import ldv
from tests.cli.test_tamper import environ, run

__all__ = ["environ"]

pytestmark = pytest.mark.slow


def kinds(environ: dict[str, str], *options: str) -> list[str]:
    """What a check finds."""
    done = ldv(environ, "verify", "--json", *options)
    return sorted(each["kind"] for each in json.loads(done.stdout)["findings"])


def test_files_of_the_engine_that_were_exchanged_are_found(environ: dict[str, str], tmp_path: Path) -> None:
    """Parts of a copy in which one row is another one, under the same name: no statement ran on this Logboek."""
    run(environ)
    directory, copy = tmp_path / "logboek", tmp_path / "copy"
    shutil.copytree(directory, copy, symlinks=True)
    key = str(tmp_path / "logboek.seal.key")
    elsewhere = environ | {"LDV_LOGBOEK": f"chdb://{copy}", "LDV_SEAL_KEY": key}
    run(elsewhere, "ALTER TABLE logregel UPDATE name = 'Bekijk' WHERE seq = 1 SETTINGS mutations_sync = 1")
    assert kinds(environ) == []
    shutil.rmtree(directory / "store")
    shutil.copytree(copy / "store", directory / "store", symlinks=True)
    assert kinds(environ) == ["changed"]


def test_a_directory_of_yesterday_is_found_elsewhere_only(environ: dict[str, str], tmp_path: Path) -> None:
    """It is in order in itself: a second place shows what is gone, and so does a machine that verified before."""
    place, directory, yesterday = f"file://{tmp_path / 'place'}", tmp_path / "logboek", tmp_path / "yesterday"
    run(environ)
    assert ldv(environ, "seal", "--to", place).returncode == 0
    shutil.copytree(directory, yesterday, symlinks=True)
    run(environ)
    assert ldv(environ, "seal", "--to", place).returncode == 0
    assert kinds(environ, "--against", place) == []
    shutil.rmtree(directory)
    shutil.copytree(yesterday, directory, symlinks=True)
    found = ldv(environ, "verify", "--against", place)
    assert found.returncode == 1
    assert "has 1 entries more: the Logboek's log was cut or rolled back" in found.stdout
    assert kinds(environ, "--continue") == ["log changed"]
    assert kinds(environ) == []


def test_a_log_that_was_forked_is_found_by_who_compares(environ: dict[str, str], tmp_path: Path) -> None:
    """Two readers are shown two logs by somebody who has every key: each is in order, and together they are not."""
    places = [f"file://{tmp_path / name}" for name in ("first", "second")]
    directory, before = tmp_path / "logboek", tmp_path / "before"
    run(environ)
    shutil.copytree(directory, before, symlinks=True)
    for place in places:
        shutil.rmtree(directory)
        shutil.copytree(before, directory, symlinks=True)
        run(environ)
        assert ldv(environ, "seal", "--to", place).returncode == 0
        assert kinds(environ, "--against", place) == []
    assert kinds(environ, "--against", places[1], "--against", places[0]) == ["log changed"]
