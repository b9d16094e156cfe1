"""`ldv question`: ten questions in the words of people, on a Logboek that a service wrote."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ldv_otel._internal.questions.catalogue import QUESTIONS
from ldv_otel._internal.questions.model import Question
from tests.cli import test_cli
from tests.cli.test_cli import ACTIVITY, BSN, ldv

environ = test_cli.environ
OVERSEEING = "https://register.example/activiteiten/toezicht"
REASON = "Klacht 2026-17 van een inwoner"
WRITE = f"""
import ldv_otel as ldv
ldv.install()
for number in ({BSN!r}, "999990019"):
    for _ in range(2):
        with ldv.processing({ACTIVITY!r}, name="Toon"):
            ldv.data_subject(number, type="BSN")
"""


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_each_question_is_answered(environ: dict[str, str], question: Question, columns: int) -> None:
    """At any width nothing is wider than the terminal, and the number is nowhere."""
    done = ldv(environ | {"COLUMNS": str(columns), "LDV_LANG": "nl"}, "question", question.name, typed=BSN)
    assert done.returncode == 0, done.stderr
    assert "Wat u hieruit niet mag opmaken" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= columns
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


def records_of_looking(environ: dict[str, str], number: str = BSN) -> list[dict[str, str]]:
    """What a person can read of who looked at their records."""
    rows = json.loads(ldv(environ, "question", "person", "--json", typed=number).stdout)["tables"]["handelingen"]
    return [row for row in rows if row["medewerker"]]


@pytest.mark.parametrize(("language", "heading"), [("nl", "Wat wij met uw gegevens deden"), ("en", "What we did")])
def test_a_letter_is_written_after_it_is_on_record(
    environ: dict[str, str], tmp_path: Path, language: str, heading: str
) -> None:
    """With a reason; the letter is its owner's alone, and has no number."""
    overseen = environ | {"LDV_TOEZICHT_ACTIVITY": OVERSEEING, "LDV_LANG": language}
    path = tmp_path / "brief.html"
    before = len(records_of_looking(overseen))
    done = ldv(overseen, "inzage", "--brief", str(path), "--reason", f"{REASON} {BSN}", typed=BSN)
    assert done.returncode == 0, done.stderr
    text = path.read_text("utf-8")
    assert heading in text
    assert "Wijzig kenteken" in text
    assert BSN not in text + done.stdout + done.stderr
    assert path.stat().st_mode & 0o777 == 0o600
    looked = records_of_looking(overseen)
    assert len(looked) == before + 1
    assert looked[0]["kenmerk"] in text
    assert looked[0]["reden"].startswith(REASON)
    assert BSN not in looked[0]["reden"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--brief", "BRIEF"], "--reason has to say why"),
        (["--brief", "BRIEF", "--reason", "te kort"], "--reason has to say why"),
        (["--brief", ".", "--reason", REASON], "is there already"),
    ],
)
def test_no_letter_without_a_reason(environ: dict[str, str], tmp_path: Path, options: list[str], said: str) -> None:
    """Nor over a file that is there; nothing is on record then."""
    overseen = environ | {"LDV_TOEZICHT_ACTIVITY": OVERSEEING}
    path = tmp_path / "brief.html"
    before = records_of_looking(overseen)
    done = ldv(overseen, "inzage", *(str(path) if each == "BRIEF" else each for each in options), typed=BSN)
    assert (done.returncode, said in done.stderr) == (1, True), done.stderr
    assert not path.exists()
    assert records_of_looking(overseen) == before
    without = ldv(environ, "inzage", "--brief", str(path), "--reason", REASON, typed=BSN)
    assert "LDV_TOEZICHT_ACTIVITY" in without.stderr
    assert not path.exists()


def test_evidence_is_one_file(environ: dict[str, str], tmp_path: Path) -> None:
    """For `complaint` only, and with a reason."""
    overseen = environ | {"LDV_TOEZICHT_ACTIVITY": OVERSEEING}
    path = tmp_path / "bewijs.zip"
    done = ldv(overseen, "question", "complaint", "--evidence", str(path), "--reason", REASON, typed=BSN)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(path) as evidence:
        rows = json.loads(evidence.read("handelingen.json"))["regels"]
        assert "Wijzig kenteken" in evidence.read("handelingen.html").decode()
    by_name = {row["handeling"]: row["bewijs"] for row in rows}
    assert by_name["Wijzig kenteken"] is not None
    (tmp_path / "proofs.json").write_text(json.dumps({"regels": [row for row in rows if row["bewijs"]]}))
    assert ldv(environ, "verify", "--proof", str(tmp_path / "proofs.json")).returncode == 0
    assert ldv(overseen, "question", "person", "--evidence", str(tmp_path / "x"), typed=BSN).returncode == 1


def test_whom_to_notify_is_opened_after_it_is_on_record(
    environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each person once, over keys; a list for its owner alone; each can read that their number was opened, and why."""
    home = tmp_path_factory.mktemp("breach")
    sealed = environ | {
        "LDV_LOGBOEK": f"chdb://{home}/logboek",
        "LDV_KEYS": f"{home}/keys.json",
        "LDV_STATE": f"{home}/state",
        "LDV_TOEZICHT_ACTIVITY": OVERSEEING,
    }
    for _ in range(2):
        assert ldv(sealed, "key", "new", "--seal").returncode == 0
        subprocess.run([sys.executable, "-c", WRITE], env=sealed, check=True, capture_output=True)
    unclear = json.loads(ldv(sealed, "question", "breach", "--json").stdout)["tables"]["mensen"]
    assert [(row["ten_minste"], row["ten_hoogste"]) for row in unclear] == [(2, 4)]
    path = home / "lijst.csv"
    without = ldv(sealed, "question", "breach", "--notify", str(path))
    assert (without.returncode, "--reason" in without.stderr) == (1, True)
    done = ldv(sealed, "question", "breach", "--notify", str(path), "--reason", "Datalek 2026-3 bij de balie")
    assert done.returncode == 0, done.stderr
    assert path.read_text().splitlines() == ["soort,nummer", f"BSN,{BSN}", "BSN,999990019"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert BSN not in done.stdout + done.stderr
    for number in (BSN, "999990019"):
        (opened,) = records_of_looking(sealed, number)
        assert opened["reden"] == "Datalek 2026-3 bij de balie"


def test_whom_nobody_can_open_is_not_on_a_list(environ: dict[str, str], tmp_path: Path) -> None:
    """Without seals there is no list, and nothing on record."""
    overseen = environ | {"LDV_TOEZICHT_ACTIVITY": OVERSEEING}
    before = records_of_looking(overseen)
    done = ldv(overseen, "question", "breach", "--notify", str(tmp_path / "x"), "--reason", REASON)
    assert (done.returncode, "Nothing was written" in done.stderr) == (1, True)
    assert not (tmp_path / "x").exists()
    assert records_of_looking(overseen) == before


def test_whether_anybody_tampered_is_checked_now(environ: dict[str, str]) -> None:
    """`--verify` reads everything and puts that on record; the answer rests on it."""
    before = json.loads(ldv(environ, "question", "tampering", "--json").stdout)
    done = ldv(environ, "question", "tampering", "--verify", "--json")
    assert done.returncode == 0, done.stderr
    after = json.loads(done.stdout)
    assert len(after["tables"]["controles"]) == len(before["tables"]["controles"]) + 1
    assert after["tables"]["controles"][0]["sleutels_genoemd"] is True
    assert after["answer"][0] == "The last check came to no change of what is sealed."
    assert ldv(environ, "question", "parties", "--verify").returncode == 1


def test_a_table_that_has_no_room_is_not_cut_to_pieces(environ: dict[str, str]) -> None:
    """Each row has lines of its own then, with whole words; what says nothing is left out."""
    narrow = ldv(environ | {"COLUMNS": "60", "LDV_LANG": "nl"}, "question", "person", typed=BSN).stdout
    assert "  Handeling: Wijzig kenteken" in narrow
    assert "Vertrouwelijk" not in narrow
    wide = ldv(environ | {"COLUMNS": "200", "LDV_LANG": "nl"}, "question", "person", typed=BSN).stdout
    assert any("Wanneer" in line and "Handeling" in line for line in wide.splitlines())
