"""`examples/many-controllers` as its page says: two municipalities, two Logboeken, another pseudonym in each."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tests.support.loopback import free_port

EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "many-controllers"
BIN: Final = Path(sys.executable).parent


class Commands:
    """Runs commands of the page as a person would, in a copy of the example."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "example"
        shutil.copytree(EXAMPLE, self.directory)
        self.page = (EXAMPLE / "README.md").read_text("utf-8")
        self.ports = {port: str(free_port()) for port in ("8124", "8125", "8126")}
        file = self.directory / "logboeken.yaml"
        file.write_text(self._with_ports(file.read_text("utf-8")), encoding="utf-8")
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("LDV_")},
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "LDV_LOGBOEKEN": "logboeken.yaml",
            "LDV_STATE": str(directory / "state"),
        }

    def _with_ports(self, text: str) -> str:
        return re.sub(r"\b812[456]\b", lambda match: self.ports[match[0]], text)

    def named(self, pattern: str) -> list[list[str]]:
        """Return the commands of the page that begin like this."""
        return [
            self._with_ports(line).split()
            for line in re.findall(rf"^\$ ({pattern}.*?)(?: &)?$", self.page, re.MULTILINE)
        ]

    def run(self, command: list[str], *, exit_code: int = 0) -> str:
        """Run a command and return what it says."""
        process = subprocess.run(
            command, cwd=self.directory, env=self.environ, capture_output=True, text=True, timeout=300, check=False
        )
        assert process.returncode == exit_code, process.stderr
        return process.stdout

    def activities(self) -> list[set[str]]:
        """Return the pseudonyms in each Logboek, as the commands of the page show them."""
        answers = [csv.DictReader(io.StringIO(self.run(command))) for command in self.named("ldv activity")]
        return [{row["data_subject_id"] for row in rows} for rows in answers]

    def start(self, command: list[str]) -> subprocess.Popen[str]:
        """Start a Logboek, and return once it is ready."""
        process = subprocess.Popen(
            command, cwd=self.directory, env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert process.stdout
        assert "is ready" in process.stdout.readline()
        return process


def test_the_example(tmp_path: Path) -> None:
    """What the page shows is what comes out."""
    commands = Commands(tmp_path)
    for command in commands.named("ldv key"):
        commands.run(command)
    with ExitStack() as running:
        logboeken = [commands.start(command) for command in commands.named("ldv logboek")]
        assert len(logboeken) == 3
        for process in logboeken:
            running.enter_context(process)
            running.callback(process.terminate)
        said = commands.run([sys.executable, *commands.named("python")[0][1:]])
        assert f"$ python loket.py\n{said}" in commands.page
        pseudonyms = commands.activities()
        assert [len(each) for each in pseudonyms] == [2, 1]
        assert pseudonyms[0].isdisjoint(pseudonyms[1])
        assert "3 of 3 Logboeken have nothing waiting here." in commands.run(["ldv", "status"])
        check_one_away(commands, logboeken[1], running)


def check_one_away(commands: Commands, utrecht: subprocess.Popen[str], running: ExitStack) -> None:
    """One Logboek is away: the other's records arrive, its own wait, and are there once it is back."""
    utrecht.terminate()
    utrecht.wait(30)
    said = commands.run([sys.executable, "loket.py"], exit_code=1)
    assert "0344: 0 in het Logboek" in said
    assert "0363: 2 in het Logboek" in said
    waiting = json.loads(commands.run(["ldv", "status", "--json"]))["tenants"]
    assert {each["tenant"]: each["pending"] for each in waiting} == {"quarantine": 0, "0363": 0, "0344": 1}
    again = commands.start(commands.named("ldv logboek")[1])
    running.enter_context(again)
    running.callback(again.terminate)
    commands.run(["ldv", "spool", "drain", "--tenant", "0344"])
    rows = csv.DictReader(io.StringIO(commands.run(commands.named("ldv activity")[1])))
    assert len(list(rows)) == 2
    assert "3 of 3 Logboeken" in commands.run(["ldv", "status"])
