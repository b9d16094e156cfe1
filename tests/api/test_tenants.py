"""Several tenants behind one server: the host chooses, and nothing of one tenant opens another."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from starlette.testclient import TestClient

from ldv_otel._internal.api import tenants as tenants_module
from ldv_otel._internal.api.pages.officer.access_record import NAME
from ldv_otel._internal.api.server import serve_tenants
from ldv_otel._internal.api.tenants import OpenTenants, create_tenants_app, served_tenants
from ldv_otel._internal.chain.remote import Remotes
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries.models import PageLimits
from ldv_otel._internal.clickhouse.queries.records import by_activity
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.config.logboeken import LogboekenFile
from ldv_otel._internal.config.settings import Settings, read_service_settings, tenant_settings
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.privacy.key_file import read_keys
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel.errors import ConfigurationError
from tests.api.conftest import BSN, PARKING, START
from tests.support.chance import dice, examples
from tests.support.logboek import LogboekProcess
from tests.support.loopback import free_port
from tests.support.serving import Issuer, ServeProcess
from tests.support.tenants import write_logboeken

IDS = [f"{number:04d}" for number in range(301, 309)]
#: Served, and its Logboek never answers.
AWAY = "0399"
#: In the file, and not served.
UNSERVED = "0398"
OVERSEEING = "https://register.example/activiteiten/toezicht"
PROXY = "10.0.0.5"
TRACE = b"\x07" * 16
READ = "/lezenapi/v1/processing-activities"
SAME_SITE = {"Sec-Fetch-Site": "same-origin"}


def host_of(tenant: str) -> str:
    """Where a tenant is served."""
    return f"logboek-{tenant}.example"


def audience(tenant: str) -> str:
    """Whom access tokens of a tenant are for."""
    return f"https://{host_of(tenant)}"


def inzage_audience(tenant: str) -> str:
    """Whom tokens of its citizens are for."""
    return f"inzage-{tenant}"


class Rig:
    """Tenants with a record each, about one person and of one trace, and an issuer that all of them trust."""

    def __init__(self, directory: Path, port: int, issuer: Issuer) -> None:
        self.issuer = issuer
        self.directory = directory
        ports = {AWAY: free_port()}
        serving = {
            name: {
                "organisation": f"Gemeente {name}",
                "serve": {
                    "url": f"https://{host_of(name)}",
                    "audience": audience(name),
                    "inzage_audience": inzage_audience(name),
                    "toezicht_activity": OVERSEEING,
                },
            }
            for name in [*IDS, AWAY]
        }
        path = write_logboeken(
            directory,
            [*IDS, AWAY, UNSERVED],
            address_of=lambda name: f"clickhouse+http://127.0.0.1:{ports.get(name, port)}/t{name}",
            fields=serving,
        )
        self.environ = {
            "LDV_LOGBOEKEN": str(path),
            "LDV_SERVE_ISSUER": issuer.issuer,
            "LDV_SERVE_JWKS": str(issuer.jwks),
            "LDV_SERVE_TRACE_CLAIM": "trace_id",
            "LDV_SERVE_REQUESTS_PER_MINUTE": "1000000",
            "LDV_SERVE_SECONDS": "20",
            "LDV_CONFIRM_SECONDS": "5",
            "LDV_INZAGE_ISSUER": issuer.issuer,
            "LDV_INZAGE_JWKS": str(issuer.jwks),
            "LDV_INZAGE_PROXIES": PROXY,
        }
        self.common = read_service_settings(self.environ)
        assert self.common.logboeken is not None
        self.file: LogboekenFile = self.common.logboeken
        for name in IDS:
            self._fill(name)

    def settings(self, name: str) -> Settings:
        """Those of a tenant."""
        return tenant_settings(self.common, self.file, name)

    def _fill(self, name: str) -> None:
        settings = self.settings(name)
        assert settings.keys
        ring = read_keys(settings.keys)
        apply_schema(settings)
        sink = ClickHouseSink(settings)
        sink.open()
        record = Logregel(
            trace_id=TRACE,
            span_id=b"\x01" * 8,
            name=f"Handeling van {name}",
            start_time_ms=START,
            end_time_ms=START + 5,
            processing_activity_id=PARKING,
            data_subject_id=ring.pseudonym("BSN", BSN, key_id=ring.active.id),
            data_subject_id_type="BSN",
            key_id=ring.active.id,
        )
        sink.send(number_batch(new_writer_id(), 0, [record]))
        sink.close()

    @contextmanager
    def served(self, *, most: int = 50) -> Iterator[TestClient]:
        """The application, in this process, with requests from the proxy."""
        remotes = Remotes([])
        tenants = OpenTenants(served_tenants(self.common, self.file, remotes), most=most)
        with TestClient(create_tenants_app(self.common, self.file, tenants, remotes), client=(PROXY, 50_000)) as client:
            yield client


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Tenants on one server, each with a database of its own."""
    directory = tmp_path_factory.mktemp("tenants")
    with LogboekProcess(directory / "logboek") as process:
        yield Rig(directory, process.port, Issuer(directory))


@pytest.fixture(scope="module")
def server(rig: Rig) -> Iterator[TestClient]:
    """All tenants, in this process."""
    with rig.served() as client:
        yield client


def read(server: TestClient, name: str, token: str | None) -> Any:
    """Ask a tenant for the one trace that each of them has."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return server.post(f"https://{host_of(name)}{READ}", json={"traceId": TRACE.hex()}, headers=headers)


def names_in(answer: Any) -> list[str]:
    """Names of the records in an answer of the read API."""
    return [record["name"] for record in answer.json()["processingActivities"]]


def test_nothing_of_one_tenant_opens_another(rig: Rig, server: TestClient) -> None:
    """Over tenants, kinds of tokens and hosts: let in is who has a token for that tenant alone, and sees its records.

    The issuer and its key are those of all: only whom a token is for keeps them apart.
    """
    chance = dice("tenants at the door")
    let_in = 0
    for _ in range(examples(300)):
        host, first, second = (chance.choice([*IDS, AWAY]) for _ in range(3))
        kind = chance.choice(["read", "trace", "citizen"])
        name_of = inzage_audience if kind == "citizen" else audience
        shape = chance.choice(["one", "one", "one in a list", "two", "one and a stranger", "nobody", "the other kind"])
        aud: Any = {
            "one": name_of(first),
            "one in a list": [name_of(first)],
            "two": [name_of(first), name_of(second)],
            "one and a stranger": [name_of(first), "https://elsewhere.example"],
            "nobody": None,
            "the other kind": (audience if kind == "citizen" else inzage_audience)(first),
        }[shape]
        is_own = first == host and (shape.startswith("one") or (shape == "two" and second == first))
        if kind == "citizen":
            token = rig.issuer.token(header={"typ": "JWT"}, aud=aud, sub=BSN)
            answer = server.get(f"https://{host_of(host)}/inzage", headers={"X-Id-Token": token})
            shown = [name for name in [*IDS, AWAY] if f"Handeling van {name}" in answer.text]
        else:
            claims: dict[str, Any] = {"trace_id": TRACE.hex()} if kind == "trace" else {}
            answer = read(server, host, rig.issuer.token(aud=aud, **claims))
            shown = [name.rpartition(" ")[2] for name in names_in(answer)] if answer.status_code == 200 else []
        expected = 401 if not is_own else 503 if host == AWAY else 200
        assert (answer.status_code, shown) == (expected, [host] if expected == 200 else []), (kind, shape, host)
        let_in += expected == 200
    assert let_in > 10


def test_every_host_that_is_not_served_gets_one_answer(server: TestClient) -> None:
    """Whether a tenant is unknown, known and not served, or has no such address, cannot be told from the answer."""
    addresses = [
        f"https://elsewhere.example{READ}",
        f"https://{host_of(UNSERVED)}{READ}",
        f"https://{IDS[0]}{READ}",
        f"https://{host_of(IDS[0])}/",
        f"https://{host_of(IDS[0])}/api/v1/verwerkingsacties",
        f"https://x.{host_of(IDS[0])}/inzage",
        f"https://{host_of(IDS[0])}./inzage",
        f"https://{host_of(UNSERVED)}/inzage",
    ]
    answers = [server.get(address) for address in addresses]
    assert {answer.status_code for answer in answers} == {404}
    bodies = [answer.json() for answer in answers]
    for body in bodies:
        assert body.pop("instance").startswith("urn:uuid:")
    assert all(body == bodies[0] for body in bodies)
    # The version of an API goes by the path alone.
    apart = {"content-length", "api-version"}
    heads = [{name: value for name, value in answer.headers.items() if name not in apart} for answer in answers]
    assert all(head == heads[0] for head in heads)
    assert [answer.headers.get("api-version") is not None for answer in answers[:3]] == [True] * 3


def test_two_hosts_are_none(server: TestClient, rig: Rig) -> None:
    """A request that a proxy and this server might read differently is nobody's; a forwarded host has no say."""
    token = rig.issuer.token(aud=audience(IDS[0]))
    own = ("Host", host_of(IDS[0]))
    bearer = ("Authorization", f"Bearer {token}")
    body = msgspec.json.encode({"traceId": TRACE.hex()})
    kind = ("Content-Type", "application/json")
    two = server.post(READ, content=body, headers=[own, ("Host", host_of(IDS[1])), bearer, kind])
    assert two.status_code == 404
    forwarded = server.post(READ, content=body, headers=[own, ("X-Forwarded-Host", host_of(IDS[1])), bearer, kind])
    assert names_in(forwarded) == [f"Handeling van {IDS[0]}"]


def test_an_answer_names_its_own_tenant(server: TestClient, rig: Rig) -> None:
    """Organisation and address in an answer are those of the tenant (LDV-N3)."""
    for name in IDS:
        metadata = read(server, name, rig.issuer.token(aud=audience(name))).json()["metadata"]
        assert name in str(metadata)
        assert host_of(name) in str(metadata)
        assert not any(other in str(metadata) for other in IDS if other != name)


def test_links_of_pages_stay_with_their_tenant(server: TestClient, rig: Rig) -> None:
    """Every link and form of a page is an address below the same host, and none names another tenant."""
    name = IDS[0]
    base = f"https://{host_of(name)}"
    citizen = {"X-Id-Token": rig.issuer.token(header={"typ": "JWT"}, aud=inzage_audience(name), sub=BSN)}
    officer = {"Authorization": f"Bearer {rig.issuer.token('ldv:oversee ldv:identify', aud=audience(name))}"}
    for start, headers in (("/inzage", citizen), ("/toezicht", officer)):
        seen, waiting = set[str](), [start]
        while waiting and len(seen) < 30:
            address = waiting.pop()
            if address in seen:
                continue
            seen.add(address)
            answer = server.get(f"{base}{address}", headers=headers)
            assert answer.status_code == 200, address
            if "content-disposition" in answer.headers or not answer.headers["content-type"].startswith("text/html"):
                continue
            assert f"Gemeente {name}" in answer.text
            assert not any(f"Gemeente {other}" in answer.text for other in IDS if other != name)
            links = re.findall(r'(?:href|action|src)="([^"]*)"', answer.text)
            assert all(link.startswith(("/", "#")) and not link.startswith("//") for link in links), links
            waiting += [link.replace("&amp;", "&") for link in links if link.startswith(start)]
        assert len(seen) > 3


def test_an_access_is_on_record_at_its_tenant(server: TestClient, rig: Rig) -> None:
    """Whoever looks into somebody's records is logged in the Logboek that was looked into, with its keys."""
    name, others = IDS[2], [other for other in IDS if other != IDS[2]]
    token = rig.issuer.token("ldv:oversee ldv:identify", aud=audience(name), sub="jansen")
    form = {"soort": "BSN", "nummer": BSN, "reden": "Klacht 2026-17 van een inwoner"}
    answer = server.post(
        f"https://{host_of(name)}/toezicht/persoon",
        data=form,
        headers={"Authorization": f"Bearer {token}", **SAME_SITE},
    )
    assert answer.status_code == 200
    assert f"Handeling van {name}" in answer.text

    def accesses(tenant: str) -> list[str]:
        with LogboekClient(rig.settings(tenant)) as client:
            return [stored.logregel.name for stored in by_activity(client, OVERSEEING, PageLimits(limit=10)).records]

    assert accesses(name) == [NAME]
    assert not any(accesses(other) for other in others)


def test_a_logboek_that_is_away_is_away_for_its_own(server: TestClient, rig: Rig) -> None:
    """Requests of its tenant get 503, and those of others are answered meanwhile."""
    for name in IDS[:3]:
        assert read(server, AWAY, rig.issuer.token(aud=audience(AWAY))).status_code == 503
        assert names_in(read(server, name, rig.issuer.token(aud=audience(name)))) == [f"Handeling van {name}"]


def test_few_tenants_are_open_at_a_time(rig: Rig) -> None:
    """Over many tenants the threads stay within a bound, and each is opened again when it is asked again."""
    with rig.served(most=2) as server:
        for _ in range(3):
            for name in IDS:
                # A tenant that is closing still counts, and closing is quick where nothing hangs.
                answer = read(server, name, rig.issuer.token(aud=audience(name)))
                while answer.status_code == 503:
                    time.sleep(0.01)
                    answer = read(server, name, rig.issuer.token(aud=audience(name)))
                assert names_in(answer) == [f"Handeling van {name}"]
                workers = [thread for thread in threading.enumerate() if thread.name.startswith("ldv-serve")]
                # Those of `server`, which other tests have open beside this one, included.
                assert len(workers) <= 2 * 4 + len(IDS) * 4


def test_a_tenant_that_is_busy_is_not_closed(rig: Rig) -> None:
    """Where as many as may be open are busy, the next one is asked to come back, and nobody loses an answer."""
    remotes = Remotes([])
    served = served_tenants(rig.common, rig.file, remotes)
    tenants = OpenTenants(served, most=1)
    first, second = (served[host_of(name)] for name in IDS[:2])
    tenants.enter(first)
    with pytest.raises(Exception, match="kan nu niet"):
        tenants.enter(second)
    assert first.busy
    assert first.state.services is not None
    tenants.leave(first, 200)
    tenants.close()
    assert not first.busy


def test_a_client_certificate_belongs_to_the_tenants_that_name_it(rig: Rig, tmp_path: Path) -> None:
    """One file of clients for two tenants is refused: each controller says itself who may read its Logboek."""
    (tmp_path / "clients.json").write_text('{"clients": []}')
    fields = {
        name: {"serve": {"url": f"https://{host_of(name)}", "clients": clients}}
        for name, clients in zip(IDS[:2], ("clients.json", "./clients.json"), strict=True)
    }
    path = write_logboeken(tmp_path, IDS[:2], fields=fields)
    with pytest.raises(ConfigurationError, match="the same clients"):
        read_service_settings({**rig.environ, "LDV_LOGBOEKEN": str(path)})


@pytest.mark.parametrize(
    ("serving", "said"),
    [
        ({"url": f"https://{host_of('0344')}", "audience": "a"}, "the same"),
        ({"url": "https://x.example", "audience": audience("0344")}, "the same audience"),
        ({"url": "https://x.example", "inzage_audience": audience("0344")}, "the same audience"),
        ({"url": "https://x.example/pad", "audience": "a"}, "without a path"),
        ({"url": "http://x.example", "audience": "a"}, "use https"),
        ({"url": "https://x.example"}, "nobody would be let in"),
    ],
)
def test_what_would_let_somebody_in_at_two_is_refused(
    rig: Rig, tmp_path: Path, serving: dict[str, str], said: str
) -> None:
    """One host, audience or list of clients at two tenants stops the start, with the line of the file."""
    fields = {
        "0344": {"serve": {"url": f"https://{host_of('0344')}", "audience": audience("0344")}},
        "0363": {"serve": serving},
    }
    path = write_logboeken(tmp_path, ["0344", "0363"], fields=fields)
    with pytest.raises(ConfigurationError, match=said) as raised:
        read_service_settings({**rig.environ, "LDV_LOGBOEKEN": str(path)})
    assert re.match(rf"LDV_LOGBOEKEN: {re.escape(str(path))}:\d+: ", str(raised.value))


@pytest.mark.parametrize(
    ("environ", "fields", "said"),
    [
        ({}, {}, "no tenant has `serve`"),
        ({"LDV_SERVE_AUDIENCE": "https://all.example"}, {"audience": "a"}, "LDV_SERVE_AUDIENCE is set beside"),
        ({"LDV_SERVE_URL": "https://all.example"}, {"audience": "a"}, "LDV_SERVE_URL is set beside"),
        ({"LDV_SERVE_ISSUER": ""}, {"audience": "a"}, "LDV_SERVE_ISSUER is not set"),
        ({}, {"audience": "a"}, "has no `organisation`"),
        ({}, {"inzage_audience": "a", "toezicht_activity": OVERSEEING}, "nothing says who may read it"),
    ],
)
def test_what_cannot_be_served_stops_the_start(
    rig: Rig, tmp_path: Path, environ: dict[str, str], fields: dict[str, str], said: str
) -> None:
    """Before anything listens, with the tenant's line where it is about one."""
    serving = {"0344": {"serve": {"url": "https://x.example", **fields}}} if fields else {}
    path = write_logboeken(tmp_path, ["0344", "0363"], fields=serving)
    common = read_service_settings({**rig.environ, "LDV_LOGBOEKEN": str(path), **environ})
    assert common.logboeken is not None
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        serve_tenants(common, common.logboeken, "127.0.0.1", 0)


def test_the_command_serves_all(rig: Rig, tmp_path: Path) -> None:
    """`ldv serve` with LDV_LOGBOEKEN, as a process: it starts without its Logboeken, and its figures are by tenant."""
    with ServeProcess(rig.environ, log=tmp_path / "log") as process:
        for name, status in ((IDS[0], 200), (AWAY, 503)):
            answer = httpx.post(
                f"{process.address}{READ}",
                json={"traceId": TRACE.hex()},
                headers={
                    "Host": f"{host_of(name).upper()}:8443",
                    "Authorization": f"Bearer {rig.issuer.token(aud=audience(name))}",
                },
                timeout=30,
            )
            assert answer.status_code == status
        assert process.says(f"{IDS[0]} auditor POST {READ} 200")
        assert httpx.get(f"{process.address}/health/ready", timeout=30).status_code == 200
        figures = httpx.get(f"{process.address}/metrics", timeout=30).text
        assert f'ldv_tenant_requests_total{{tenant="{AWAY}",status="503"}} 1' in figures
        assert f"ldv_tenants_served {len(IDS) + 1}" in figures
        assert httpx.get(f"{process.address}/inzage", timeout=30).status_code == 404


def test_a_file_that_changes_is_followed(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Who comes is served, who goes is not, a token of before is not taken any more, and a bad file changes nothing."""
    monkeypatch.setattr(tenants_module, "_LOOK_SECONDS", 0.02)
    first, second = IDS[:2]
    entries = {tenant.id: tenant for tenant in rig.file.content.tenants}

    def write(**audiences: str) -> Path:
        fields: dict[str, dict[str, Any]] = {
            name: {
                "logboek": entries[name].logboek,
                "keys": str(rig.file.file(entries[name].keys)),
                "organisation": name,
                "serve": {"url": f"https://{host_of(name)}", "audience": meant_for},
            }
            for name, meant_for in audiences.items()
        }
        fields["quarantine"] = {"keys": str(rig.file.file("quarantine.json"))}
        content = write_logboeken(tmp_path, audiences, fields=fields, with_keys=False).read_bytes()
        (tmp_path / "new").write_bytes(content)
        return (tmp_path / "new").rename(tmp_path / "followed.yaml")

    def becomes(name: str, status: int, meant_for: str) -> bool:
        deadline = time.monotonic() + 30
        while read(client, name, rig.issuer.token(aud=meant_for)).status_code != status:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    common = read_service_settings({**rig.environ, "LDV_LOGBOEKEN": str(write(**{first: audience(first)}))})
    assert common.logboeken is not None
    remotes = Remotes([])
    tenants = OpenTenants(served_tenants(common, common.logboeken, remotes))
    with TestClient(create_tenants_app(common, common.logboeken, tenants, remotes)) as client:
        assert becomes(first, 200, audience(first))
        assert read(client, second, None).status_code == 404
        write(**{first: audience(first), second: audience(second)})
        assert becomes(second, 200, audience(second))
        assert becomes(first, 200, audience(first))
        write(**{second: "another"})
        assert becomes(first, 404, audience(first))
        assert becomes(second, 401, audience(second))
        (tmp_path / "followed.yaml").write_text("tenants: []")
        deadline = time.monotonic() + 30
        while "is not followed" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.02)
        assert "is not followed" in caplog.text
        assert becomes(second, 200, "another")


def test_a_request_that_is_under_way_ends_as_it_began(rig: Rig) -> None:
    """What is served by a new file leaves the connections of the old one to who uses them, and then lets go of them."""
    remotes = Remotes([])
    served = served_tenants(rig.common, rig.file, remotes)
    tenants = OpenTenants(served)
    tenant = served[host_of(IDS[0])]
    tenants.enter(tenant)

    async def change() -> None:
        tenants.replace({})
        assert tenants.find(host_of(IDS[0]), READ) is None
        assert tenant.state.services is not None
        tenants.leave(tenant, 200)
        assert getattr(tenant.state, "services", None) is None

    asyncio.run(change())
    tenants.close()


@pytest.mark.parametrize("switch", ["--without-authentication", "--demo", "--gemma"])
def test_switches_for_one_logboek_are_refused(rig: Rig, tmp_path: Path, switch: str) -> None:
    """None of them knows tenants: what they would open is opened for all."""
    with (
        pytest.raises(RuntimeError, match="are for one Logboek"),
        ServeProcess(rig.environ, switch, log=tmp_path / "log"),
    ):
        raise AssertionError
