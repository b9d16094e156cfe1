"""Injected SQL finds nothing, changes nothing and is no error of a server: by each filter, path, page and statement."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import quote, urlencode

import httpx
import pytest

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.queries.models import RecordQuery
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel.errors import QueryError
from tests.api.conftest import BSN, NOBODY, TRACES
from tests.attack.conftest import CANARY, Target
from tests.attack.tally import Tally, rounds, tally
from tests.clickhouse.test_embedded_access import COMMENTS, LEAVING
from tests.gemma.provider import DOELBINDING, about, body
from tests.support.chance import dice
from tests.support.logboek import LogboekProcess, ask

#: What closes a text, a list, a condition or a parameter, by somebody who guesses how the statement goes on.
OPENINGS: Final = [
    "", "'", "''", "\\'", "\\", "\\\\'", '"', "`", "')", "'))", "']", "'])", "}", "'}", "{", "$", "$$", "\x00'",
    "\u2019", "\uff07", "%27", "\n'", "\t'", "\\t'", "\\N", "\\n'", "\r\n'", "\u2028'",
    "x'", "0'", "ff'", "1)", "-1)", "\ufeff'",
]  # fmt: skip
MIDDLES: Final = [
    " OR 1=1", " OR '1'='1", " OR true", "||'a'", " UNION ALL SELECT * FROM logregel",
    " UNION ALL SELECT name FROM system.tables", "; DROP TABLE logregel", ", (SELECT sleep(3))", " OR sleep(3)",
    " AND throwIf(1)", " INTO OUTFILE '/tmp/pwned'", " FORMAT Null", " SETTINGS max_execution_time=0", " LIMIT 1000000",
    " OR trace_id != ''", " = any(trace_id)", "{trace_id:String}", "{x:Identifier}", "${hours}", "$where", "$condition",
    " OR startsWith(name, 'S')", "' || file('/etc/hostname') || '", "{subjects:Array(String)}", "%s", "%(trace_id)s",
]  # fmt: skip
CLOSINGS: Final = ["", " --", " -- x", " #", " //", "/*", "*/", ";", "'", "''", ")", "\x00", "\\", "\n", " OR '"]


def payloads(source: random.Random, count: int) -> Iterator[str]:
    """Give so many texts that would be SQL if they were put into a statement."""
    for _ in range(count):
        yield source.choice(OPENINGS) + source.choice(MIDDLES) + source.choice(CLOSINGS)


def state_of(target: Target) -> list[tuple[Any, ...]]:
    """The tables that are there, and the records that a test stored."""
    with LogboekClient(target.settings) as client:
        tables = client.rows(Sql("SELECT database, name FROM system.tables WHERE database != 'system' ORDER BY ALL"))
        return [*tables, *client.rows(Sql("SELECT count(), sum(cityHash64(*)) FROM logregel WHERE name LIKE 'Stap%'"))]


def note(counts: Tally, answer: httpx.Response, payload: str, where: str, *, shows: bool = True) -> None:
    """Count an attempt: records, a text of the engine, or an error of the server got through.

    Args:
        shows: Whether records in the answer mean that the payload was more than a value.
    """
    got_through = (
        answer.status_code >= 500
        or (shows and CANARY in answer.text)
        or any(word in answer.text for word in ("DB::Exception", "Traceback", "UNKNOWN_", "SYNTAX_ERROR"))
    )
    counts.note((where, payload, answer.status_code, answer.text[:200]), got_through=got_through)


def members(payload: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give queries with the payload in each member, of the form of 2026 and of that of 2025."""
    trace = TRACES[0].hex()
    core: dict[str, Any] = {"dataSubjectId": payload}
    yield "traceId", {"traceId": payload}
    yield "dataSubjectId", {"attributes": {"dpl": {"core": core}}}
    yield "dataSubjectIdType", {"attributes": {"dpl": {"core": {"dataSubjectId": BSN, "dataSubjectIdType": payload}}}}
    yield "processingActivityId", {"attributes": {"dpl": {"core": {"processingActivityId": payload}}}}
    processor = {"core": {"foreignOperation": {"processor": payload}}}
    yield "processor", {"traceId": trace, "attributes": {"dpl": processor}}
    yield "nextLogbookId", {"traceId": trace, "attributes": {"dpl": {"read": {"nextLogbookId": payload}}}}
    yield "startTime", {"traceId": trace, "startTime": payload}
    yield "endTime", {"traceId": trace, "endTime": payload}
    yield "a member of its own", {payload: trace}
    yield "names of 2025", {"dpl.core.data_subject_id": payload}
    yield "no text", {"traceId": [payload]}


def test_the_lezen_api(target: Target) -> None:
    """Each member of a query, each parameter and each path."""
    before = state_of(target)
    headers = {"Authorization": f"Bearer {target.token}"}
    base = "/lezenapi/v1"
    body_of = {"traceId": NOBODY.hex()}
    with tally("injected SQL", "lezen API") as counts:
        for payload in payloads(dice("SQL for the lezen API"), rounds(6, 500)):
            for where, query in members(payload):
                for form in ("data-processing-operations", "processing-activities"):
                    note(counts, target.http.post(f"{base}/{form}", json=query, headers=headers), payload, where)
            batch = {"requests": [query for _, query in members(payload)]}
            path = f"{base}/data-processing-operations/_batch"
            note(counts, target.http.post(path, json=batch, headers=headers), payload, "batch")
            for name in ("limit", "cursor", payload):
                answer = target.http.post(
                    f"{base}/data-processing-operations", params={name: payload}, json=body_of, headers=headers
                )
                note(counts, answer, payload, f"parameter {name}")
            for parameters in ({"traceId": payload}, {"traceId": "ab" * 16, "spanId": payload}):
                answer = target.http.get(f"{base}/foreign-operations", params=parameters, headers=headers)
                note(counts, answer, payload, "foreign-operations")
            note(counts, target.http.get(f"{base}/chains/{_path(payload)}", headers=headers), payload, "chains")
    assert state_of(target) == before


def _path(payload: str) -> str:
    return quote(payload, safe="")


def test_the_pages(target: Target) -> None:
    """Of citizens and of officers; the latter see records, so there only errors and changes count."""
    before = state_of(target)
    citizen = {"X-Id-Token": target.assertion}
    officer = {"Authorization": f"Bearer {target.token}", "Sec-Fetch-Site": "same-origin"}
    with tally("injected SQL", "pages") as counts:
        for payload in payloads(dice("SQL for pages"), rounds(6, 500)):
            for name in ("vanaf", "verwerking"):
                answer = target.http.get("/inzage", params={name: payload}, headers=citizen)
                note(counts, answer, payload, f"/inzage?{name}")
            path = f"/inzage/handelingen/{_path(payload)}"
            note(counts, target.http.get(path, headers=citizen), payload, "/inzage/handelingen/")
            for name in ("van", "tot", "soort", "verwerking", "vanaf"):
                answer = target.http.get("/toezicht/regels", params={name: payload}, headers=officer)
                note(
                    counts, answer, payload, f"/toezicht/regels?{name}", shows=name in {"soort", "verwerking", "vanaf"}
                )
            for name in ("nummer", "soort", "reden", "van"):
                form = {"nummer": "999990019", "soort": "BSN", "reden": "een aanval op deze pagina"} | {name: payload}
                answer = target.http.post("/toezicht/persoon", data=form, headers=officer)
                note(counts, answer, payload, f"/toezicht/persoon {name}")
    assert state_of(target) == before


def test_the_apis_of_gemma(target: Target) -> None:
    """Parameters, headers, paths, and what is logged and asked for again."""
    before = state_of(target)
    headers = {"Authorization": f"Bearer {target.gemma_token}"}
    base = "/api/v1"
    with tally("injected SQL", "APIs of GEMMA") as counts:
        for payload in payloads(dice("SQL for GEMMA"), rounds(5, 400)):
            for name in (*about(BSN), "beginDatum", "page", "pageSize", "verwerkingId", "vertrouwelijkheid"):
                parameters = about("999990019") | {name: payload}
                answer = target.http.get(f"{base}/verwerkingsacties", params=parameters, headers=headers)
                note(counts, answer, payload, f"parameter {name}")
            for resource in ("verwerkingsacties", "verwerkte-objecten"):
                answer = target.http.get(f"{base}/{resource}/{_path(payload)}", headers=headers)
                note(counts, answer, payload, resource)
            for name in DOELBINDING:
                value = "".join(char for char in payload if " " <= char <= "~").strip()
                answer = target.http.get(
                    f"{base}/verwerkte-objecten", params=about("999990019"), headers=headers | {name: value}
                )
                note(counts, answer, payload, f"header {name}")
            for name in ("actieNaam", "verwerkingId", "tijdstip", "systeem", "bewaartermijn"):
                answer = target.http.post(
                    f"{base}/verwerkingsacties", json=body("999990019") | {name: payload}, headers=headers
                )
                note(counts, answer, payload, f"element {name}", shows=False)
    assert state_of(target) == before


def test_the_named_queries(target: Target) -> None:
    """Every value that a reader passes on is a parameter, and finds what is equal to it: here nothing."""
    before = state_of(target)
    with tally("injected SQL", "named queries") as counts, LogboekClient(target.settings) as client:
        for payload in payloads(dice("SQL for queries"), rounds(15, 1_500)):
            for query in (
                RecordQuery(activity=payload),
                RecordQuery(processor=payload),
                RecordQuery(read_api=payload),
                RecordQuery(trace_id=TRACES[0], subject_type=payload),
                RecordQuery(trace_id=TRACES[0], visible=(payload,)),
            ):
                counts.note((query, payload), got_through=bool(read.search(client, query).records))
            counts.note(payload, got_through=bool(read.by_activity(client, payload).records))
            counts.note(payload, got_through=bool(read.by_attribute(client, TRACES[0], payload, "kentekens")))
            counts.note(payload, got_through=bool(read.by_attribute(client, TRACES[0], "dpl.objects.dataset", payload)))
            for id_query in (read.by_trace, lambda client, text: read.by_outbound(client, TRACES[0].hex(), text)):
                try:
                    counts.note(payload, got_through=bool(id_query(client, payload)))
                except QueryError:
                    counts.note(payload, got_through=False)
    assert state_of(target) == before


# --- ldv logboek


@pytest.fixture(scope="module")
def logboek(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogboekProcess]:
    """A Logboek of its own, beside a file that is none of its business."""
    home = tmp_path_factory.mktemp("statements")
    (home / "private.txt").write_text("a secret line\n")
    with LogboekProcess(home / "logboek") as process:
        ask(process, b"CREATE TABLE kept (a String) ENGINE = MergeTree ORDER BY a")
        ask(process, b"INSERT INTO kept VALUES ('x')")
        yield process


def disguised(sql: str, source: random.Random) -> str:
    """Return a statement as somebody may write it who hopes that it is not recognised."""
    words = sql.split(" ")
    for _ in range(source.choice([0, 1, 2, 4])):
        place = source.randrange(len(words))
        # Within a quotation a comment is none, and the statement becomes another one: refused or harmless as well.
        words[place] = f"{words[place]}{source.choice([*COMMENTS, '/**/', chr(11), chr(12), chr(0xA0), chr(0x2028)])}"
    spellings: list[Callable[[str], str]] = [str.upper, str.lower, str.title]
    words[0] = source.choice(spellings)(words[0])
    begin = source.choice(["", "", " ", "\n", "\ufeff", "/* x */", "-- x\n", "(", "WITH 1 AS x ", "EXPLAIN ", ";"])
    end = source.choice(
        ["", "", ";", " ;", "\n", " -- x", " FORMAT Null", " FORMAT JSON", ")", " SETTINGS max_threads = 1"]
    )
    return begin + " ".join(words) + end


def test_statements_past_the_allow_list(logboek: LogboekProcess) -> None:
    """Whatever a statement looks like and however it is sent: no file, table or row changes, and no file is read."""
    home = logboek.path.parent

    def state() -> tuple[set[str], bytes, bytes]:
        tables = ask(
            logboek, b"SELECT name FROM system.tables WHERE database NOT ILIKE '%schema' ORDER BY name"
        ).content
        return {path.name for path in home.iterdir()}, ask(logboek, b"SELECT a FROM kept ORDER BY a").content, tables

    source = dice("statements")
    before = state()
    assert before[1] == b"x\n"
    with tally("SQL past the allow-list", "ldv logboek") as counts:
        for sql in LEAVING:
            for _ in range(rounds(4, 200)):
                text = disguised(sql.replace("{home}", str(home)), source)
                way = source.choice(["body", "address", "GET", "split", "readonly", "form"])
                encoded = text.encode()
                if way == "body":
                    got = ask(logboek, encoded)
                elif way == "address":
                    got = ask(logboek, query=text)
                elif way == "GET":
                    got = ask(logboek, method="GET", query=text)
                elif way == "split":
                    got = ask(logboek, text[9:].encode(), query=text[:9])
                elif way == "readonly":
                    got = ask(logboek, encoded, readonly="0")
                else:
                    form = {"Content-Type": "application/x-www-form-urlencoded"}
                    got = ask(logboek, urlencode({"query": text}).encode(), headers=form)
                got_through = b"a secret line" in got.content or (got.status >= 500 and got.code in {0, 1001})
                counts.note((way, text, got.status), got_through=got_through)
            after = state()
            counts.note((sql, "changed something"), got_through=after != before)
            before = after
