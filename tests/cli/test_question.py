"""`ldv question`: ten questions in the words of people, on a Logboek that a service wrote."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from ldv_otel._internal.questions.catalogue import QUESTIONS
from ldv_otel._internal.questions.model import Question
from tests.cli import test_cli
from tests.cli.test_cli import ACTIVITY, BSN, ldv

environ = test_cli.environ


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_each_question_is_answered(environ: dict[str, str], question: Question) -> None:
    """At a narrow terminal nothing is wider than it, and the number is nowhere."""
    done = ldv(environ | {"COLUMNS": "60", "LDV_LANG": "nl"}, "question", question.name, typed=BSN)
    assert done.returncode == 0, done.stderr
    assert "Wat u hieruit niet mag opmaken" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 60
    assert BSN not in done.stdout + done.stderr


def test_the_questions_are_listed(environ: dict[str, str]) -> None:
    """Without a name; one that is not there is answered with the names."""
    listed = ldv(environ, "question").stdout
    assert all(question.name in listed and question.title.en[:20] in listed for question in QUESTIONS)
    wrong = ldv(environ, "question", "weather")
    assert wrong.returncode == 1
    assert "completeness" in wrong.stderr


def test_who_used_a_persons_data(environ: dict[str, str]) -> None:
    """As JSON, for programs."""
    done = ldv(environ, "question", "person", "--json", typed=BSN)
    answer = json.loads(done.stdout)
    (row,) = answer["tables"]["handelingen"]
    assert (row["handeling"], row["verwerkingsactiviteit"]) == ("Wijzig kenteken", ACTIVITY)


def test_a_workbook_is_written_once_and_is_the_owners(environ: dict[str, str], tmp_path: Path) -> None:
    """A file that is there stays as it is."""
    path = tmp_path / "cijfers.xlsx"
    assert ldv(environ, "question", "figures", "--xlsx", str(path)).returncode == 0
    assert path.stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(path) as book:
        assert "xl/workbook.xml" in book.namelist()
    before = path.read_bytes()
    again = ldv(environ, "question", "parties", "--xlsx", str(path))
    assert again.returncode == 1
    assert "is there already" in again.stderr
    assert path.read_bytes() == before


def test_what_is_removed_by_a_day(environ: dict[str, str]) -> None:
    """`--on` is a day to come, for the plan too."""
    assert ldv(environ, "retention", "plan", "--on", "P3M").returncode == 0
    over = ldv(environ, "question", "removals", "--on", "2020-01-01")
    assert (over.returncode, "is over already" in over.stderr) == (1, True)
