"""The four ways of the standard to place the register, each a set of services that is started, used and read here.

python examples/gemma/variants.py apart | each | process | data
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import httpx

from ldv_otel._internal.gemma.zgw_token import zgw_token
from ldv_otel._internal.privacy.key_file import add_key

HERE: Final = Path(__file__).parent
LDV: Final = (sys.executable, "-m", "ldv_otel._internal.cli")
BSN: Final = "123456782"
OIN: Final = "00000001821002198000"
START_SECONDS: Final = 60

#: Where each of the two components logs: in a register apart, in itself, or in the other.
VARIANTS: Final[Mapping[str, Mapping[str, str]]] = {
    "apart": {"vergunningen": "register", "personen": "register"},
    "each": {"vergunningen": "vergunningen", "personen": "personen"},
    "process": {"vergunningen": "vergunningen", "personen": "vergunningen"},
    "data": {"vergunningen": "personen", "personen": "personen"},
}


class Services:
    """The services of a variant: their ports, secrets and environments, below a directory of their own."""

    def __init__(self, variant: str, home: Path) -> None:
        self.logs_at = VARIANTS[variant]
        self.home = home
        self.ports = {name: _free_port() for name in ("register", *self.logs_at)}
        self.secrets = {client: secrets.token_hex(32) for client in (*self.logs_at, "portaal")}
        # One organisation, one key ring: a person has the same pseudonym in each of its Logboeken.
        add_key(home / "keys.json", sealing=True)
        for client, secret in self.secrets.items():
            (home / f"{client}.secret").write_text(secret, encoding="utf-8")
        clients = [
            {"id": name, "secret_file": f"{name}.secret", "bewerking": ["create:confidential", "read:normal"]}
            for name in self.logs_at
        ]
        clients.append({"id": "portaal", "secret_file": "portaal.secret", "inzage": ["read:normal"]})
        self._write("clients.yaml", {"clients": clients})
        # Who is called, and told what for (IR-07).
        called = [{"at": f"127.0.0.1:{self.ports['personen']}", "headers": ["gemma"]}]
        self._write("parties.yaml", {"extensions": {"gemma": {"oin": OIN}}, "called": called})

    @property
    def registers(self) -> list[str]:
        """Which of them are, or have in them, a register."""
        return sorted(set(self.logs_at.values()))

    def api(self, name: str) -> str:
        """Return the base of both APIs of a register."""
        mounted = "" if name == "register" else "/verwerkingenlog"
        return f"127.0.0.1:{self.ports[name]}{mounted}/api/v1"

    def environ(self, name: str) -> dict[str, str]:
        """Return all that makes a service log where it does."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("LDV_", "OTEL_"))}
        own = kept | {
            "PORT": str(self.ports[name]),
            "PERSONEN": f"http://127.0.0.1:{self.ports['personen']}",
            "LDV_KEYS": str(self.home / "keys.json"),
            "LDV_STATE": str(self.home / f"{name}.state"),
            "LDV_PARTIES": str(self.home / "parties.yaml"),
            "LDV_DELIVERY": "confirmed",
        }
        if name in self.registers:
            return own | {
                "LDV_LOGBOEK": f"chdb://{self.home / name}",
                "LDV_GEMMA_CLIENTS": str(self.home / "clients.yaml"),
                "LDV_GEMMA_ACTIVITY": "https://var.example/api/v1/verwerkingsactiviteiten/"
                "0a3c1e5b-525a-4a57-9d0e-6a4f7f5b2c11",
            }
        return own | {
            "LDV_LOGBOEK": f"gemma+http://{name}@{self.api(self.logs_at[name])}",
            "LDV_LOGBOEK_PASSWORD_FILE": str(self.home / f"{name}.secret"),
        }

    def command(self, name: str) -> list[str]:
        """Return what starts a service."""
        if name == "register":
            return [*LDV, "serve", "--gemma", "--listen", f"127.0.0.1:{self.ports[name]}"]
        return [sys.executable, str(HERE / f"{name}.py")]

    @contextmanager
    def running(self, *names: str, **environ: str) -> Iterator[None]:
        """Run all of them, or only these, each in a process of its own."""
        processes = []
        try:
            for name in names or {*self.logs_at, *self.registers}:
                environment = self.environ(name) | environ
                processes.append(subprocess.Popen(self.command(name), env=environment, cwd=HERE))
            for name in names or {*self.logs_at, *self.registers}:
                _wait_for(f"http://127.0.0.1:{self.ports[name]}/")
            yield
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait()

    def apply(self, bsn: str = BSN) -> httpx.Response:
        """Apply for a permit, as somebody at the desk does."""
        application = {"bsn": bsn, "zaak": str(uuid.uuid4())}
        return httpx.post(f"http://127.0.0.1:{self.ports['vergunningen']}/aanvragen", json=application, timeout=60)

    def seen(self, register: str, bsn: str = BSN) -> list[dict[str, Any]]:
        """Return the Verwerkingsacties that a citizen sees in a register, through the Inzage API; oldest first."""
        question = {
            "objecttype": "persoon",
            "soortObjectId": "BSN",
            "objectId": bsn,
            "beginDatum": str(date.today() - timedelta(days=1)),  # noqa: DTZ011  (a day more does no harm)
            "eindDatum": str(date.today() + timedelta(days=2)),  # noqa: DTZ011  (as above)
        }
        activity = "2b6f5f1c-2d3e-4c5a-8f3b-9f1f6a576e0f"
        headers = {
            "Authorization": f"Bearer {zgw_token('portaal', self.secrets['portaal'])}",
            "OIN": OIN,
            "VerwerkingsactiviteitId": activity,
            "VerwerkingsactiviteitUrl": f"https://var.example/api/v1/verwerkingsactiviteiten/{activity}",
        }
        url = f"http://{self.api(register)}/verwerkte-objecten"
        answer = httpx.get(url, params=question, headers=headers, timeout=30)
        answer.raise_for_status()
        found = [each["verwerkingsactie"] for each in answer.json()["results"]]
        return sorted(found, key=lambda actie: str(actie["tijdstip"]))

    def _write(self, name: str, content: object) -> None:
        # JSON is YAML too.
        (self.home / name).write_text(json.dumps(content, indent=2), encoding="utf-8")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            httpx.get(url)
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variant", choices=VARIANTS)
    variant = parser.parse_args().variant
    with tempfile.TemporaryDirectory() as home:
        services = Services(variant, Path(home))
        with services.running():
            print(services.apply().json())
            for register in services.registers:
                print(f"\nIn the register of {register}, the citizen sees:")
                for actie in services.seen(register):
                    afnemer = actie["afnemerId"] and f", voor {actie['afnemerId']} ({actie['verwerkingIdAfnemer']})"
                    print(f"  {actie['tijdstip'][11:19]}  {actie['actieNaam']}{afnemer}")


if __name__ == "__main__":
    main()
