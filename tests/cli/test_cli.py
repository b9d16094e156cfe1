"""The command as people run it: in a process of its own, against an embedded Logboek."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.loopback import free_port

ACTIVITY = "https://register.example/activiteiten/parkeren"
BSN = "123456782"
WRITE = f"""
import ldv_otel as ldv
ldv.install()
with ldv.processing({ACTIVITY!r}, name="Wijzig kenteken") as outer:
    ldv.data_subject({BSN!r}, type="BSN")
    with ldv.processing("https://register.example/b", name="Controleer \\x1b[31m"):
        pass
print(outer.trace_id)
"""


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A Logboek with two records of one trace."""
    home = tmp_path_factory.mktemp("cli")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LDV_", "OTEL_"))}
    found = clean | {"LDV_LOGBOEK": f"chdb://{home}/logboek", "LDV_STATE": str(home / "state"), "COLUMNS": "100"}
    done = subprocess.run([sys.executable, "-c", WRITE], env=found, capture_output=True, text=True, check=True)
    return found | {"TRACE": done.stdout.strip()}


def ldv(environ: dict[str, str], *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return subprocess.run(
        [sys.executable, "-m", "ldv_otel._internal.cli", *arguments],
        env=environ,
        input=typed,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def as_json(environ: dict[str, str], *arguments: str, typed: str = "") -> Any:
    """Run the command with --json."""
    done = ldv(environ, *arguments, "--json", typed=typed)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_inzage_reads_the_number_from_standard_input(environ: dict[str, str]) -> None:
    """A pipe gives it, in any spelling; it is nowhere in what is printed."""
    (record,) = as_json(environ, "inzage", "--type", "BSN", typed="123.456.782\n")
    assert record["name"] == "Wijzig kenteken"
    assert record["attributes"]["dpl.core.data_subject_id_type"] == "BSN"
    shown = ldv(environ, "inzage", typed=BSN)
    assert "Wijzig kenteken" in shown.stdout
    assert BSN not in shown.stdout + shown.stderr


def test_inzage_asks_at_a_terminal_without_echo(environ: dict[str, str]) -> None:
    """At a terminal the number is asked for, and not shown while it is typed."""
    main, terminal = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "ldv_otel._internal.cli", "inzage", "--json"],
        env=environ,
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=terminal,
        start_new_session=True,
    ) as process:
        os.close(terminal)
        shown = b""
        while not shown.endswith(b" "):  # the prompt ends so once the echo is off
            shown += os.read(main, 100)
        os.write(main, f"{BSN}\n".encode())
        output, _ = process.communicate(timeout=300)
        shown += os.read(main, 1000)
    os.close(main)
    assert BSN.encode() not in shown
    assert len(json.loads(output)) == 1


def test_an_identifier_as_argument_works_with_a_warning(environ: dict[str, str]) -> None:
    """The shell keeps a history."""
    done = ldv(environ, "inzage", BSN)
    assert done.returncode == 0
    assert "history" in done.stderr
    assert "Wijzig kenteken" in done.stdout


def test_a_number_that_is_no_bsn_is_pointed_out(environ: dict[str, str]) -> None:
    """Most likely a slip of the finger; it is looked for all the same."""
    done = ldv(environ, "inzage", typed="123456789\n")
    assert "elfproef" in done.stderr
    assert "No Logregels found" in done.stderr
    assert done.returncode == 0
    assert "No identifier" in ldv(environ, "inzage", typed="\n").stderr


def test_names_are_looked_up_for_people_only(environ: dict[str, str]) -> None:
    """A program that reads JSON does not depend on the file with the names of parties."""
    broken = environ | {"LDV_PARTIES": "/nowhere/parties.yaml"}
    assert len(as_json(broken, "inzage", typed=BSN)) == 1
    assert len(as_json(broken, "trace", environ["TRACE"])) == 2
    shown = ldv(broken, "inzage", typed=BSN)
    assert (shown.returncode, "LDV_PARTIES" in shown.stderr) == (1, True)


def test_a_trace_is_a_tree(environ: dict[str, str]) -> None:
    """What called what; text of strangers cannot steer the terminal."""
    done = ldv(environ, "trace", environ["TRACE"])
    lines = done.stdout.splitlines()
    assert any(line.startswith("└── Wijzig kenteken") for line in lines)
    assert any(line.startswith("    └── Controleer") for line in lines)
    assert "\x1b" not in done.stdout
    dashed = "-".join(environ["TRACE"][a:b] for a, b in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32)))
    assert {record["name"] for record in as_json(environ, "trace", dashed)} == {
        "Wijzig kenteken",
        "Controleer \x1b[31m",
    }


def test_an_activity_in_a_period(environ: dict[str, str]) -> None:
    """From is included, to is not."""
    (record,) = as_json(environ, "activity", ACTIVITY)
    start = record["start_time"]
    assert as_json(environ, "activity", ACTIVITY, "--from", "2020-01-01", "--to", "2020-12-31") == []
    since = f"1970-01-01T00:00:{0:02d}"
    assert len(as_json(environ, "activity", ACTIVITY, "--from", since)) == 1
    assert start > 1_700_000_000_000


def test_pages_go_on_by_cursor(environ: dict[str, str], tmp_path: Path) -> None:
    """The cursor of a page leads to the next, and the last page names none."""
    mine = environ | {"LDV_LOGBOEK": f"chdb://{tmp_path}/logboek"}
    write = (
        "import ldv_otel as ldv\nldv.install()\nfor number in range(5):\n"
        f"    with ldv.processing({ACTIVITY!r}, name=f'actie {{number}}'): pass\n"
    )
    subprocess.run([sys.executable, "-c", write], env=mine, check=True, capture_output=True)
    names: list[str] = []
    more: tuple[str, ...] = ()
    for _ in range(3):
        done = ldv(mine, "activity", ACTIVITY, "--limit", "2", "--json", *more)
        names += [record["name"] for record in json.loads(done.stdout)]
        more = ("--after", done.stderr.split("--after ")[1].strip()) if "--after" in done.stderr else ()
    assert sorted(names) == [f"actie {number}" for number in range(5)]
    assert not more


def test_a_foreign_operation_is_found_from_both_sides(environ: dict[str, str], tmp_path: Path) -> None:
    """The called party asks with what it got; the caller finds the Actie behind a technical span's id."""
    script = f"""
import ldv_otel as ldv
from opentelemetry import trace, propagate
ldv.install()
tracer = trace.get_tracer("http")
headers = {{}}
with ldv.processing({ACTIVITY!r}, name="caller"):
    with tracer.start_as_current_span("GET", kind=trace.SpanKind.CLIENT) as call:
        propagate.inject(headers)
        print(trace.format_trace_id(call.get_span_context().trace_id), headers["traceparent"].split("-")[2])
inbound = propagate.extract({{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"}})
with tracer.start_as_current_span("SERVER", context=inbound), ldv.processing({ACTIVITY!r}, name="called"):
    pass
"""
    mine = environ | {"LDV_LOGBOEK": f"chdb://{tmp_path}/logboek"}
    done = subprocess.run([sys.executable, "-c", script], env=mine, check=True, capture_output=True, text=True)
    trace_id, span_id = done.stdout.split()
    found = as_json(mine, "foreign", trace_id, span_id)
    assert ([record["name"] for record in found["caller"]], found["called"]) == (["caller"], [])
    found = as_json(mine, "foreign", "0af7651916cd43dd8448eb211c80319c")
    assert [record["name"] for record in found["called"]] == ["called"]
    assert "called" in ldv(mine, "foreign", "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331").stdout


def test_a_trace_shows_foreign_parents_as_the_logregels_they_are(environ: dict[str, str], tmp_path: Path) -> None:
    """Two applications on one Logboek: one goes on with the trace, one begins its own; a third sends no tracestate."""
    script = f"""
import ldv_otel as ldv
from opentelemetry import trace, propagate
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from ldv_otel._internal.parties.parties import Parties
ldv.install()
tracer = trace.get_tracer("http")
headers, plain = {{}}, {{}}
with ldv.processing({ACTIVITY!r}, name="caller") as actie:
    print(actie.trace_id, actie.span_id)
    with tracer.start_as_current_span("GET", kind=trace.SpanKind.CLIENT):
        propagate.inject(headers)
        TraceContextTextMapPropagator().inject(plain)
# The same process plays all parties.
calls = ("goes on", "continue", headers), ("restarted", "restart", headers), ("plain", "continue", plain)
for name, unknown, found in calls:
    inbound = ldv.LdvPropagator(parties=Parties(unknown=unknown)).extract(found)
    with tracer.start_as_current_span("SERVER", context=inbound), ldv.processing({ACTIVITY!r}, name=name) as called:
        with ldv.processing({ACTIVITY!r}, name=name + ", inside"):
            pass
    print(called.trace_id, called.span_id)
"""
    mine = environ | {"LDV_LOGBOEK": f"chdb://{tmp_path}/logboek", "COLUMNS": "200"}
    done = subprocess.run([sys.executable, "-c", script], env=mine, check=True, capture_output=True, text=True)
    (trace_id, caller), (same, _), (restarted, _), _ = (line.split() for line in done.stdout.splitlines())
    assert same == trace_id != restarted
    for asked in (trace_id, restarted):
        shown = ldv(mine, "trace", asked, "--wide").stdout
        assert shown.count(f"aangeroepen vanuit: caller, span {caller}") == 3
        depth = {
            name: next(line for line in shown.splitlines() if f"{name}  " in line).index(name)
            for name in ("caller", "goes on", "restarted", "plain", "restarted, inside", "plain, inside")
        }
        assert depth["goes on"] == depth["restarted"] == depth["plain"] == depth["caller"] + 4
        assert depth["restarted, inside"] == depth["plain, inside"] == depth["caller"] + 8
        assert len(as_json(mine, "trace", asked)) == 7


def test_status_says_how_it_is(environ: dict[str, str]) -> None:
    """Counts, tables, writers."""
    found = as_json(environ, "status")
    assert found["totals"]["logregels"] == 2
    assert found["writers"][0]["missing"] == 0
    shown = ldv(environ, "status")
    assert "logregels   2" in shown.stdout
    assert ldv(environ, "schema", "status").returncode == 0
    assert ldv(environ, "schema", "apply").stdout == "nothing to do\n"


def test_status_names_the_flags(environ: dict[str, str], tmp_path: Path) -> None:
    """A count of odd records alone says nothing of what to do (LDV-A8)."""
    mine = environ | {"LDV_LOGBOEK": f"chdb://{tmp_path}/logboek", "LDV_STATE": str(tmp_path / "state")}
    code = (
        "import ldv_otel as ldv\nldv.install()\n"
        f"for activity in ({ACTIVITY!r}, 'no uri', 'neither'):\n"
        "    with ldv.processing(activity, name='Toon'):\n"
        f"        ldv.data_subject({BSN!r}, type='BSN' if activity == 'neither' else None)\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=mine, capture_output=True, check=True)
    assert as_json(mine, "status")["flags"] == {"activity_not_uri": 2, "subject_type_missing": 2}
    shown = ldv(mine, "status").stdout
    assert "flags       activity_not_uri 2, subject_type_missing 2 (docs/flags.md says what to do)" in shown


def test_lost_logregels_make_status_fail(environ: dict[str, str], tmp_path: Path) -> None:
    """A gap in a writer's sequence and a reported loss are seen, and scripts notice."""
    script = """
import os
from ldv_otel import read_settings, Logregel
from ldv_otel._internal.delivery.batch import number_batch
from ldv_otel._internal.delivery.losses import LossWriter
from ldv_otel._internal.clickhouse.sink import open_sink
settings = read_settings(os.environ)
sink = open_sink(settings)
sink.open()
noon = 1_750_000_000_000
record = Logregel(trace_id=b"t" * 16, span_id=b"s" * 8, name="x", start_time_ms=noon, end_time_ms=noon)
sink.send(number_batch("gappy", 3, [record]))
LossWriter(settings)("lossy", 7, "the queue was full")
"""
    mine = environ | {"LDV_LOGBOEK": f"chdb://{tmp_path}/logboek", "LDV_STATE": str(tmp_path / "state")}
    subprocess.run([sys.executable, "-c", script], env=mine, check=True, capture_output=True)
    shown = ldv(mine, "status")
    assert shown.returncode == 1
    assert "7 Logregels of writer lossy" in shown.stdout
    done = ldv(mine, "status", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["writers"][0]["missing"] == 3


def test_status_in_an_outage_shows_what_waits_here(environ: dict[str, str], tmp_path: Path) -> None:
    """Since when, how much room the disk has, and the Logboek's error; with exit code 1, for a monitor."""
    mine = environ | {
        "LDV_LOGBOEK": f"clickhouse+http://127.0.0.1:{free_port()}",
        "LDV_SPOOL": str(tmp_path / "spool"),
        "LDV_DELIVERY": "durable",
        "LDV_KEYS": str(tmp_path / "keys.json"),
    }
    ldv(mine, "key", "new")
    script = f"import os\nimport ldv_otel as ldv\nldv.install()\nwith ldv.processing({ACTIVITY!r}): pass\nos._exit(0)\n"
    subprocess.run([sys.executable, "-c", script], env=mine, check=True, capture_output=True)
    shown = ldv(mine, "status")
    assert shown.returncode == 1
    assert "1 Logregels of 1 processes are pending, the oldest since 20" in shown.stdout
    assert " free" in shown.stdout
    assert "cannot be reached" in shown.stdout
    report = json.loads(ldv(mine, "status", "--json").stdout)
    assert (report["schema"], report["backlog"]["pending"], report["backlog"]["full"]) == (None, 1, False)
    assert "cannot be reached" in report["problem"]


def test_what_a_killed_service_left_is_seen_and_drained(environ: dict[str, str], tmp_path: Path) -> None:
    """`ldv spool status` shows it, `ldv spool drain` sends it."""
    mine = environ | {
        "LDV_LOGBOEK": f"chdb://{tmp_path}/logboek",
        "LDV_SPOOL": str(tmp_path / "spool"),
        "LDV_DELIVERY": "durable",
    }
    script = (
        "import os, signal\nimport ldv_otel as ldv\nldv.install()\n"
        f"with ldv.processing({ACTIVITY!r}, name='last words'): pass\n"
        f"with ldv.processing({ACTIVITY!r}, name='cut off', delivery='write-ahead'):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.Popen([sys.executable, "-c", script], env=mine, stderr=subprocess.DEVNULL)
    killed.wait()
    found = as_json(mine, "spool", "status")
    (spool,) = found["spools"]
    assert (spool["pid"], spool["alive"], spool["pending"], spool["running"]) == (killed.pid, False, 1, 1)
    assert (spool["confirmed_ms"], spool["quarantined"]) == (None, 0)
    assert abs(spool["oldest_ms"] / 1_000 - time.time()) < 60
    for shown in (ldv(mine, "spool", "status").stdout, ldv(mine, "status").stdout):
        assert f"process {killed.pid} is dead" in shown
        assert "1 interrupted" in shown
        assert "last confirmed never" in shown
    assert "1 Logregels of 1 processes are pending" in ldv(mine, "status").stdout
    assert as_json(mine, "status")["spools"] == found["spools"]
    assert as_json(mine, "status")["backlog"]["oldest_ms"] == found["backlog"]["oldest_ms"]
    assert ldv(mine, "spool", "drain").stdout == "confirmed 2, quarantined 0\n"
    assert as_json(mine, "spool", "status")["spools"] == []
    assert sorted(record["name"] for record in as_json(mine, "activity", ACTIVITY)) == ["cut off", "last words"]


def test_quarantined_records_can_be_seen_and_tried_again(environ: dict[str, str], tmp_path: Path) -> None:
    """After the cause was removed."""
    mine = environ | {"LDV_LOGBOEK": f"chdb://{tmp_path}/logboek", "LDV_SPOOL": str(tmp_path / "spool")}
    script = """
import os
from ldv_otel import Logregel, read_settings
from ldv_otel._internal.delivery.paths import spool_base, spool_root
from ldv_otel._internal.delivery.spool.quarantine import QUARANTINE_NAME, Quarantine
from ldv_otel._internal.record.logregel import encode_logregel
settings = read_settings(os.environ)
record = Logregel(trace_id=b"t" * 16, span_id=b"s" * 8, name="refused", start_time_ms=1_750_000_000_000,
                  end_time_ms=1_750_000_000_000)
base = spool_base(spool_root(settings), settings.logboek)
Quarantine(base / QUARANTINE_NAME).add("w1", 3, encode_logregel(record), "The Logboek answered X (6).")
"""
    subprocess.run([sys.executable, "-c", script], env=mine, check=True, capture_output=True)
    assert ldv(mine, "spool", "status").returncode == 1
    assert ldv(mine, "spool", "quarantine", "list").stdout == "w1 3 The Logboek answered X (6).\n"
    shown = ldv(mine, "spool", "quarantine", "show", "w1", "3")
    assert json.loads(shown.stdout)["name"] == "refused"
    assert "No record of writer" in ldv(mine, "spool", "quarantine", "show", "w1", "4").stderr
    assert ldv(mine, "spool", "quarantine", "retry").stdout == "tried 1: confirmed 1, quarantined 0\n"
    assert ldv(mine, "spool", "status").returncode == 0
    assert as_json(mine, "trace", "74" * 16)[0]["name"] == "refused"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("trace", "xyz"), "32 hexadecimal digits"),
        (("activity", "x", "--from", "yesterday"), "'yesterday' is no date"),
        (("logboek", "--path", "/tmp/x", "--listen", "8123"), "--listen"),  # noqa: S108  (never made)
    ],
)
def test_a_mistake_is_one_line(environ: dict[str, str], arguments: tuple[str, ...], says: str) -> None:
    """No traceback, exit code 1."""
    done = ldv({**environ, "LDV_KEYS": ""}, *arguments)
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_logboek_it_says_what_to_set(environ: dict[str, str]) -> None:
    """The first thing a new user sees."""
    done = ldv({name: value for name, value in environ.items() if name != "LDV_LOGBOEK"}, "status")
    assert done.returncode == 1
    assert done.stderr.startswith("ldv: LDV_LOGBOEK is not set")


def test_a_new_key_is_made_and_older_ones_stay(environ: dict[str, str], tmp_path: Path) -> None:
    """The key itself is not printed."""
    path = tmp_path / "keys.json"
    assert ldv(environ, "key", "new", "--file", str(path)).returncode == 0
    done = ldv({**environ, "LDV_KEYS": str(path)}, "key", "new", "--id", "tweede", "--seal")
    ring = json.loads(path.read_text())
    assert ring["active"].startswith("tweede.fp-")
    assert len(ring["keys"]) == 2
    assert all(key["secret"] not in done.stdout + done.stderr for key in ring["keys"])


def test_importing_a_real_trace_twice_stores_it_once(environ: dict[str, str], tmp_path: Path) -> None:
    """The recorded trace of the tree felling permit."""
    recorded = Path(__file__).parents[1] / "data" / "otlp-geonovum-kapvergunning.json"
    mine = environ | {"LDV_LOGBOEK": f"chdb://{tmp_path}/logboek"}
    assert as_json(mine, "import", str(recorded))["stored"] == 1
    again = as_json(mine, "import", str(recorded))
    assert (again["stored"], again["already_there"]) == (0, 1)
    (record,) = as_json(mine, "trace", "0ac8d1c5251f6cd04c2fe5acd871f69c")
    assert record["name"] == "Aanvraag_span"
    assert record["status"] == "Ok"
    assert json.loads(record["attributes"]["dpl.objects.dataset"])[0]["dataset_id"] == "bomen"


def test_attributes_that_make_no_record_are_named(environ: dict[str, str], tmp_path: Path) -> None:
    """`ldv import` says which, and what was probably meant (LDV-N9); never a value."""
    recorded = Path(__file__).parents[1] / "data" / "otlp-geonovum-kapvergunning.json"
    span = {"traceId": "ab" * 16, "spanId": "cd" * 8, "startTimeUnixNano": "1750000000000000000"}
    misspelled = tmp_path / "misspelled.json"
    misspelled.write_text(json.dumps(span | {"attributes": {"dpl.core.processing_activity": "123456782"}}))
    mine = environ | {"LDV_LOGBOEK": f"chdb://{tmp_path}/logboek"}
    done = ldv(mine, "import", str(misspelled), str(recorded))
    assert "The attribute dpl.core.processing_activity is on 1 span that is no Actie" in done.stdout
    assert "Did you mean dpl.core.processing_activity_id?" in done.stdout
    assert "123456782" not in done.stdout + done.stderr


def test_a_file_that_cannot_be_read_fails_and_the_rest_is_stored(environ: dict[str, str], tmp_path: Path) -> None:
    """File, place and reason; exit code 1."""
    recorded = Path(__file__).parents[1] / "data" / "otlp-geonovum-kapvergunning.json"
    broken = tmp_path / "broken.json"
    broken.write_text('{"resourceSpans": [')
    mine = environ | {"LDV_LOGBOEK": f"chdb://{tmp_path}/logboek"}
    done = ldv(mine, "import", str(broken), str(recorded))
    assert done.returncode == 1
    assert "stored 1" in done.stdout
    assert "broken.json" in done.stderr


def test_output_into_a_closed_pipe_is_no_traceback(environ: dict[str, str]) -> None:
    """`ldv ... | head` ends quietly."""
    command = f"{sys.executable} -m ldv_otel._internal.cli activity {ACTIVITY} --json | head -c 1"
    done = subprocess.run(["sh", "-c", command], env=environ, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
