"""The Register, retention, export and the forms of output, as people run them."""

from __future__ import annotations

import csv
import importlib
import io
import json
import os
import pty
import re
import select
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ldv_otel._internal.cli.periods import parse_period
from ldv_otel.errors import QueryError
from tests.cli.test_cli import as_json, ldv

A, B = "https://register.example/a", "https://register.example/b"
REGISTER = f"""
activities:
  - {{id: {A}, name: Eerste, retention: P1Y}}
  - {{id: urn:ongebruikt, name: Nergens}}
"""
#: 20 records of A past its term, 20 within it, one of B with odd text.
WRITE = """
import os, time
from ldv_otel import Logregel, read_settings
from ldv_otel._internal.delivery.batch import number_batch
from ldv_otel._internal.clickhouse.sink import open_sink
sink = open_sink(read_settings(os.environ))
sink.open()
now = int(time.time() * 1_000)
records = [
    Logregel(trace_id=b"t" * 16, span_id=number.to_bytes(8, "big"), name=name, start_time_ms=start, end_time_ms=start,
             parent_span_id=parent, data_subject_id=b"s" * 16 if parent else b"",
             data_subject_id_type="[/x]" if parent else "", resource='{"service.name":"[/y] :a:"}',
             processing_activity_id=activity, attributes={"dpl.x": 'a "b", c'})
    for number, (name, activity, start, parent) in enumerate(
        [(f"oud {n}", "https://register.example/a", now - 400 * 86_400_000 + n, b"") for n in range(20)]
        + [(f"nieuw {n}", "https://register.example/a", now - 86_400_000 + n, b"") for n in range(20)]
        + [("=HYPERLINK(1)", "https://register.example/b", now - 3_600_000, (20).to_bytes(8, "big"))]
    )
]
sink.send(number_batch("w", 0, records))
sink.close()
"""


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A Logboek with some records, and a Register."""
    home = tmp_path_factory.mktemp("governing")
    (home / "register.yaml").write_text(REGISTER, encoding="utf-8")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LDV_", "OTEL_"))}
    found = clean | {
        "LDV_LOGBOEK": f"chdb://{home}/logboek",
        "LDV_STATE": str(home / "state"),
        "LDV_REGISTER": str(home / "register.yaml"),
        "COLUMNS": "100",
    }
    subprocess.run([sys.executable, "-c", WRITE], env=found, capture_output=True, text=True, check=True)
    return found


def test_the_forms_of_output(environ: dict[str, str]) -> None:
    """CSV that a spreadsheet can open without running anything, trees, and one form at a time."""
    done = ldv(environ, "activity", B, "--csv")
    (row,) = csv.DictReader(io.StringIO(done.stdout))
    assert row["name"] == "'=HYPERLINK(1)"
    assert json.loads(row["attributes"]) == {"dpl.x": 'a "b", c'}
    assert row["start_time"].endswith("Z")
    dutch = ldv(environ, "activity", B, "--csv", "--excel").stdout
    assert dutch.startswith("\ufeffstart_time;end_time;name;")
    (in_excel,) = csv.DictReader(io.StringIO(dutch.removeprefix("\ufeff")), delimiter=";")
    assert re.fullmatch(r"\d\d-\d\d-\d{4} \d\d:\d\d:\d\d", in_excel["start_time"])
    assert in_excel["name"] == row["name"]
    table = ldv(environ, "activity", B, "--wide")
    assert (table.returncode, "[/x]" in table.stdout) == (0, True)
    assert "[/y] :a:" in ldv(environ, "status").stdout
    tree = ldv(environ, "activity", A, "--tree", "--from", "7d").stdout
    assert f"trace {'74' * 16}" in tree
    assert "nieuw 19" in tree
    assert "\x1b" not in tree
    assert "nieuw 19" in ldv(environ, "trace", "74" * 16, "--table").stdout
    (line,) = csv.DictReader(io.StringIO(ldv(environ, "foreign", "74" * 16, "00" * 7 + "14", "--csv").stdout))
    assert (line["relation"], line["name"]) == ("caller", "nieuw 0")
    wrong = ldv(environ, "activity", B, "--csv", "--json")
    assert wrong.returncode == 2
    assert "choose one of" in wrong.stderr


def test_what_does_not_fit_the_terminal_goes_through_the_pager(environ: dict[str, str]) -> None:
    """And what fits does not."""
    shown = {}
    for uri in (A, B):
        main, terminal = pty.openpty()
        with subprocess.Popen(
            [sys.executable, "-m", "ldv_otel._internal.cli", "activity", uri],
            env=environ | {"PAGER": "sed 's/^/paged: /'", "LINES": "24", "TERM": "xterm"},
            stdin=terminal,
            stdout=terminal,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            os.close(terminal)
            text = b""
            while select.select([main], [], [], 60)[0]:
                try:
                    text += os.read(main, 65_536)
                except OSError:  # the terminal is gone, as its last user is
                    break
            assert process.wait(60) == 0
        os.close(main)
        shown[uri] = text
    assert b"paged: " in shown[A]
    assert b"paged: " not in shown[B]
    assert b"HYPERLINK" in shown[B]


def test_an_export_has_every_logregel_once(environ: dict[str, str], tmp_path: Path) -> None:
    """Both formats, whole or by period and activity; a file that exists is left alone."""
    parquet, text = tmp_path / "all.parquet", tmp_path / "b.csv"
    done = ldv(environ, "export", str(parquet))
    assert (done.returncode, done.stderr) == (0, "41 Logregels\n")
    table = importlib.import_module("pyarrow.parquet").read_table(parquet)
    assert sorted(table["seq"].to_pylist()) == list(range(41))
    assert table["trace_id"][0].as_py() == "74" * 16
    assert dict(table["attributes"][0].as_py()) == {"dpl.x": 'a "b", c'}
    assert parquet.stat().st_mode & 0o077 == 0
    assert ldv(environ, "export", str(parquet)).returncode == 2
    assert ldv(environ, "export", str(text), "--activity", A, "--from", "7d").returncode == 0
    assert importlib.import_module("pyarrow.csv").read_csv(text)["name"].to_pylist() == [
        f"nieuw {number}" for number in range(20)
    ]
    piped = ldv(environ, "export", "-", "--format", "csv", "--to", "2000-01-01")
    assert piped.stdout.startswith('"trace_id",')
    assert len(piped.stdout.splitlines()) == 1
    assert "--format" in ldv(environ, "export", "-").stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.parquet", "b.csv"]


def test_from_the_register_to_removal(environ: dict[str, str], tmp_path: Path) -> None:
    """Compare, apply, hide, plan, remove, and what is on record then."""
    checked = ldv(environ, "register", "check")
    assert checked.returncode == 1
    assert f"not in it   {B}: 1 Logregels" in checked.stdout
    assert "not used    urn:ongebruikt" in checked.stdout
    assert f"not applied {A} is new" in checked.stdout
    refused = ldv(environ, "retention", "plan")
    assert refused.returncode == 1
    assert "ldv register apply" in refused.stderr
    assert ldv(environ, "register", "apply").stdout == f"new {A}\nnew urn:ongebruikt\n"
    assert ldv(environ, "register", "apply").stdout == "nothing to do\n"
    assert len(as_json(environ, "activity", A)) == 20
    plan = as_json(environ, "retention", "plan")
    assert sum(expired["logregels"] for expired in plan["expired"]) == 20
    assert [kept["activity"] for kept in plan["without_term"]] == [B]
    asked = ldv(environ, "retention", "apply")
    assert asked.returncode == 1
    assert "Nothing was removed" in asked.stderr
    done = ldv(environ, "retention", "apply", "--yes")
    assert done.returncode == 0
    assert "past their term  20 Logregels" in done.stdout
    assert "removed 20 of" in done.stderr
    assert as_json(environ, "retention", "plan")["expired"] == []
    status = as_json(environ, "status")
    (writer,) = status["writers"]
    assert (writer["stored"], writer["removed"], writer["missing"]) == (21, 20, 0)
    changed = tmp_path / "register.yaml"
    changed.write_text(REGISTER.replace("P1Y", "P2Y"), encoding="utf-8")
    mine = environ | {"LDV_REGISTER": str(changed)}
    assert "another retention" in ldv(mine, "register", "apply").stderr
    assert "amended (retention)" in ldv(mine, "register", "apply", "--amend").stdout
    changed.write_text("activities:\n- {id: urn:a, nam: x}", encoding="utf-8")
    broken = ldv(mine, "register", "check")
    assert broken.returncode == 1
    assert "register.yaml:2: urn:a: unknown field `nam`" in broken.stderr


def test_the_end_of_a_term_in_words(environ: dict[str, str], tmp_path: Path) -> None:
    """Nothing goes until somebody sets when it ends: of a record before its trace, and of each the last counts."""
    words = "20 jaar na onherroepelijk worden van het besluit"
    register = tmp_path / "register.yaml"
    register.write_text(f"activities:\n- {{id: {A}, name: Eerste, retention_text: {words}}}\n", encoding="utf-8")
    mine = environ | {"LDV_LOGBOEK": f"chdb://{tmp_path}/logboek", "LDV_REGISTER": str(register)}
    subprocess.run([sys.executable, "-c", WRITE], env=mine, capture_output=True, text=True, check=True)
    assert ldv(mine, "register", "apply").stdout == f"new {A}\n"
    trace, first = "74" * 16, "00" * 7 + "01"

    def past_their_term() -> int:
        return int(sum(one["logregels"] for name in ("expired", "own", "dated") for one in plan()[name]))

    def plan() -> dict[str, Any]:
        found: dict[str, Any] = as_json(mine, "retention", "plan")
        return found

    assert past_their_term() == 0
    assert [kept["retention_text"] for kept in plan()["without_term"] if kept["activity"] == A] == [words]
    one = ldv(mine, "retention", "date", trace, "--until", "2020-12-31", "--span", first)
    assert one.stdout == "kept until 2020-12-31: 1 Logregels whose activity has a term in words\n"
    assert past_their_term() == 1
    whole = ldv(mine, "retention", "date", trace, "--until", "2046-12-31")
    assert whole.stdout == "kept until 2046-12-31: 39 Logregels whose activity has a term in words\n"
    assert past_their_term() == 1
    assert ldv(mine, "retention", "date", trace, "--until", "2046-12-31", "--span", first).returncode == 0
    assert past_their_term() == 0
    assert ldv(mine, "retention", "date", trace, "--until", "2020-12-31", "--span", first).returncode == 0
    assert "removed 1 of" in ldv(mine, "retention", "apply", "--yes").stderr
    assert len(as_json(mine, "activity", A)) == 39
    for arguments in (("--until", "31-12-2046"), ("--until", "2046-02-30"), ("--until", "2046-12-31", "--span", "x")):
        refused = ldv(mine, "retention", "date", trace, *arguments)
        assert refused.returncode != 0
        assert "Traceback" not in refused.stderr
    assert ldv(mine, "retention", "date", "no trace", "--until", "2046-12-31").returncode != 0
    unused = ldv(mine, "retention", "date", "75" * 16, "--until", "2046-12-31")
    assert unused.stdout == "kept until 2046-12-31: 0 Logregels whose activity has a term in words\n"


def test_roles_are_printed_and_an_embedded_logboek_has_none(environ: dict[str, str]) -> None:
    """For who runs them by hand, or lets the command do it."""
    assert "GRANT SELECT ON ldv.* TO ldv_auditor;" in ldv(environ, "schema", "roles").stdout
    assert "ON CLUSTER 'prod'" in ldv(environ, "schema", "roles", "--cluster", "prod").stdout
    refused = ldv(environ, "schema", "roles", "--apply")
    assert refused.returncode == 1
    assert "knows no users" in refused.stderr


NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("since", "until", "begin", "end"),
    [
        (None, None, None, None),
        ("2026-01-01", None, "2026-01-01T00:00", None),
        ("2026-01-01T02:00+02:00", "2026-01-02", "2026-01-01T00:00", "2026-01-02T00:00"),
        ("1mo", None, "2026-02-28T12:00", None),
        ("30d", "7d", "2026-03-01T12:00", "2026-03-24T12:00"),
        ("2026-01-01", "P1M", "2026-01-01T00:00", "2026-02-01T00:00"),
        ("P1M", "2026-03-31", "2026-02-28T00:00", "2026-03-31T00:00"),
    ],
)
def test_dates_and_durations(since: str | None, until: str | None, begin: str | None, end: str | None) -> None:
    """A duration counts from a date beside it, and is ago otherwise."""
    found = parse_period(since, until, now=NOW)
    assert tuple(moment and moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M") for moment in found) == (begin, end)


@pytest.mark.parametrize(
    ("since", "until", "says"),
    [
        ("yesterday", None, "--from 'yesterday' is no date"),
        (None, "7m", "--to '7m'"),
        ("7d", "30d", "lies after"),
        ("2026-02-01", "2026-01-01", "lies after"),
        ("P99Y", "0050-01-01", "calendar"),
    ],
)
def test_a_period_that_is_none(since: str | None, until: str | None, says: str) -> None:
    """It names the option."""
    with pytest.raises(QueryError, match=says):
        parse_period(since, until, now=NOW)
