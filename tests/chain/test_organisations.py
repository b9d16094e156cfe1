"""Three organisations, each with a Logboek and a server of its own: one restarts traces, one goes away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.privacy.key_file import add_key
from ldv_otel._internal.record.logregel import Logregel
from tests.support.logboek import LogboekProcess
from tests.support.serving import Issuer, ServeProcess, environ_of

TRACE = b"\x01" * 16
RESTARTED = b"\x02" * 16
GEMEENTE = "https://logboek.gemeente.example"
APPLICATION = "https://parkeren.gemeente.example"


class TokenEndpoint:
    """Gives out tokens to who has the secret (OAuth 2.0 client credentials)."""

    def __init__(self, issuer: Issuer) -> None:
        outer = self
        self.given = 0

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                good = self.headers["Authorization"] == "Basic Z2VtZWVudGU6Z2VoZWlt"  # gemeente:geheim
                good = good and form["grant_type"] == ["client_credentials"]
                self.send_response(200 if good else 401)
                self.end_headers()
                if good:
                    outer.given += 1
                    token = {"access_token": issuer.token(form["scope"][0]), "token_type": "Bearer", "expires_in": 600}
                    self.wfile.write(json.dumps(token).encode())

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/token"

    def close(self) -> None:
        """Stop it."""
        self._server.shutdown()
        self._server.server_close()


class World:
    """The three of them, with what they logged of one parking permit.

    gemeente (trace 1): vraagt aan -> rdw (restarts: trace 2) -> calls gemeente back, which continues trace 2
                                   -> cjib (continues trace 1)
                                   -> onbekend (not configured), klein (no API)
    """

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        process = stack.enter_context(LogboekProcess(directory / "logboek"))
        issuer = Issuer(directory)
        tokens = TokenEndpoint(issuer)
        stack.callback(tokens.close)
        self.tokens = tokens
        add_key(directory / "keys.json")
        (directory / "token").write_text(issuer.token())
        (directory / "secret").write_text("geheim\n")
        self.settings = {}
        for name in ("gemeente", "rdw", "cjib"):
            address = LogboekAddress(scheme="clickhouse+http", host="127.0.0.1", port=process.port, database=name)
            self.settings[name] = Settings(logboek=address, keys=directory / "keys.json")
            apply_schema(self.settings[name])
        self.rdw = self._serve(stack, directory, "rdw", issuer.environ)
        self.cjib = self._serve(stack, directory, "cjib", issuer.environ)
        parties = {
            "read_apis": [
                {
                    "url": self.rdw.base,
                    "name": "RDW",
                    "token_url": tokens.url,
                    "client_id": "gemeente",
                    "client_secret_file": str(directory / "secret"),
                },
                {"url": self.cjib.base, "name": "CJIB", "token_file": str(directory / "token")},
                {"url": "https://klein.example/contact", "name": "Klein", "offered": False},
            ]
        }
        (directory / "parties.json").write_text(json.dumps(parties))
        self.environ = environ_of(self.settings["gemeente"]) | {
            "LDV_PARTIES": str(directory / "parties.json"),
            "LDV_SERVE_URL": GEMEENTE,
            "LDV_SERVE_SECONDS": "20",
        }
        self.gemeente = stack.enter_context(
            ServeProcess(self.environ, "--without-authentication", log=directory / "gemeente.log")
        )
        self._log()

    def _serve(self, stack: ExitStack, directory: Path, name: str, environ: dict[str, str]) -> ServeProcess:
        return stack.enter_context(
            ServeProcess(environ_of(self.settings[name]) | environ, log=directory / f"{name}.log")
        )

    def _log(self) -> None:
        calls: dict[str, Any] = {"external_read_api_id": self.rdw.base, "outbound_span_ids": (b"\xa1" * 8,)}
        self._stored(
            "gemeente",
            actie("vraagt kenteken", 1, TRACE, **calls),
            actie(
                "vraagt boetes",
                2,
                TRACE,
                parent=1,
                external_read_api_id=self.cjib.base,
                outbound_span_ids=(b"\xa2" * 8,),
            ),
            actie("vraagt onbekende", 3, TRACE, parent=1, external_read_api_id="https://onbekend.example/v1"),
            actie("vraagt kleine", 4, TRACE, parent=1, external_read_api_id="https://klein.example/contact"),
            actie("bevestigt adres", 5, RESTARTED, parent_span_id=b"\xb1" * 8),
            actie("heeft er niets mee te maken", 6, b"\x09" * 16),
        )
        self._stored(
            "rdw",
            actie(
                "zoekt kenteken",
                11,
                RESTARTED,
                foreign_operation_trace_id=TRACE,
                foreign_operation_span_id=b"\xa1" * 8,
                foreign_operation_processor=APPLICATION,
            ),
            actie(
                "vraagt adres",
                12,
                RESTARTED,
                parent=11,
                external_read_api_id=f"{GEMEENTE}/lezenapi/v1",
                outbound_span_ids=(b"\xb1" * 8,),
            ),
        )
        self._stored("cjib", actie("zoekt boetes", 21, TRACE, parent_span_id=b"\xa2" * 8))

    def _stored(self, name: str, *logregels: Logregel) -> None:
        sink = ClickHouseSink(self.settings[name])
        sink.open()
        sink.send(number_batch(new_writer_id(), 0, logregels))
        sink.close()

    def chain(self, trace_id: bytes = TRACE) -> Any:
        """What the gemeente's server says."""
        answer = httpx.get(f"{self.gemeente.base}/chains/{trace_id.hex()}", timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`ldv chain` at the gemeente."""
        variables = {name: value for name, value in os.environ.items() if not name.startswith("LDV_")}
        return subprocess.run(
            [sys.executable, "-m", "ldv_otel._internal.cli", "chain", *arguments],
            env={**variables, **self.environ, "COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


def actie(name: str, span: int, trace_id: bytes, *, parent: int = 0, **more: Any) -> Logregel:
    """A record; spans are numbered over all organisations."""
    if parent:
        more["parent_span_id"] = parent.to_bytes(8, "big")
    return Logregel(
        trace_id=trace_id,
        span_id=span.to_bytes(8, "big"),
        name=name,
        start_time_ms=1_767_225_600_000 + span,
        end_time_ms=1_767_225_600_100 + span,
        processing_activity_id="https://register.example/parkeren",
        **more,
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Running."""
    with ExitStack() as stack:
        yield World(tmp_path_factory.mktemp("world"), stack)


def tree(chain: Any) -> dict[str, tuple[str | None, str | None]]:
    """For each record the one it hangs below, and how that is known."""
    records = chain["processingActivities"]
    return {
        record["name"]: (records[record["parent"]]["name"], record["relation"]) if "parent" in record else (None, None)
        for record in records
    }


COMPLETE = {
    "vraagt kenteken": (None, None),
    "vraagt boetes": ("vraagt kenteken", "parent"),
    "vraagt onbekende": ("vraagt kenteken", "parent"),
    "vraagt kleine": ("vraagt kenteken", "parent"),
    "zoekt kenteken": ("vraagt kenteken", "caller"),
    "vraagt adres": ("zoekt kenteken", "parent"),
    "bevestigt adres": ("vraagt adres", "caller"),
    "zoekt boetes": ("vraagt boetes", "caller"),
}


def states(chain: Any) -> dict[str, str]:
    """What came of each party."""
    return {party["name"] or party["readApi"]: party["state"] for party in chain["parties"]}


def test_the_whole_chain_is_found(world: World) -> None:
    """Through the restarted trace and back, and with what cannot be asked."""
    found = world.chain()
    assert tree(found) == COMPLETE
    assert states(found) == {
        "": "here",
        "RDW": "reached",
        "CJIB": "reached",
        "https://onbekend.example/v1": "not_configured",
        "Klein": "no_api",
    }
    assert not any(record["circle"] for record in found["processingActivities"])


def test_a_chain_can_begin_at_the_restarted_trace(world: World) -> None:
    """What the gemeente did in it is a beginning: it is not in that record who called."""
    assert tree(world.chain(RESTARTED)) == {"bevestigt adres": (None, None)}


def test_the_command_shows_it(world: World) -> None:
    """As a tree for people, as JSON for programs; exit code 1 because two parties cannot be asked."""
    shown = world.command(TRACE.hex())
    assert shown.returncode == 1, shown.stderr
    for words in [*COMPLETE, "RDW", "onbekend.example", "niet ingesteld", "Klein", "heeft geen lezen API"]:
        assert words in shown.stdout
    found = json.loads(world.command(TRACE.hex(), "--json").stdout)
    assert {item["name"] for item in found["logregels"]} == set(COMPLETE)
    assert "No Logregels" in world.command("ff" * 16).stderr


def test_without_the_scope_no_chain(world: World) -> None:
    """Our credentials at other parties are not for everybody who may read here."""
    answer = httpx.get(f"{world.cjib.base}/chains/{TRACE.hex()}")
    assert answer.status_code == 401


def test_a_token_is_asked_for_once(world: World) -> None:
    """And used until it runs out."""
    world.chain()
    given = world.tokens.given
    assert given > 0
    world.chain()
    assert world.tokens.given == given


def test_a_party_that_went_away_is_told_as_such(world: World) -> None:
    """All else stays; this test is the last, because it stops that party."""
    world.cjib.stop()
    found = world.chain()
    assert states(found)["CJIB"] == "unreachable"
    assert tree(found) == {name: above for name, above in COMPLETE.items() if name != "zoekt boetes"}
    assert not found["complete"]
