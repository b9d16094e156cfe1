"""A register of GEMMA Verwerkingenlogging with millions of rows: how much it takes a second, how long questions take.

Run: `python -m benchmarks.gemma [--rows N] [--seconds 20] [--times 300] [--keep DIR]`. It prints a table in Markdown.

How the figures are made:

- An embedded Logboek with 24 months of rows, made by `generating.py`, and 20 Verwerkingsacties about each of 50
  persons, spread evenly over them, every fourth with two versions. Parts are merged, as they are in a Logboek at rest.
- `ldv serve --gemma` is a process of its own, without authentication, which costs some tenths of a millisecond.
- Questions come one at a time, about one person after the other. Each list of GEMMA is logged before it is answered, so
  it costs a write that the Logboek confirmed too; the read API of LDV is asked for the same records beside it.
- Then 16 clients log at the same time, each waiting for its answer; these are the last, as they leave parts behind.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
from benchmarks.generating import BEGIN, DAYS, Sample, load
from benchmarks.processors import cpu_ms
from benchmarks.stores import filled, serving

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.gemma.conversion import VerwerkingsactieMapper
from ldv_otel._internal.gemma.model import Version, Verwerkingsactie, VerwerktObject, new_id
from ldv_otel._internal.privacy.key_file import add_key, read_keys
from ldv_otel._internal.privacy.pseudonyms import Pseudonymiser
from ldv_otel._internal.times.instants import ms_from_datetime, us_from_ms

PERSONS: Final = tuple(f"{999_990_000 + number}" for number in range(50))
ACTIES: Final = 20
CLIENTS: Final = 16
WARM_UPS: Final = 5
GOAL_MS: Final = 100
TRACES_IN_INSERT: Final = 400_000
ACTIVITY: Final = "https://var.example/api/v1/verwerkingsactiviteiten/5f0bef4c-f66f-4311-84a5-19e8bf359eaf"
DOELBINDING: Final = {
    "OIN": "00000001821002193000",
    "VerwerkingsactiviteitId": "c5b9f4e7-8c79-41b9-91e2-6268419cb167",
    "VerwerkingsactiviteitUrl": "https://var.elders.example/c5b9f4e7-8c79-41b9-91e2-6268419cb167",
}
ABOUT: Final = {"objecttype": "persoon", "soortObjectId": "BSN"}
PERIOD: Final = {"beginDatum": f"{BEGIN:%Y-%m-%d}", "eindDatum": f"{BEGIN + timedelta(days=DAYS):%Y-%m-%d}"}
INZAGE: Final = "Inzage API, list for a person"
POST: Final = f"Bewerking API, POST, {CLIENTS} clients at a time"


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--times", type=int, default=300, help="how often each question is asked")
    parser.add_argument("--seconds", type=float, default=20, help="how long 16 clients log")
    parser.add_argument("--keep", type=Path, help="directory for the store; loaded rows are used again by the next run")
    wanted = parser.parse_args()
    with (
        filled(wanted.keep, fill, wanted.rows) as directory,
        serving(directory, "--gemma", "--without-authentication", LDV_GEMMA_ACTIVITY=ACTIVITY) as (ready, pid),
    ):
        found = asyncio.run(measure(ready.partition("/api/")[0], pid, wanted))
    print(report(found, wanted))
    return 0


class Taken(NamedTuple):
    """How long a call took each time, and what it took of the server's processors on average; in ms."""

    times: list[float]
    cpu: float


async def measure(address: str, pid: int, wanted: argparse.Namespace) -> dict[str, Taken]:
    """Return what each question and each POST took."""
    async with httpx.AsyncClient(base_url=address, timeout=60, trust_env=False) as http:

        async def inzage(person: str) -> httpx.Response:
            question = {**ABOUT, "objectId": person, **PERIOD}
            return await http.get("/api/v1/verwerkte-objecten", params=question, headers=DOELBINDING)

        async def bewerking(person: str) -> httpx.Response:
            return await http.get("/api/v1/verwerkingsacties", params={**ABOUT, "objectId": person, **PERIOD})

        async def lezen(person: str) -> httpx.Response:
            subject = {"dpl.core.data_subject_id": person, "dpl.core.data_subject_id_type": "BSN"}
            end_ms = ms_from_datetime(BEGIN + timedelta(days=DAYS))
            return await http.post("/lezenapi/v1/processing-activities", json={**subject, "endTime": end_ms})

        async def one(person: str) -> httpx.Response:
            return await http.get(next(addresses[person]))

        addresses = {}
        for person in PERSONS:
            acties = (await bewerking(person)).raise_for_status().json()["results"]
            addresses[person] = itertools.cycle([actie["url"] for actie in acties])
        found = {
            INZAGE: await times(inzage, wanted.times, pid),
            "Bewerking API, list for a person": await times(bewerking, wanted.times, pid),
            "Bewerking API, one Verwerkingsactie": await times(one, wanted.times, pid),
            "LDV, lezen API: the same records": await times(lezen, wanted.times, pid),
        }
        logged: list[float] = []
        before_ms = cpu_ms(pid)
        await asyncio.gather(*(log(http, logged, wanted.seconds) for _ in range(CLIENTS)))
    return found | {POST: Taken(logged, (cpu_ms(pid) - before_ms) / len(logged))}


async def times(ask: Callable[[str], Awaitable[httpx.Response]], count: int, pid: int) -> Taken:
    """Return what a question took."""
    found = []
    before_ms = 0.0
    for number in range(count + WARM_UPS):
        if number == WARM_UPS:
            before_ms = cpu_ms(pid)
        begin = time.perf_counter()
        answer = await ask(PERSONS[number % len(PERSONS)])
        found.append((time.perf_counter() - begin) * 1_000)
        answer.raise_for_status()
    return Taken(found[WARM_UPS:], (cpu_ms(pid) - before_ms) / count)


async def log(http: httpx.AsyncClient, logged: list[float], seconds: float) -> None:
    """Log acties one after the other for so long."""
    end = time.perf_counter() + seconds
    while (begin := time.perf_counter()) < end:
        answer = await http.post("/api/v1/verwerkingsacties", json=body())
        logged.append((time.perf_counter() - begin) * 1_000)
        answer.raise_for_status()


def body() -> dict[str, Any]:
    """Return what a client logs: one person, the elements that most have."""
    return {
        "actieNaam": "Opvragen adresgegevens",
        "verwerkingNaam": "Aanvraag parkeervergunning",
        "verwerkingId": str(uuid.uuid4()),
        "verwerkingsactiviteitId": "b8c9e6a4-2f0d-4c55-8f5d-33c1c1a4f0ab",
        "vertrouwelijkheid": "normaal",
        "bewaartermijn": "P5Y",
        "systeem": "VergunApp 4.2",
        "gebruiker": "medewerker-12",
        "tijdstip": "2026-03-02T09:15:07+01:00",
        "verwerkteObjecten": [
            {
                "objecttype": "persoon",
                "soortObjectId": "BSN",
                "objectId": f"{uuid.uuid4().int % 10**9:09}",
                "verwerkteSoortenGegevens": [{"soortGegeven": "Adres"}],
            }
        ],
    }


def report(found: dict[str, Taken], wanted: argparse.Namespace) -> str:
    """Return the table."""
    lines = [
        f"`python -m benchmarks.gemma --rows {wanted.rows} --times {wanted.times} --seconds {wanted.seconds:g}`",
        "",
        "| call | p50 | p99 | CPU of the server | goal |",
        "| --- | ---: | ---: | ---: | --- |",
    ]
    for name, taken in found.items():
        p99 = statistics.quantiles(taken.times, n=100)[-1]
        goal = f"p99 {GOAL_MS} ms: {'met' if p99 <= GOAL_MS else 'missed'}" if name == INZAGE else ""
        cells = f"{statistics.median(taken.times):,.0f} ms | {p99:,.0f} ms | {taken.cpu:,.1f} ms"
        lines.append(f"| {name} | {cells} | {goal} |")
    posts = len(found[POST].times) / wanted.seconds
    return "\n".join([*lines, "", f"{posts:,.0f} POSTs a second, each confirmed by the Logboek."])


def fill(directory: Path, rows: int) -> None:
    """Make the rows and the acties, unless they are there."""
    if (directory / "filled").exists():
        return
    settings = Settings(logboek=LogboekAddress(scheme="chdb", path=str(directory / "store")))
    add_key(directory / "keys.json", sealing=True)
    apply_schema(settings)
    sample = Sample(rows)
    mapper = VerwerkingsactieMapper(Pseudonymiser(read_keys(directory / "keys.json")))
    with LogboekClient(settings) as client:
        for first in range(0, sample.traces, TRACES_IN_INSERT):
            load(client, "logregel", sample, first, min(first + TRACES_IN_INSERT, sample.traces))
        sink = ClickHouseSink(settings)
        sink.open()
        records = [record for version in versions() for record in mapper.logregels(version)]
        sink.send(number_batch(new_writer_id(), 0, records))
        sink.close()
        client.command(Sql("OPTIMIZE TABLE logregel FINAL"))
    (directory / "filled").touch()


def versions() -> Iterator[Version]:
    """Give the acties about the persons, spread over the 24 months."""
    for place, (number, person) in enumerate(itertools.product(range(ACTIES), PERSONS)):
        trace_id = uuid.uuid4().bytes
        moment = BEGIN + timedelta(days=DAYS) * (place / (ACTIES * len(PERSONS)))
        concerned = VerwerktObject(
            verwerkt_object_id=new_id(trace_id), objecttype="persoon", soort_object_id="BSN", object_id=person
        )
        actie = Verwerkingsactie(
            actie_naam=f"Handeling {number}",
            verwerking_id=str(uuid.UUID(bytes=trace_id)),
            vertrouwelijkheid="normaal",
            tijdstip=moment.isoformat(timespec="milliseconds"),
            verwerkte_objecten=(concerned,),
        )
        actie_id = new_id(trace_id)
        for version in range(2 if number % 4 == 0 else 1):
            yield Version(
                actie=actie,
                actie_id=actie_id,
                record_id=str(uuid.uuid4()),
                trace_id=trace_id,
                registered_us=us_from_ms(ms_from_datetime(moment)) + version,
            )


if __name__ == "__main__":
    sys.exit(main())
