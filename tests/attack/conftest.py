"""What is attacked: `ldv serve` with everything that it offers, before an `ldv logboek` with records in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.gemma.zgw_token import zgw_token
from tests.api.conftest import BSN, TRACES, logregels
from tests.gemma.provider import ACTIVITY, SECRET, about, body
from tests.support.key_ring import write_ring
from tests.support.logboek import SECRET as SECRET_OF_THE_LOGBOEK
from tests.support.logboek import LogboekProcess, settings_at
from tests.support.serving import Issuer, ServeProcess

#: What answers that have records of the Logboek have in them.
CANARY = "Stap"
PUBLIC = "https://logboek.voorbeeld.example"
EVERYTHING = "ldv:read ldv:identify ldv:confidential ldv:chain ldv:oversee"
GEMMA_CLIENT = "alles"
#: The records of the others have no real seal.
GEMMA_BSN = "999990019"


@dataclass
class Target:
    """A server, and how its rightful clients get in."""

    process: ServeProcess
    logboek: LogboekProcess
    settings: Settings
    issuer: Issuer
    http: httpx.Client

    def lezen(self, token: str, **more: str) -> httpx.Response:
        """Ask for a trace that is there."""
        return self.http.post(
            "/lezenapi/v1/data-processing-operations",
            json={"traceId": TRACES[0].hex()},
            headers=[(b"Authorization", b"Bearer " + token.encode("utf-8", "surrogatepass")), *_encoded(more)],
        )

    def toezicht(self, token: str) -> httpx.Response:
        """Ask for an officer's page."""
        return self.http.get("/toezicht/regels", headers={b"Authorization": b"Bearer " + token.encode()})

    def inzage(self, token: str) -> httpx.Response:
        """Ask for a citizen's page."""
        return self.http.get("/inzage", headers={b"X-Id-Token": token.encode()})

    def gemma(self, token: str) -> httpx.Response:
        """Ask a register about a person."""
        headers = {b"Authorization": b"Bearer " + token.encode()}
        return self.http.get("/api/v1/verwerkingsacties", params=about(GEMMA_BSN), headers=headers)

    @property
    def token(self) -> str:
        """A good access token."""
        return self.issuer.token(EVERYTHING)

    @property
    def gemma_token(self) -> str:
        """A good token of GEMMA's."""
        return zgw_token(GEMMA_CLIENT, SECRET)

    @property
    def assertion(self) -> str:
        """A good assertion about a citizen."""
        return self.issuer.token(header={"typ": "JWT"}, sub=BSN)


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]


@pytest.fixture(scope="package")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """All of it."""
    home: Path = tmp_path_factory.mktemp("attack")
    write_ring(home / "keys.json", "old", "new", sealing=True)
    (home / "secret").write_text(SECRET, encoding="utf-8")
    client = {
        "id": GEMMA_CLIENT,
        "secret_file": "secret",
        "bewerking": ["create:confidential", "read:confidential"],
        "inzage": ["read:confidential"],
    }
    (home / "clients.yaml").write_text(json.dumps({"clients": [client]}), encoding="utf-8")
    issuer = Issuer(home)
    with LogboekProcess(home / "logboek") as logboek:
        settings = settings_at(logboek.port)
        apply_schema(settings)
        sink = ClickHouseSink(settings)
        sink.open()
        sink.send(number_batch(new_writer_id(), 0, logregels(home / "keys.json")))
        sink.close()
        environ = {
            **issuer.environ,
            "LDV_LOGBOEK": str(settings.logboek),
            "LDV_LOGBOEK_PASSWORD": SECRET_OF_THE_LOGBOEK,
            "LDV_KEYS": str(home / "keys.json"),
            "LDV_ORGANISATION": "Gemeente Voorbeeld",
            "LDV_SERVE_URL": PUBLIC,
            "LDV_SERVE_REQUESTS_PER_MINUTE": "1000000",
            "LDV_TOEZICHT_ACTIVITY": "urn:toezicht",
            "LDV_INZAGE_ISSUER": issuer.issuer,
            "LDV_INZAGE_AUDIENCE": issuer.audience,
            "LDV_INZAGE_JWKS": str(issuer.jwks),
            "LDV_INZAGE_PROXIES": "127.0.0.1",
            "LDV_GEMMA_CLIENTS": str(home / "clients.yaml"),
            "LDV_GEMMA_ACTIVITY": ACTIVITY,
        }
        with (
            ServeProcess(environ, "--gemma", log=home / "log") as process,
            httpx.Client(base_url=process.address, timeout=30, trust_env=False) as http,
        ):
            found = Target(process, logboek, settings, issuer, http)
            # What is tried in vain has to be possible with the right thing in its place.
            assert CANARY in found.lezen(found.token).text
            assert CANARY in found.inzage(found.assertion).text
            assert found.toezicht(found.token).status_code == 200
            created = http.post(
                "/api/v1/verwerkingsacties",
                json=body(GEMMA_BSN),
                headers={"Authorization": f"Bearer {found.gemma_token}"},
            )
            assert created.status_code == 201, created.text
            assert created.json()["url"].startswith(f"{PUBLIC}/api/v1/")
            listed = found.gemma(found.gemma_token)
            assert listed.status_code == 200, listed.text
            assert listed.json()["count"] == 1
            yield found
            assert "Unexpected" not in process.log
