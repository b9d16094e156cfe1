"""The pages of `docs/start`: each as it is printed, in an environment of its own, with the result that it promises.

What is printed is what runs: files are written under the titles of their blocks, and each block of commands is given to
a shell that knows nothing of the blocks before it, as a new terminal does not.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.support.loopback import free_port

START: Final = Path(__file__).parents[2] / "docs" / "start"
BSN: Final = "123456782"
_BLOCK: Final = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```', re.MULTILINE | re.DOTALL)
_PORT: Final = re.compile(r"(?:127\.0\.0\.1:|--port |--noreload )(\d{4,5})\b")
#: What goes on until it is stopped.
_LASTING: Final = re.compile(r"^(?=ldv run |ldv logboek |uvicorn )", re.MULTILINE)
_LISTENS: Final = re.compile(r"--listen 127\.0\.0\.1:(\d+)")
#: Lines that prepare a terminal, and the one that shows the result.
_AGAIN: Final = re.compile(r"^(?:export|set|ldv inzage) .*", re.MULTILINE)
#: Everything is installed, and a service needs a moment until it listens.
_SHELL: Final = """\
set -e
pip() { :; }
curl() {
  command curl --silent --show-error --fail --retry 200 --retry-delay 1 --retry-connrefused --retry-max-time 90 "$@"
}
"""
_SECONDS: Final = 120


class Block(NamedTuple):
    """A block of a page: its language, the title above it, and what is in it."""

    language: str
    title: str
    text: str


def blocks_of(name: str) -> list[Block]:
    """The blocks of a page, with ports that are free."""
    text = (START / name).read_text(encoding="utf-8")
    for port in dict.fromkeys(_PORT.findall(text)):
        text = text.replace(port, str(free_port()))
    return [Block(*match) for match in _BLOCK.findall(text)]


def shape(listing: str) -> str:
    """A listing without what differs between two runs: when it was, the pseudonym, and how wide the names are."""
    listing = re.sub(r"\b\d\d:\d\d:\d\d\b", "TIME", listing)
    listing = re.sub(r"\b(?:[A-Z][a-z]+day )?\d{1,2} [A-Z][a-z]+ 2\d{3}\b", "DATE", listing)
    listing = re.sub(r"\b[0-9a-f]{12}…", "PSEUDONYM…", listing)
    return re.sub(r" +", " ", listing).strip()


class Walk:
    """Somebody who does what a page says, in a directory of their own."""

    def __init__(self, name: str, directory: Path) -> None:
        self.blocks = blocks_of(name)
        self.directory = directory
        self.log = directory / "log"
        #: Whether a process of its own has the Logboek, so that it can be asked while services run.
        self.shared = any("ldv logboek " in block.text for block in self.blocks)
        (self.promised,) = [block.text for block in self.blocks if block[:2] == ("text", "")]
        for block in self.blocks:
            if "." in block.title:
                (directory / block.title).write_text(block.text, encoding="utf-8")

    def go(self) -> str:
        """Run every block of commands, and return what the last command printed."""
        shown = ""
        with ExitStack() as services:
            for block in self.blocks:
                if block.language != "console":
                    continue
                script = re.sub(r"^\$ ", "", block.text, flags=re.MULTILINE)
                if "ldv inzage" in script and not self.shared:
                    services.close()
                if _LASTING.search(script):
                    services.enter_context(self._service(_LASTING.sub("exec ", script)))
                    for port in _LISTENS.findall(script):
                        _wait_for(int(port))
                else:
                    shown = self._run(script)
            # A worker may not have come to its task yet.
            deadline = time.monotonic() + _SECONDS
            while self.shared and shape(self.promised) != shape(shown) and time.monotonic() < deadline:
                shown = self._run("\n".join(_AGAIN.findall(script)))
        return shown

    def _run(self, script: str) -> str:
        """What a block of commands prints; what is asked is typed."""
        done = subprocess.run(
            ["bash", "-c", _SHELL + script],
            cwd=self.directory,
            env=environ(self.directory),
            input=f"{BSN}\n",
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        with self.log.open("a", encoding="utf-8") as log:
            log.write(done.stdout + done.stderr)
        assert done.returncode == 0, self.log.read_text(encoding="utf-8")
        return done.stdout

    @contextmanager
    def _service(self, script: str) -> Iterator[None]:
        with (
            self.log.open("a", encoding="utf-8") as log,
            subprocess.Popen(
                ["bash", "-c", _SHELL + script],
                cwd=self.directory,
                env=environ(self.directory),
                stdout=log,
                stderr=subprocess.STDOUT,
            ) as service,
        ):
            try:
                yield
            finally:
                service.send_signal(signal.SIGINT)
                service.wait(_SECONDS)


def _wait_for(port: int) -> None:
    """Go on once something listens there."""
    deadline = time.monotonic() + _SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < deadline, "nothing listens"
            time.sleep(0.1)
        else:
            return


def environ(directory: Path) -> dict[str, str]:
    """An environment without any variable of ours, in which programs are those of this Python."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LDV_", "OTEL_", "DJANGO_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**clean, "PATH": path, "LDV_STATE": str(directory / "state"), "PYDANTIC_DISABLE_PLUGINS": "__all__"}


#: Pages that somebody walks; what the others show is tested elsewhere.
WALKED: Final = (
    "in-code.md",
    "in-code-web.md",
    "by-environment.md",
    "from-nothing.md",
    "scripts.md",
    "fastapi.md",
    "flask.md",
    "django.md",
    "grpc.md",
    "celery.md",
)


@pytest.mark.parametrize("name", WALKED)
def test_a_page_gives_what_it_promises(tmp_path: Path, name: str) -> None:
    """From the first file to the person's records, which are the ones that the page shows."""
    if name == "django.md":
        assert "`django-admin startproject gemeente .`" in (START / name).read_text(encoding="utf-8")
        subprocess.run(
            [sys.executable, "-m", "django", "startproject", "gemeente", "."],
            cwd=tmp_path,
            check=True,
            timeout=_SECONDS,
        )
    walk = Walk(name, tmp_path)
    shown = walk.go()
    assert shape(shown).endswith(shape(walk.promised)), walk.log.read_text(encoding="utf-8")


def test_every_quick_start_is_walked() -> None:
    """A page that shows the records of a person is one that somebody can follow to its end."""
    pages = {page.name for page in START.glob("*.md") if "ldv inzage" in page.read_text(encoding="utf-8")}
    assert pages - {"architecture.md"} == set(WALKED)
    assert shape("Monday 2 November 2026\n  13:00:01  A") == "DATE\n TIME A"
    assert shape("About (pseudonym 0123456789ab…)   2 May 2026") == "About (pseudonym PSEUDONYM…) DATE"


def test_the_backend_of_code_gets_the_span_without_the_number(tmp_path: Path) -> None:
    """What a provider exported before it still exports, but for the number of the person."""
    walk = Walk("in-code.md", tmp_path)
    walk.go()
    said = walk.log.read_text(encoding="utf-8")
    assert '"name": "Wijzig kenteken"' in said
    assert BSN not in said


def test_the_rule_that_is_shown_is_the_one_that_is_written(tmp_path: Path) -> None:
    """`ldv init` writes for the service of the page what the page shows."""
    walk = Walk("by-environment.md", tmp_path)
    walk.go()
    (rule,) = [block.text for block in walk.blocks if block.language == "yaml"]
    assert rule.partition("rules:\n")[2] in (tmp_path / "rules.yaml").read_text(encoding="utf-8")


_CELLS: Final = """
import os, signal, sys
from IPython.core.interactiveshell import InteractiveShell
first, second = {cells!r}
shell = InteractiveShell.instance()
for cell in (first, first, second):
    result = shell.run_cell(cell)
    result.raise_error()
print(result.result, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_cells_of_a_notebook(tmp_path: Path) -> None:
    """The first twice, and the kernel killed at the end: the record is there, once."""
    pytest.importorskip("IPython", reason="IPython, which runs the cells of notebooks, is not installed.")
    blocks = blocks_of("scripts.md")
    cells = [block.text for block in blocks if block.title.startswith("cell ")]
    (promised,) = [block.text for block in blocks if block.title == "what cell 2 gives"]
    done = subprocess.run(
        [sys.executable, "-c", _CELLS.format(cells=cells)],
        cwd=tmp_path,
        env={**environ(tmp_path), "IPYTHONDIR": str(tmp_path / "ipython")},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert done.stdout.splitlines()[-1:] == [promised.strip()]
    variables = dict(re.findall(r"^%env (\w+)=(.*)$", cells[0], re.MULTILINE))
    looked = subprocess.run(
        shlex.split("ldv inzage --type BSN"),
        cwd=tmp_path,
        env={**environ(tmp_path), **variables},
        input=f"{BSN}\n",
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=True,
    )
    assert looked.stdout.count("Dossier bekijken") == 1
