"""Where requests of ours go, and what is made of the answers."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import httpx
import pytest

import ldv_otel
from ldv_otel._internal.api.auth.clients import Client
from ldv_otel._internal.api.auth.issuer_keys import IssuerKeys
from ldv_otel._internal.api.problem import Problem
from ldv_otel._internal.chain.model import PartyState
from ldv_otel._internal.chain.remote import RemoteLogboek
from ldv_otel._internal.chain.source import PartyFailed
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.config.settings import ServeSettings, Settings, read_settings
from ldv_otel._internal.delivery import otlp_sink
from ldv_otel._internal.gemma.consumer import sink as gemma_sink
from ldv_otel._internal.gemma.provider.clients import read_registered_clients
from ldv_otel._internal.gemma.provider.scopes import Component
from ldv_otel._internal.http.bounded_answers import EncodedError, TooLargeError, read_content
from ldv_otel._internal.http.links import next_link
from ldv_otel._internal.http.outgoing import HEADERS, proxy_for
from ldv_otel._internal.parties.parties import ReadApi
from ldv_otel._internal.register.source import RegisterSource
from ldv_otel._internal.tamper.bucket import LockedBucket
from ldv_otel._internal.tamper.checkpoint import Checkpoint
from ldv_otel._internal.tamper.note import NoteSigner
from ldv_otel._internal.tamper.tree import leaf_hash
from ldv_otel._internal.tamper.witness import Witness, witness_signer
from ldv_otel._internal.tamper.witness_client import ShownLog, WitnessState, ask_witnesses
from ldv_otel._internal.tamper.witness_files import KnownWitness
from ldv_otel.errors import LdvError, LogboekUnavailable


class Proxy:
    """Something that listens, and keeps the first bytes of each connection."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection:
                    connection.settimeout(5)
                    with suppress(OSError):
                        self.seen.append(connection.recv(4096))

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy that the environment names in every way there is."""
    found = Proxy()
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, found.address)
        monkeypatch.setenv(name.lower(), found.address)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    yield found
    found.close()


HOST = "register.invalid"  # never resolves


def settings_of(scheme: str, host: str, proxy: str) -> Settings:
    """Return the settings of a service."""
    environ = {"LDV_LOGBOEK": f"{scheme}://client@{host}:9/x", "LDV_LOGBOEK_PASSWORD": "p" * 40}
    if scheme.startswith("otlp"):
        environ["LDV_LOGBOEK"] = f"{scheme}://{host}:9"
    return read_settings(environ | ({"LDV_PROXY": proxy} if proxy else {}))


def clickhouse(host: str, proxy: str) -> None:
    """Ask."""
    scheme = "clickhouse+http" if host == "127.0.0.1" else "clickhouse+https"
    LogboekClient(settings_of(scheme, host, proxy))


def otlp(host: str, proxy: str) -> None:
    """Ask."""
    client = otlp_sink._client(settings_of("otlp+https", host, proxy))
    client.request("POST", f"https://{host}:9/v1/traces", headers={}, content=b"x")


def gemma(host: str, proxy: str) -> None:
    """Ask."""
    client = gemma_sink._client(settings_of("gemma+https", host, proxy))
    client.request("POST", f"https://{host}:9/x", headers={}, content=b"x")


def chain(host: str, proxy: str) -> None:
    """Ask."""
    asyncio.run(RemoteLogboek(ReadApi(url=f"https://{host}:9/v1"), proxy=proxy).of_trace(b"x" * 16))


def jwks(host: str, proxy: str) -> None:
    """Ask."""
    asyncio.run(IssuerKeys(f"https://{host}:9/jwks", proxy=proxy).current())


def register(host: str, proxy: str) -> None:
    """Ask."""
    RegisterSource(f"https://{host}:9/register.json", proxy=proxy).get()


def autorisaties(host: str, proxy: str) -> None:
    """Ask, as the configured clients of a register do."""
    with TemporaryDirectory() as directory:
        (Path(directory) / "secret").write_text("s" * 40)
        file = Path(directory) / "clients.yaml"
        component = {"url": f"https://{host}:9/api/v1", "client_id": "register", "secret_file": "secret"}
        client = {"id": "portaal", "secret_file": "secret"}
        file.write_text(json.dumps({"clients": [client], "autorisaties": component}))
        serve = ServeSettings(outbound_proxy=proxy)
        clients = read_registered_clients(file, serve)
        asyncio.run(clients.scopes(Client(id="portaal", scopes=frozenset()), Component.BEWERKING))


def witness(host: str, proxy: str) -> None:
    """Ask."""
    signer = NoteSigner("log.example", b"1" * 32)
    shown = ShownLog(signer.sign(Checkpoint("log.example", 1, leaf_hash(b"")).text), [leaf_hash(b"")], {})
    with TemporaryDirectory() as directory:
        key = str(Witness(witness_signer(Path(directory)), {}, Path(directory)).key)
    (outcome,) = ask_witnesses([KnownWitness(key=key, url=f"https://{host}:9/w")], shown, proxy=proxy, seconds=10)
    if outcome.state is WitnessState.UNREACHABLE:
        raise LogboekUnavailable(outcome.sentence)


def bucket(host: str, proxy: str) -> None:
    """Ask."""
    account = {"AWS_ACCESS_KEY_ID": "account", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "eu-west-1"}
    elsewhere = {"AWS_ENDPOINT_URL_S3": f"https://{host}:9", "AWS_CONFIG_FILE": "/nowhere", "AWS_MAX_ATTEMPTS": "1"}
    with mock.patch.dict(os.environ, account | elsewhere):
        LockedBucket("s3://logboek/log?days=1", "--to", proxy=proxy)


#: What comes of a question that nobody answers.
FAILURES = (LdvError, PartyFailed, Problem)
CLIENTS = [clickhouse, otlp, gemma, chain, jwks, register, autorisaties, witness, bucket]


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__)
@pytest.mark.parametrize("host", ["127.0.0.1", HOST])
def test_proxies_of_the_environment_get_nothing(proxy: Proxy, client: Callable[[str, str], None], host: str) -> None:
    """They were set for others; ours would send them records, passwords and tokens."""
    with pytest.raises(FAILURES):
        client(host, "")
    assert proxy.seen == []


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__)
def test_the_proxy_of_the_setting_is_used(client: Callable[[str, str], None]) -> None:
    """For another machine, by every client; and not for this one."""
    explicit = Proxy()
    with pytest.raises(FAILURES):
        client("127.0.0.1", explicit.address)
    assert explicit.seen == []
    with pytest.raises(FAILURES):
        client(HOST, explicit.address)
    assert explicit.seen[0].startswith(f"CONNECT {HOST}:9 ".encode())
    explicit.close()


def test_no_other_module_makes_a_client() -> None:
    """Each that goes out is among those above, or makes its connection as they do."""
    making = re.compile(
        r"async_client\(|boto3\.client\(|SinkClient\(|httpx\.(Async)?Client\(|PoolManager\(|urlopen\(|get_client\("
    )
    package = Path(ldv_otel.__file__).parent / "_internal"
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if any(making.search(line) for line in path.read_text("utf-8").splitlines())
    }
    assert found == {
        "api/auth/issuer_keys.py",
        "chain/remote.py",
        "clickhouse/connect.py",
        "delivery/otlp_sink.py",
        "gemma/consumer/sink.py",
        "gemma/provider/autorisaties.py",
        "http/outgoing.py",
        "http/sink_client.py",
        "register/source.py",
        "tamper/bucket.py",
        "tamper/witness_client.py",
    }


@pytest.mark.parametrize(
    "url", ["http://localhost:1/x", "http://127.0.0.1", "http://[::1]:1/", "http://127.9.9.9", "http://x.example"]
)
def test_this_machine_is_reached_without_a_proxy(url: str) -> None:
    """Whatever it is called."""
    assert proxy_for(url, "http://p:1") == ("http://p:1" if "example" in url else None)
    assert proxy_for(url, "") is None


# --- answers


@contextmanager
def answering(content: bytes, **headers: str) -> Iterator[str]:
    """A server that answers all with this."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(content)

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def bomb() -> bytes:
    """A thousand bytes that would become gigabytes."""
    packed = gzip.compress(bytes(64 << 20))
    return gzip.compress(packed)


@pytest.mark.parametrize(
    "encoding", ["gzip", "gzip, gzip", "deflate", "br", "zstd", "x-gzip", "GZIP", "identity, gzip"]
)
def test_a_packed_answer_is_unreadable_and_not_unpacked(encoding: str) -> None:
    """It was asked for as it is, so its sender does something else than it says."""
    with answering(bomb(), Content_Encoding=encoding) as url:
        with pytest.raises(PartyFailed) as failed:
            asyncio.run(RemoteLogboek(ReadApi(url=url)).of_trace(b"x" * 16))
        assert failed.value.state is PartyState.UNREADABLE
        with pytest.raises(LdvError):
            asyncio.run(IssuerKeys(f"{url}/jwks").current())
        with (
            httpx.Client() as client,
            client.stream("GET", url, headers=HEADERS) as answer,
            pytest.raises(EncodedError),
        ):
            read_content(answer, 100)
    with (
        answering(b"x" * 101) as url,
        httpx.Client() as client,
        client.stream("GET", url) as answer,
        pytest.raises(TooLargeError),
    ):
        read_content(answer, 100)


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ("", None),
        ('</p?page=2>; rel="next"', "/p?page=2"),
        ("</p?page=2>; rel=next", "/p?page=2"),
        ('</p?page=2>; rel="prev next"', "/p?page=2"),
        ("</p?page=2>; REL=NEXT", "/p?page=2"),
        ('</a>; rel="prev", </p,x?page=2>; title="a, b; c"; rel="next"', "/p,x?page=2"),
        ('</a>; rel="prev"; rel="next"', None),
        ('</a>; rel="previous"', None),
        ("</a>;rel", None),
        (' , </a> ; rel = "next" ,', "/a"),
    ],
)
def test_a_next_page_is_found_however_it_is_written(header: str, target: str | None) -> None:
    """No spelling of RFC 8288 cuts pages off."""
    assert next_link(header) == target


@pytest.mark.parametrize("header", ["<", "x", "</a", '</a>; rel="next', "</a> x", "<a>" * 20_000])
def test_a_malformed_link_is_no_last_page(header: str) -> None:
    """Whether there are more pages cannot be told."""
    with pytest.raises(ValueError, match="Link header"):
        next_link(header)


@pytest.mark.parametrize("link", ["<", "<http://[::1>; rel=next", "x", "<a> <b>"])
def test_a_malformed_link_is_that_party_unreadable(link: str) -> None:
    """And nothing of the chain besides."""
    with answering(b'{"processing-activities": []}', Link=link) as url:
        with pytest.raises(PartyFailed) as failed:
            asyncio.run(RemoteLogboek(ReadApi(url=url)).of_trace(b"x" * 16))
        assert failed.value.state is PartyState.UNREADABLE


def test_known_keys_serve_while_new_ones_are_fetched() -> None:
    """An address that hangs holds no request whose key is known."""
    now = [0.0]

    async def twice() -> None:
        keys = IssuerKeys("https://issuer.invalid/jwks", clock=lambda: now[0])
        held = asyncio.Event()

        async def hangs() -> bytes:
            held.set()
            await asyncio.sleep(3_600)
            return b""

        async def answers() -> bytes:
            key = {"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
            return json.dumps({"keys": [key]}).encode()

        keys._fetch = answers  # type: ignore[method-assign]  # what an issuer answers
        first = await keys.current()
        now[0] += 4_000
        keys._fetch = hangs  # type: ignore[method-assign]
        assert await asyncio.wait_for(keys.current(), 1) is first
        await asyncio.wait_for(held.wait(), 1)
        assert await asyncio.wait_for(keys.current(), 1) is first
        assert keys._refreshing is not None
        keys._refreshing.cancel()

    asyncio.run(twice())
