"""`ldv subject`: who says that two numbers are one person's, and what is kept of it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from ldv_otel._internal.cli.app import app
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.config.settings import read_settings
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.privacy.key_file import add_key, keys_for
from ldv_otel._internal.privacy.pseudonyms import Pseudonymiser
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel.errors import LdvError
from tests.support.chance import new_bsn, new_id
from tests.support.logboek import LogboekProcess

ACTIVITY = "https://register.example/activiteiten/parkeren"
LINKING = "https://register.example/activiteiten/koppelen"
REASON = "Het tijdelijke nummer is vervangen"


class Done(msgspec.Struct):
    """What a command did."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A Logboek that is served, so that commands of this process can use it one after the other."""
    home = tmp_path_factory.mktemp("subject")
    add_key(home / "keys.json", name="eerste")
    with LogboekProcess(home / "logboek") as process:
        found = {
            "LDV_LOGBOEK": f"clickhouse+http://127.0.0.1:{process.port}/ldv",
            "LDV_KEYS": str(home / "keys.json"),
            "LDV_LINK_ACTIVITY": LINKING,
            "HOME_OF_TEST": str(home),
            "COLUMNS": "200",
        }
        apply_schema(read_settings(found))
        yield found


def ldv(environ: dict[str, str], *arguments: str, typed: str = "") -> Done:
    """Run a command in this process: a process for each would take most of the time."""
    names = [name for name in os.environ if name.startswith("LDV_")]
    result = CliRunner().invoke(app, arguments, input=typed, env=dict.fromkeys(names) | environ)
    if isinstance(result.exception, LdvError):
        return Done(1, result.stdout, str(result.exception))
    return Done(result.exit_code, result.stdout, result.stderr)


def as_json(environ: dict[str, str], *arguments: str, typed: str = "") -> Any:
    """Run the command with --json."""
    done = ldv(environ, *arguments, "--json", typed=typed)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def write(environ: dict[str, str], *numbers: tuple[str, str]) -> None:
    """Log an Actie about each number, as a service with the active key does."""
    settings = read_settings(environ)
    pseudonymiser = Pseudonymiser(keys_for(settings))
    subjects = [pseudonymiser.subject(*number) for number in numbers]
    sink = ClickHouseSink(settings)
    sink.open()
    logregels = [
        Logregel(
            trace_id=new_id(16),
            span_id=new_id(8),
            name=f"Stap {subject.type}",
            start_time_ms=1_750_000_000_000,
            end_time_ms=1_750_000_000_000,
            processing_activity_id=ACTIVITY,
            data_subject_id=subject.pseudonym,
            data_subject_id_type=subject.type,
            key_id=subject.key_id,
        )
        for subject in subjects
    ]
    sink.send(number_batch(new_writer_id(), 0, logregels))
    sink.close()


def pair(environ: dict[str, str]) -> tuple[str, str]:
    """Two BSNs, each with a record."""
    numbers = new_bsn(), new_bsn()
    write(environ, *((number, "BSN") for number in numbers))
    return numbers


def links(environ: dict[str, str]) -> list[dict[str, Any]]:
    """What `ldv subject list` shows; of all tests here."""
    found: list[dict[str, Any]] = as_json(environ, "subject", "list")
    return found


def link(environ: dict[str, str], *numbers: str, reason: str = REASON, arguments: tuple[str, ...] = ()) -> Done:
    """Link two numbers, as a script does."""
    typed = "".join(f"{number}\n" for number in numbers)
    done = ldv(environ, "subject", "link", "--yes", "--reason", reason, *arguments, typed=typed)
    for number in numbers:
        assert not number.strip() or number not in done.stdout + done.stderr
    return done


def linked(environ: dict[str, str], *numbers: str, arguments: tuple[str, ...] = ()) -> str:
    """Link two numbers and return the id of the link."""
    done = link(environ, *numbers, arguments=arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[1].rstrip(",")


def about(environ: dict[str, str], number: str, *arguments: str) -> list[dict[str, Any]]:
    """The records that `ldv inzage` finds."""
    found: list[dict[str, Any]] = as_json(environ, "inzage", *arguments, typed=f"{number}\n")
    return found


def test_a_chain_of_numbers_is_one_person_with_records_of_its_own(environ: dict[str, str]) -> None:
    """From a temporary number to a BSN to its correction; every number finds all, and what was done about it."""
    bsn, corrected, other = new_bsn(), new_bsn(), new_bsn()
    temporary = f"1{new_bsn()}"
    write(environ, (temporary, "A-nummer"), (bsn, "BSN"), (corrected, "BSN"), (other, "BSN"))
    done = link(environ, temporary, bsn, arguments=("--former-type", "A-nummer"))
    assert done.returncode == 0, done.stderr
    assert "1 Logregel under the former number, 1 Logregel under the present" in done.stderr
    linked(environ, bsn, corrected)
    for number, type_ in ((temporary, "A-nummer"), (bsn, "BSN"), (corrected, "BSN")):
        records = about(environ, number, "--type", type_)
        names = sorted(record["name"] for record in records)
        assert names == ["Nummers gekoppeld als van één persoon"] * 4 + ["Stap A-nummer", "Stap BSN", "Stap BSN"]
        own = [record for record in records if record["name"].startswith("Nummers")]
        assert {record["attributes"]["dpl.core.processing_activity_id"] for record in own} == {LINKING}
        assert {record["attributes"]["ldv.reason"] for record in own} == {REASON}
        # One is the parent of the other, and they are about one number each.
        assert len({record["trace_id"] for record in own}) == 2
        assert sum(bool(record.get("parent_span_id")) for record in own) == 2
    assert [record["name"] for record in about(environ, other)] == ["Stap BSN"]
    files = [path for path in Path(environ["HOME_OF_TEST"]).rglob("*") if path.is_file()]
    content = b"".join(path.read_bytes() for path in files)
    for number in (bsn, corrected, temporary):
        assert number.encode() not in content


def test_a_wrong_link_is_ended_and_stays_on_record(environ: dict[str, str]) -> None:
    """Nobody sees another's records any more; both see that they were linked, and that it was ended."""
    one, other = pair(environ)
    wrong = linked(environ, one, other)
    assert [each["ended"] for each in links(environ) if each["id"] == wrong] == [None]
    done = ldv(environ, "subject", "end", wrong, "--yes", "--reason", "Het zijn twee mensen")
    assert done.returncode == 0, done.stderr
    for number in (one, other):
        assert [record["name"] for record in about(environ, number)] == [
            "Stap BSN",
            "Nummers gekoppeld als van één persoon",
            "Koppeling van nummers beëindigd",
        ]
    assert [each["ended"] is None for each in links(environ) if each["id"] == wrong] == [False]
    again = ldv(environ, "subject", "end", wrong, "--yes", "--reason", "Het zijn twee mensen")
    assert again.returncode == 1
    assert "was ended on" in again.stderr
    assert wrong[:8] in ldv(environ, "subject", "list").stdout


def test_after_a_new_key_the_answer_says_what_it_may_lack(environ: dict[str, str], tmp_path: Path) -> None:
    """Until the numbers are linked once more; then ending one link of the two is not enough, and that is said too."""
    keys = tmp_path / "keys.json"
    add_key(keys, name="eerste")
    environ = environ | {"LDV_KEYS": str(keys)}
    former, present = pair(environ)
    first = linked(environ, former, present)
    newer = add_key(keys, name="nieuw").id
    write(environ, (former, "BSN"), (present, "BSN"))
    # Asked by the present number: records about it under both keys, about the former under the first only.
    done = ldv(environ, "inzage", "--json", typed=f"{present}\n")
    assert f"older than key {newer}" in done.stderr
    assert sum(record["name"] == "Stap BSN" for record in json.loads(done.stdout)) == 3
    assert [each["notUnderKeys"] for each in links(environ) if each["id"] == first] == [[newer]]
    linked(environ, former, present)
    done = ldv(environ, "inzage", "--json", typed=f"{present}\n")
    assert "older than" not in done.stderr
    assert sum(record["name"] == "Stap BSN" for record in json.loads(done.stdout)) == 4
    done = ldv(environ, "subject", "end", first, "--yes", "--reason", "Het zijn twee mensen")
    assert "still one person's, by" in done.stderr


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        (("123456782", "123456782"), "same number twice"),
        (("123456782", "123.456.782"), "same number twice"),
        (("123456782", ""), "Two numbers are needed"),
        (("", ""), "Two numbers are needed"),
        (("000000000", "123456782"), "Two numbers are needed"),
    ],
)
def test_what_is_no_pair_is_refused(environ: dict[str, str], numbers: tuple[str, str], words: str) -> None:
    """And nothing is logged: nothing was done."""
    before = links(environ)
    done = link(environ, *numbers)
    assert done.returncode == 1
    assert words in done.stderr
    assert links(environ) == before
    assert about(environ, "123456782") == []


def test_a_pair_is_linked_once(environ: dict[str, str]) -> None:
    """In either order, and also where others lie between."""
    first, second = pair(environ)
    third = new_bsn()
    linked(environ, first, second)
    linked(environ, second, third)
    for one, other in ((second, first), (first, third)):
        done = link(environ, one, other)
        assert done.returncode == 1
        assert "linked already" in done.stderr


def test_numbers_in_the_reason_are_not_kept(environ: dict[str, str]) -> None:
    """Neither the two, nor a third person's BSN."""
    one, other = new_bsn(), "123456782"
    spelled = f"{one[:3]}.{one[3:6]}.{one[6:]}"
    done = link(environ, one, other, reason=f"{other} werd {spelled}, gemeld door 999990019")
    assert done.returncode == 0, done.stderr
    reasons = [record["attributes"]["ldv.reason"] for record in about(environ, one)]
    assert len(reasons) == 2
    assert not any(number in reason for reason in reasons for number in (one, spelled, other, "999990019"))


def test_it_needs_an_activity_a_reason_and_somebody_who_agrees(environ: dict[str, str]) -> None:
    """Otherwise nothing happens; and no number can be given on the command line, where the shell keeps it."""
    one, other = pair(environ)
    before = links(environ)
    without = {name: value for name, value in environ.items() if name != "LDV_LINK_ACTIVITY"}
    assert "LDV_LINK_ACTIVITY" in link(without, one, other).stderr
    assert "Say why" in link(environ, one, other, reason="zomaar").stderr
    done = ldv(environ, "subject", "link", "--reason", REASON, typed=f"{one}\n{other}\n")
    assert done.returncode == 1
    assert "--yes" in done.stderr
    assert ldv(environ, "subject", "link", typed=f"{one}\n{other}\n").returncode == 2
    assert ldv(environ, "subject", "link", "--yes", "--reason", REASON, one, other).returncode == 2
    assert links(environ) == before
    assert len(about(environ, one)) == 1


def test_a_date_ahead_is_waited_for(environ: dict[str, str]) -> None:
    """Until then both are found by themselves only; it can be ended before."""
    one, other = pair(environ)
    ahead = linked(environ, one, other, arguments=("--from", "2999-01-01"))
    assert len(about(environ, one)) == 2  # the step, and the record of the link
    assert ldv(environ, "subject", "end", ahead, "--yes", "--reason", "Toch niet nodig").returncode == 0


def test_at_a_terminal_both_are_asked_for_without_echo(environ: dict[str, str]) -> None:
    """And then it shows what it found under each before it asks whether they are one person's."""
    numbers = pair(environ)
    main, terminal = pty.openpty()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LDV_", "OTEL_"))}
    with subprocess.Popen(
        [sys.executable, "-m", "ldv_otel._internal.cli", "subject", "link", "--reason", REASON],
        env=clean | environ,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    ) as process:
        os.close(terminal)
        shown = b""
        answers = zip((b"Former number (BSN): ", b"Present number (BSN): ", b"]: "), (*numbers, "y"), strict=True)
        for prompt, answer in answers:
            while not shown.endswith(prompt):
                shown += os.read(main, 100)
            os.write(main, f"{answer}\n".encode())
        assert process.wait(60) == 0
    os.close(main)
    assert not any(number.encode() in shown for number in numbers)
    assert len(about(environ, numbers[0])) == 4
