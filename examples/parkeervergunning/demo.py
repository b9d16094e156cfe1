"""Plays the story: a Logboek and a service for each organisation, a real recorded trace, and what was logged.

Everything happens in processes of their own, started here and stopped at the end; only the Logboeken stay, below
`.demo/` of the checkout, or where `--home` says.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import requests
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ldv_otel import Logregel, read_settings
from ldv_otel.cli.rendering import records_table, trace_tree
from ldv_otel.logboek import read
from ldv_otel.logboek.client import LogboekClient

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
RECORDED = ROOT / "tests" / "data" / "otlp-geonovum-kapvergunning.json"
LDV = (sys.executable, "-m", "ldv_otel.cli")

console = Console(highlight=False)


class Organisation:
    """One organisation: its Logboek, its keys, its service."""

    def __init__(self, name: str, home: Path) -> None:
        self.name = name
        self.directory = home / name
        self.logboek_port = free_port()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        # Nothing of the caller's own LDV_ variables: the demonstration is about these two Logboeken only.
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith("LDV_")} | {
            "LDV_LOGBOEK": f"clickhouse+http://127.0.0.1:{self.logboek_port}/ldv",
            "LDV_KEYS": str(home / f"{name}.keys.json"),
            "LDV_STATE": str(home / "state"),
            "PORT": str(self.port),
        }

    def ldv(self, *arguments: str, typed: str = "", shown: bool = False) -> None:
        """Run an `ldv` command as this organisation."""
        output = None if shown else subprocess.DEVNULL
        subprocess.run([*LDV, *arguments], env=self.environ, check=True, input=typed, text=True, stdout=output)

    @contextmanager
    def logboek(self) -> Iterator[None]:
        """Run this organisation's Logboek."""
        command = [*LDV, "logboek", "--path", str(self.directory), "--listen", f"127.0.0.1:{self.logboek_port}"]
        with running(command, self.environ, lambda: answers(f"http://127.0.0.1:{self.logboek_port}/ping")):
            yield

    @contextmanager
    def service(self, **more: str) -> Iterator[None]:
        """Run this organisation's service."""
        command = [sys.executable, str(HERE / f"{self.name}.py")]
        with running(command, self.environ | more, lambda: answers(self.url)):
            yield

    def logregels(self) -> list[Logregel]:
        """Return everything in this organisation's Logboek, through the driver an auditor would use."""
        with LogboekClient(read_settings(self.environ)) as client:
            return [found.logregel for found in read.in_period(client).records]


def play(home: Path) -> None:
    """Play the story and show what was logged."""
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(mode=0o700, parents=True)
    gemeente, rdw = Organisation("gemeente", home), Organisation("rdw", home)
    for organisation in (gemeente, rdw):
        organisation.ldv("key", "new")
    with ExitStack() as logboeken:
        logboeken.enter_context(gemeente.logboek())
        logboeken.enter_context(rdw.logboek())
        for mode in ("continue", "restart"):
            once(gemeente, rdw, mode)
        gemeente.ldv("import", str(RECORDED))
        show(gemeente.logregels(), rdw.logregels())
        console.rule("ldv inzage, asked by the municipality about the person at the desk")
        gemeente.ldv("inzage", "--type", "BSN", typed="123456782", shown=True)


def once(gemeente: Organisation, rdw: Organisation, mode: str) -> None:
    """Play the story once.

    Args:
        mode: What the RDW does with the municipality's trace: `continue` or `restart`.
    """
    parties = rdw.directory.with_name(f"rdw.{mode}.parties.yaml")
    parties.write_text(
        (HERE / "rdw.parties.yaml").read_text(encoding="utf-8").replace("trace: continue", f"trace: {mode}"),
        encoding="utf-8",
    )
    around = str(HERE / "gemeente.parties.yaml")
    with rdw.service(LDV_PARTIES=str(parties)), gemeente.service(RDW=rdw.url, LDV_PARTIES=around):
        answer = requests.post(
            f"{gemeente.url}/vergunningen/P-1/kenteken",
            json={"bsn": "123456782", "kenteken": "KL-901-M"},
            timeout=20,
        )
        answer.raise_for_status()
    # The services have ended, so what they logged is confirmed.


def show(gemeente: list[Logregel], rdw: list[Logregel]) -> None:
    """Show both Logboeken, and how their records fit together in both modes."""
    console.rule("Logboek of the municipality (with an imported trace of a tree felling permit)")
    console.print(records_table(gemeente))
    console.rule("Logboek of the RDW")
    console.print(records_table(rdw))
    for called in rdw:
        mode = "restart" if called.trace_id != called.foreign_operation_trace_id else "continue"
        trace_id = called.foreign_operation_trace_id
        together = [*(record for record in gemeente if record.trace_id == trace_id), called]
        console.rule(f"Both together, where the RDW has `trace: {mode}`")
        console.print(overall_picture(together))
        console.print(trace_tree(together, title=f"trace {trace_id.hex()}"))


def overall_picture(records: list[Logregel]) -> Table:
    """Return all relations between records, as the overall picture of the standard's introduction shows them."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for caption in (
        "Actie",
        "trace",
        "span",
        "parent",
        "foreign trace",
        "foreign span",
        "activiteit",
        "hoofdactiviteit",
    ):
        table.add_column(caption, overflow="fold")
    for record in records:
        ids = (
            record.trace_id,
            record.span_id,
            record.parent_span_id,
            record.foreign_operation_trace_id,
            record.foreign_operation_span_id,
        )
        activities = (record.processing_activity_id, record.parent_processing_activity_id)
        table.add_row(
            record.name,
            *(found.hex()[:6] or "-" for found in ids),
            *(activity.rpartition("/")[2].replace("-", " ") or "-" for activity in activities),
        )
    return table


@contextmanager
def running(command: list[str], environ: dict[str, str], ready: Callable[[], bool]) -> Iterator[None]:
    """Run a process for the length of a block; it is told to stop politely, which delivers what it still holds."""
    with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL) as process:
        try:
            wait_until(ready, process)
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Wait until a process answers."""
    deadline = time.monotonic() + 60
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"{process.args!r} did not start")
        time.sleep(0.05)


def answers(url: str) -> bool:
    """Say whether anything answers there."""
    try:
        requests.get(url, timeout=1)
    except requests.ConnectionError:
        return False
    return True


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=ROOT / ".demo", help="where everything is made; emptied first")
    play(parser.parse_args().home.absolute())
