"""`ldv serve --gemma` with some clients, and those clients."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from ldv_otel._internal.gemma.zgw_token import zgw_token
from ldv_otel._internal.privacy.key_file import add_key
from tests.gemma.contract import check
from tests.support.logboek import SECRET as SECRET_OF_THE_LOGBOEK
from tests.support.serving import ServeProcess

ACTIVITY: Final = "https://var.example/api/v1/verwerkingsactiviteiten/5f0bef4c-f66f-4311-84a5-19e8bf359eaf"
OIN: Final = "00000001821002193000"
SECRET: Final = "for tests only: not a secret, but long enough"  # says so itself
DOELBINDING: Final = {
    "OIN": OIN,
    "VerwerkingsactiviteitId": "c5b9f4e7-8c79-41b9-91e2-6268419cb167",
    "VerwerkingsactiviteitUrl": "https://var.elders.example/c5b9f4e7-8c79-41b9-91e2-6268419cb167",
    "VerwerkingId": "4b698de3-ffba-45e7-8697-a283ec863db2",
}
CLIENTS: Final[dict[str, dict[str, list[str]]]] = {
    "alles": {
        "bewerking": [f"{action}:confidential" for action in ("create", "read", "update", "delete")],
        "inzage": ["read:confidential"],
    },
    "normaal": {
        "bewerking": [f"{action}:normal" for action in ("create", "read", "update", "delete")],
        "inzage": ["read:normal"],
    },
    "bewerker": {"bewerking": ["read:confidential"]},
    "niets": {"bewerking": []},
}


@dataclass
class Api:
    """One client of a provider; every answer is checked against the contract."""

    base: str
    token: str
    http: httpx.Client

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send a request."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        headers |= more.pop("headers", {})
        url = path if "://" in path else f"{self.base}{path}"
        return check(self.http.request(method, url, headers=headers, **more))

    def post(self, **more: Any) -> dict[str, Any]:
        """Log an actie, and return it."""
        answer = self.ask("POST", "/verwerkingsacties", json=body(**more))
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def one(self, actie: dict[str, Any]) -> httpx.Response:
        """Read an actie."""
        return self.ask("GET", f"/verwerkingsacties/{actie['actieId']}")

    def put(self, actie: dict[str, Any], **more: Any) -> httpx.Response:
        """Replace an actie by itself, with some elements changed."""
        return self.ask("PUT", f"/verwerkingsacties/{actie['actieId']}", json=actie | more)

    def patch(self, verwerking_id: str, **more: Any) -> httpx.Response:
        """Change a Verwerking."""
        return self.ask("PATCH", "/verwerkingsacties", params={"verwerkingId": verwerking_id}, json=more)

    def delete(self, actie: dict[str, Any]) -> httpx.Response:
        """Delete an actie."""
        return self.ask("DELETE", f"/verwerkingsacties/{actie['actieId']}")

    def list(self, bsn: str, **more: Any) -> httpx.Response:
        """Ask the Bewerking API about a person."""
        return self.ask("GET", "/verwerkingsacties", params=about(bsn) | more)

    def inzage(self, bsn: str, *, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
        """Ask the Inzage API about a person, over all of this century."""
        period = {"beginDatum": "2000-01-01", "eindDatum": "2099-01-01"}
        params = {name: value for name, value in (about(bsn) | period | more).items() if value is not None}
        return self.ask(
            "GET", "/verwerkte-objecten", params=params, headers=DOELBINDING if headers is None else headers
        )


@dataclass
class Provider:
    """A server under test.

    Attributes:
        environ: Its variables.
        http: The connections of its clients.
    """

    process: ServeProcess
    environ: dict[str, str]
    http: httpx.Client

    @property
    def base(self) -> str:
        """Where the APIs are."""
        return f"{self.process.address}/api/v1"

    def client(self, name: str = "alles") -> Api:
        """Return one of its clients."""
        return Api(self.base, zgw_token(name, SECRET), self.http)


@contextmanager
def provided(directory: Path, logboek: str, **environ: str) -> Iterator[Provider]:
    """Run a provider."""
    keys = directory / "keys.json"
    if not keys.exists():
        add_key(keys, name="one", sealing=True)
    (directory / "secret").write_text(SECRET, encoding="utf-8")
    clients = directory / "clients.yaml"
    if not clients.exists():
        known = [{"id": name, "secret_file": "secret", **scopes} for name, scopes in CLIENTS.items()]
        clients.write_text(json.dumps({"clients": known}), encoding="utf-8")
    variables = {
        "LDV_LOGBOEK": logboek,
        "LDV_LOGBOEK_PASSWORD": SECRET_OF_THE_LOGBOEK,
        "LDV_KEYS": str(keys),
        "LDV_GEMMA_CLIENTS": str(clients),
        "LDV_GEMMA_ACTIVITY": ACTIVITY,
        "LDV_SERVE_REQUESTS_PER_MINUTE": "1000000",
        "LDV_CONFIRM_SECONDS": "1",
        **environ,
    }
    with (
        ServeProcess(variables, "--gemma", log=directory / "log") as process,
        httpx.Client(timeout=30, trust_env=False) as http,
    ):
        yield Provider(process, variables, http)


def body(*bsns: str, **more: Any) -> dict[str, Any]:
    """Return the body of a POST about some persons; `bsns` may also be an element."""
    persons = bsns or more.pop("bsns", ())
    return {
        "vertrouwelijkheid": "normaal",
        "tijdstip": "2026-03-02T09:15:07+01:00",
        "verwerkteObjecten": [{"objecttype": "persoon", "soortObjectId": "BSN", "objectId": bsn} for bsn in persons],
        **more,
    }


def about(bsn: str) -> dict[str, Any]:
    """Return the parameters that name a person."""
    return {"objecttype": "persoon", "soortObjectId": "BSN", "objectId": bsn}
