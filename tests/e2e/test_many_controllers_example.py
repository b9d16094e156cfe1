"""`examples/many-controllers` as its page says: two municipalities, two Logboeken, another pseudonym in each."""

from __future__ import annotations

import csv
import io
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

    def run(self, command: list[str]) -> str:
        """Run a command and return what it says."""
        process = subprocess.run(
            command, cwd=self.directory, env=self.environ, capture_output=True, text=True, timeout=300, check=False
        )
        assert process.returncode == 0, process.stderr
        return process.stdout

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
        pseudonyms: list[set[str]] = []
        for command in commands.named("ldv activity"):
            rows = csv.DictReader(io.StringIO(commands.run(command)))
            pseudonyms.append({row["data_subject_id"] for row in rows})
        assert [len(each) for each in pseudonyms] == [2, 1]
        assert pseudonyms[0].isdisjoint(pseudonyms[1])
        assert "3 of 3 Logboeken have nothing waiting here." in commands.run(["ldv", "status"])
