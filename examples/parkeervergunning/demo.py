"""Plays the story: a Logboek and a service for each organisation, a real recorded trace, and what was logged.

Everything happens in processes of their own, started here and stopped at the end; only the Logboeken stay, below
`.demo/` of the checkout, or where `--home` says.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import requests
from rich.console import Console

from ldv_otel import Logregel, read_settings
from ldv_otel._internal.cli.listing import ListingTexts, tree_label
from ldv_otel._internal.cli.rendering import trace_tree
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.register_table import StoredVersions, stored_versions

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
RECORDED = ROOT / "tests" / "data" / "otlp-geonovum-kapvergunning.json"
LDV = (sys.executable, "-m", "ldv_otel._internal.cli")

#: What runs a statement without the Logboek.
BEHIND = """
import os, sys
from ldv_otel import read_settings
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.sql_text import Sql
with LogboekClient(read_settings(os.environ)) as client:
    client.command(Sql.verbatim(sys.argv[1]))
"""

console = Console(highlight=False)


class Organisation:
    """One organisation: its Logboek, its keys, its service."""

    def __init__(self, name: str, home: Path) -> None:
        self.name = name
        self.directory = home / name
        self.logboek_port = free_port()
        self.port = free_port()
        self.api_port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        # Nothing of the caller's own LDV_ variables: the demonstration is about these two Logboeken only.
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith("LDV_")} | {
            "LDV_LOGBOEK": f"clickhouse+http://127.0.0.1:{self.logboek_port}/ldv",
            "LDV_KEYS": str(home / f"{name}.keys.json"),
            "LDV_STATE": str(home / "state"),
            "LDV_REGISTER": str(HERE / f"{name}.register.yaml"),
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

    def register(self) -> StoredVersions:
        """Return the Register of this organisation's Logboek."""
        with LogboekClient(read_settings(self.environ)) as client:
            return stored_versions(client)

    def logregels(self) -> list[Logregel]:
        """Return everything in this organisation's Logboek, through the driver an auditor would use."""
        with LogboekClient(read_settings(self.environ)) as client:
            return [found.logregel for found in read.in_period(client).records]


def play(home: Path) -> tuple[Organisation, Organisation]:
    """Play the story and show what was logged; return the municipality and the RDW, whose Logboeken stay."""
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(mode=0o700, parents=True)
    gemeente, rdw = Organisation("gemeente", home), Organisation("rdw", home)
    for organisation in (gemeente, rdw):
        organisation.ldv("key", "new")
    with ExitStack() as logboeken:
        logboeken.enter_context(gemeente.logboek())
        logboeken.enter_context(rdw.logboek())
        for organisation in (gemeente, rdw):
            organisation.ldv("schema", "apply")
            organisation.ldv("register", "apply")
        for mode in ("continue", "restart"):
            once(gemeente, rdw, mode)
        gemeente.ldv("import", str(RECORDED))
        console.rule("1. The municipality is asked about a person: ldv inzage")
        gemeente.environ["LDV_PARTIES"] = str(home / "gemeente.parties.yaml")
        gemeente.ldv("inzage", "--type", "BSN", typed="123456782", shown=True)
        console.rule("2. Its request went on to the RDW, in one trace")
        show(gemeente, rdw)
    tamper(gemeente, home)
    try_next(gemeente)
    return gemeente, rdw


def tamper(gemeente: Organisation, home: Path) -> None:
    """Change one row behind the municipality's back, show how that is found, and change it back."""
    # The Logboek has stopped: who holds its directory holds everything in it.
    environ = gemeente.environ | {"LDV_LOGBOEK": f"chdb://{gemeente.directory}"}
    place = f"file://{home / 'second-place'}"
    console.rule("3. Sealed, with a copy in a second place: ldv seal, ldv verify")
    subprocess.run([*LDV, "seal", "--to", place], env=environ, check=True)
    subprocess.run([*LDV, "verify", "--against", place], env=environ, check=True)
    console.rule("4. An administrator changes one row, and the Logboek says nothing")
    change = (
        "ALTER TABLE logregel UPDATE name = {name} WHERE name = {other} AND writer_id = "
        "(SELECT min(toString(writer_id)) FROM logregel WHERE name = {other}) SETTINGS mutations_sync = 1"
    )
    wrong, right = "'Bekijk kenteken'", "'Wijzig kenteken'"
    statement = change.format(name=wrong, other=right)
    console.print(f"ALTER TABLE logregel UPDATE name = {wrong} ...", markup=False)
    subprocess.run([sys.executable, "-c", BEHIND, statement], env=environ, check=True)
    subprocess.run([*LDV, "verify", "--against", place], env=environ, check=False)
    subprocess.run([sys.executable, "-c", BEHIND, change.format(name=right, other=wrong)], env=environ, check=True)


def try_next(gemeente: Organisation) -> None:
    """Say how to go on with what is there."""
    console.rule("To try next")
    for line in (
        f"export LDV_LOGBOEK=chdb://{gemeente.directory} LDV_KEYS={gemeente.environ['LDV_KEYS']}",
        "ldv status                    how the Logboek is",
        "ldv inzage --wide             the same with ids; the number is in examples/parkeervergunning/demo.py",
        "ldv trace TRACE               one trace, with what called parties did",
        "ldv serve --demo              pages for citizens and the privacy officer",
    ):
        console.print(line, markup=False, soft_wrap=True)


def keep_up(gemeente: Organisation, rdw: Organisation, home: Path) -> None:
    """Keep the citizen's page up, and the RDW's read API that it asks, until somebody presses Ctrl+C."""
    with pages(gemeente, rdw, home) as address:
        console.rule("What the citizen sees")
        console.print(f"{address}\nSign in with the number that is there.")
        console.rule("What the privacy officer sees")
        console.print(f"{address.removesuffix('inzage')}toezicht\nCtrl+C ends it.")
        with suppress(KeyboardInterrupt):
            signal.pause()


@contextmanager
def pages(gemeente: Organisation, rdw: Organisation, home: Path) -> Iterator[str]:
    """Serve the citizen's page of the municipality, and give its address; the Logboeken are opened for it."""
    api = f"http://127.0.0.1:{rdw.api_port}"
    parties = home / "inzage.parties.yaml"
    # In the records, the RDW's read API is at the address that it has while it is up.
    parties.write_text(f"read_apis: [{{url: '{api}/lezenapi/v1', name: RDW}}]\n", encoding="utf-8")
    page = f"http://127.0.0.1:{gemeente.api_port}"
    with ExitStack() as stack:
        for organisation, arguments, url, more in (
            (rdw, ["--without-authentication"], api, {}),
            (
                gemeente,
                ["--demo"],
                page,
                {
                    "LDV_PARTIES": str(parties),
                    "LDV_ORGANISATION": "Gemeente Voorbeeld",
                    "LDV_TOEZICHT_ACTIVITY": "https://register.gemeente.example/activiteiten/toezicht-op-het-logboek",
                },
            ),
        ):
            environ = organisation.environ | more | {"LDV_LOGBOEK": f"chdb://{organisation.directory}"}
            command = [*LDV, "serve", *arguments, "--listen", url.removeprefix("http://")]
            stack.enter_context(running(command, environ, partial(answers, url), quiet=True))
        yield f"{page}/inzage"


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
    around = gemeente.directory.with_name("gemeente.parties.yaml")
    around.write_text(
        (HERE / "gemeente.parties.yaml")
        .read_text(encoding="utf-8")
        .replace("https://ldv.rdw.example/v1", f"http://127.0.0.1:{rdw.api_port}/lezenapi/v1"),
        encoding="utf-8",
    )
    with rdw.service(LDV_PARTIES=str(parties)), gemeente.service(RDW=rdw.url, LDV_PARTIES=str(around)):
        answer = requests.post(
            f"{gemeente.url}/vergunningen/P-1/kenteken",
            json={"bsn": "123456782", "kenteken": "KL-901-M"},
            timeout=20,
        )
        answer.raise_for_status()
    # The services have ended, so what they logged is confirmed.


def show(gemeente: Organisation, rdw: Organisation) -> None:
    """Show how the records of both fit together, where the RDW goes on in the municipality's trace."""
    called = next(record for record in rdw.logregels() if record.trace_id == record.foreign_operation_trace_id)
    together = [*(record for record in gemeente.logregels() if record.trace_id == called.trace_id), called]
    register = {**gemeente.register(), **rdw.register()}
    texts = ListingTexts(register=register)
    tree = trace_tree(together, title=f"trace {called.trace_id.hex()}", label=partial(tree_label, texts=texts))
    console.print(tree)


@contextmanager
def running(
    command: list[str], environ: dict[str, str], ready: Callable[[], bool], *, quiet: bool = False
) -> Iterator[None]:
    """Run a process for the length of a block; it is told to stop politely, which delivers what it still holds."""
    errors = subprocess.DEVNULL if quiet else None
    with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=errors) as process:
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
    except (requests.ConnectionError, requests.Timeout):
        return False
    return True


def free_port() -> int:
    """Return a port that nobody listens on now, below those that outgoing connections get meanwhile."""
    for port in (10_000 + secrets.randbelow(22_000) for _ in range(1_000)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    sys.exit("no port of this machine is free")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=ROOT / ".demo", help="where everything is made; emptied first")
    played_in = parser.parse_args().home.absolute()
    organisations = play(played_in)
    if sys.stdin.isatty() and sys.stdout.isatty():
        keep_up(*organisations, played_in)
