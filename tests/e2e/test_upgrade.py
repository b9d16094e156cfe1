"""What every earlier version left behind, taken over by this one: records in tables, and records still on disk."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.delivery.paths import spool_base
from tests.cli.test_cli import ldv
from tests.support.logboek import SECRET, LogboekProcess

pytestmark = pytest.mark.slow

LEFT: Final = Path(__file__).parents[1] / "data" / "upgrade"
VERSIONS: Final = sorted(LEFT.glob("*.tar.xz"))
#: As `make.py` beside the archives logs them.
STORED, WAITING = range(1, 41), range(101, 131)
SERVICE: Final = """
import ldv_otel as ldv
ldv.install()
with ldv.processing("https://register.example/activiteiten/parkeren", name="Nieuw"):
    ldv.data_subject("123456782", type="BSN")
print(ldv.force_flush())
"""


def names_of(numbers: range) -> Counter[str]:
    """Return the names of the records that `make.py` makes of some numbers."""
    return Counter(
        {
            "Wijzig kenteken": len(numbers),
            "Controleer tenaamstelling": sum(number % 5 == 0 for number in numbers),
            "Mislukt": sum(number % 7 == 0 for number in numbers),
        }
    )


@pytest.fixture(params=VERSIONS, ids=[path.name.removesuffix(".tar.xz") for path in VERSIONS])
def environ(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The variables of a service whose machine has what an earlier version left."""
    with tarfile.open(request.param) as archive:
        archive.extractall(tmp_path, filter="data")
    (tmp_path / "keys.json").chmod(0o600)
    for key in tmp_path.glob("keys.json.*"):
        key.chmod(0o600)
    # The name of a spool has the address in it, which was another where it was made.
    (spool,) = (tmp_path / "state" / "spool").iterdir()
    address = LogboekAddress(scheme="chdb", path=str(tmp_path / "logboek"))
    present = spool_base(spool.parent, address).name
    spool.rename(spool.with_name(present if "-" in spool.name else present.partition("-")[0]))
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LDV_", "OTEL_"))}
    return clean | {
        "LDV_LOGBOEK": f"chdb://{tmp_path}/logboek",
        "LDV_STATE": str(tmp_path / "state"),
        "LDV_KEYS": str(tmp_path / "keys.json"),
        "OTEL_SERVICE_NAME": "parkeren",
        "COLUMNS": "100",
    }


def serve_once(environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a service that logs one Actie."""
    return subprocess.run(
        [sys.executable, "-c", SERVICE], env=environ, capture_output=True, text=True, timeout=300, check=False
    )


def succeeding(environ: dict[str, str], *arguments: str, typed: str = "") -> str:
    """Run the command, which succeeds, and return what it prints."""
    done = ldv(environ, *arguments, typed=typed)
    assert done.returncode == 0, (arguments, done.stdout, done.stderr)
    return done.stdout


def exported(environ: dict[str, str]) -> list[dict[str, str]]:
    """Return all records."""
    return list(csv.DictReader(io.StringIO(succeeding(environ, "export", "-", "--format", "csv"))))


def test_nothing_that_an_earlier_version_logged_is_lost(environ: dict[str, str]) -> None:
    """Tables first, then services: what was stored is there as it was, what waited arrives, and people are found."""
    succeeding(environ, "schema", "apply")
    before = exported(environ)
    assert Counter(record["name"] for record in before) == names_of(STORED)
    service = serve_once(environ)
    assert service.stdout == "True\n", service.stderr
    after = exported(environ)
    assert Counter(record["name"] for record in after) == (names_of(STORED) + names_of(WAITING) + Counter({"Nieuw": 1}))
    assert [record for record in after if record in before] == before
    cases = [json.loads(record["attributes"])["dpl.core.zaak"] for record in after if "zaak" in record["attributes"]]
    assert sorted(cases) == sorted(f"Z-{number}" for number in (*STORED, *WAITING))
    person = json.loads(succeeding(environ, "inzage", "--json", typed="123456782\n"))
    odd = sum(number % 2 for number in (*STORED, *WAITING))
    assert Counter(record["name"] for record in person) == {"Wijzig kenteken": odd, "Nieuw": 1}
    assert "999990019" not in json.dumps(after)
    succeeding(environ, "status")


def test_a_service_that_starts_before_the_tables_waits_for_them(environ: dict[str, str], tmp_path: Path) -> None:
    """On a server: its records wait on disk, and it says what to do."""
    with LogboekProcess(tmp_path / "logboek") as process:
        there = environ | {
            "LDV_LOGBOEK": f"clickhouse+http://127.0.0.1:{process.port}/ldv",
            "LDV_LOGBOEK_PASSWORD": SECRET,
        }
        status = ldv(there, "schema", "status")
        if status.returncode == 0:
            pytest.skip("the tables are of this version")
        early = serve_once(there)
        assert (early.returncode, early.stdout) == (0, "False\n")
        assert "ldv schema apply" in early.stderr
        succeeding(there, "schema", "apply")
        assert serve_once(there).stdout == "True\n"
        assert Counter(record["name"] for record in exported(there))["Nieuw"] == 2


def test_what_was_there_is_sealed_and_backed_up(environ: dict[str, str], tmp_path: Path) -> None:
    """Adopted as it is, verified, and restored elsewhere without a difference."""
    succeeding(environ, "schema", "apply")
    assert serve_once(environ).stdout == "True\n"
    succeeding(environ, "seal", "--adopt")
    succeeding(environ, "verify")
    records = exported(environ)
    succeeding(environ, "backup", str(tmp_path / "backup"))
    elsewhere = environ | {"LDV_LOGBOEK": f"chdb://{tmp_path}/restored"}
    succeeding(elsewhere, "restore", str(tmp_path / "backup"))
    assert exported(elsewhere) == records
    succeeding(elsewhere, "verify")
