"""What `schema.py` measures: rows made inside the engine, two tables to compare ours with, and the questions.

What is realistic about the rows, and matters to the figures:

- 24 months in time order; 84% of a day's rows fall between 8 and 18 o'clock, so that busy hours are searched too.
- Traces of 1 to 4 rows, 2.5 on average, each about one data subject; 2% of them about none. A subject has 10 rows; one
  (a company) has 100,000.
- 300 activities: one with 15% of the rows, nine with 4.5%, two hundred with 0.22% and ninety with 0.005%. Of the rows
  after a trace's first, 60% keep its activity.
- 5% of the rows were done for another organisation (half of these continue its trace, half start their own); 10% have
  an outbound span.
- Eight services write at the same time, each with its own sequence; they restart now and then as a new writer.
- Ids are hashes of a row's number, as incompressible as random ones, so any row can be found again to ask for it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.columns import BYTES_COLUMNS, SELECTED, StoredLogregel, logregel_of_row
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.queries.models import Cursor, PageLimits
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.delivery.batch import Batch, new_writer_id, number_batch
from ldv_otel._internal.times.instants import ms_from_datetime

ACTIVITY: Final = "https://register.example/activiteiten/"
TOP: Final = range(1)
MID: Final = range(10, 210)
RARE: Final = range(210, 300)

BEGIN: Final = datetime(2024, 1, 1, tzinfo=UTC)
DAYS: Final = 731  # two whole years, one of them a leap year
ROWS_IN_BATCH: Final = 5_000
#: In 32 successive traces each of the eight services has four, of 1, 2, 3 and 4 rows in some rotation: so any row's
#: place in its writer's sequence can be computed.
_TRACES_IN_CYCLE: Final = 32
_ROWS_IN_CYCLE: Final = 80
_SERVICES: Final = 8
#: Enough for a batch.
TRACES_IN_BATCH: Final = (ROWS_IN_BATCH // _ROWS_IN_CYCLE + 1) * _TRACES_IN_CYCLE

#: Rows of the traces first, first + 1, ...; the values in braces are parameters. `t` is the trace's number, `k` the
#: row's place in it, and the h are 64 independent random bits of a trace or a row each.
ROWS: Final = """
WITH
    cityHash64(t, 1) AS h1, cityHash64(t, 2) AS h2, cityHash64(t, k, 3) AS h3, cityHash64(t, k, 4) AS h4,
    t % 8 AS service, intDiv(t, 32) AS cycle, intDiv(t, 8) % 4 AS position, cityHash64(cycle, service) % 4 AS rotation,
    [[0, 1, 3, 6], [0, 2, 5, 9], [0, 3, 7, 8], [0, 4, 5, 7]][rotation + 1][position + 1] AS rows_before,
    toInt64(intDiv(toUInt128(t) * 731 * 86400000, {traces:UInt64})) AS linear_ms,
    (linear_ms % 86400000) / 86400000 AS part_of_day,
    multiIf(part_of_day < 0.08, part_of_day / 0.08 * 8,
            part_of_day < 0.92, 8 + (part_of_day - 0.08) / 0.84 * 10,
            18 + (part_of_day - 0.92) / 0.08 * 6) AS hour_of_day,
    1704067200000 + intDiv(linear_ms, 86400000) * 86400000 + toInt64(hour_of_day * 3600000) + h1 % 2000 AS begin_ms,
    (hash) -> multiIf(hash % 100000 < 15000, 0,
                      hash % 100000 < 55550, 1 + intDiv((hash % 100000 - 15000) * 9, 40550),
                      hash % 100000 < 99550, 10 + intDiv(hash % 100000 - 55550, 220),
                      210 + intDiv(hash % 100000 - 99550, 5)) AS draw,
    draw(h1) AS first_activity, if(k = 0 OR h4 % 100 < 60, first_activity, draw(h3)) AS activity,
    k = 0 AND h2 % 8 = 0 AS is_called, intDiv(h2, 8) % 2 = 0 AS continues,
    sipHash128(t, 'trace') AS own_trace, sipHash64(t, 0, 'span') AS first_span, sipHash64(t, 'caller') AS calling_span,
    t % {company_every:UInt64} = 0 AS is_company, NOT is_company AND h1 % 50 = 1 AS is_nobody
SELECT
    own_trace AS trace_id,
    reinterpretAsFixedString(sipHash64(t, k, 'span')) AS span_id,
    multiIf(k > 0, reinterpretAsString(first_span), is_called AND continues, reinterpretAsString(calling_span), '')
        AS parent_span_id,
    fromUnixTimestamp64Milli(begin_ms + k * (5 + h3 % 200), 'UTC') AS start_time,
    toUInt64(exp2(3 + (h4 % 10007) / 10007 * 7)) AS duration_ms,
    multiIf(h4 % 1000 < 20, 'Error', h4 % 1000 < 30, 'Ok', 'Unset') AS status,
    concat('Handeling ', toString(activity), if(h3 % 5 = 0, ' nazien', '')) AS name,
    concat('https://register.example/activiteiten/', toString(activity)) AS processing_activity_id,
    if(activity = first_activity, '', concat('https://register.example/activiteiten/', toString(first_activity)))
        AS parent_processing_activity_id,
    multiIf(is_company, sipHash128('company'), is_nobody, toFixedString('', 16),
            sipHash128(h2 % {subjects:UInt64}, 'subject')) AS data_subject_id,
    multiIf(is_company, 'KVK', is_nobody, '', 'BSN') AS data_subject_id_type,
    if(is_nobody, '', 'sleutel-2024') AS key_id,
    '' AS data_subject_sealed,
    multiIf(NOT is_called, toFixedString('', 16), continues, own_trace, sipHash128(t, 'caller'))
        AS foreign_operation_trace_id,
    if(is_called, reinterpretAsFixedString(calling_span), toFixedString('', 8)) AS foreign_operation_span_id,
    if(is_called, concat('https://partij-', toString(h2 % 7), '.example'), '') AS foreign_operation_processor,
    if(h3 % 100 < 3, 'https://rdw.example/ldv/v1', '') AS external_read_api_id,
    if(h3 % 10 = 0, [reinterpretAsFixedString(sipHash64(t, k, 'outbound'))], []) AS outbound_span_ids,
    multiIf(status = 'Error', map('exception.type', 'TimeoutError'),
            h4 % 20 = 1, map('dpl.objects.zaak_type', concat('zaaktype-', toString(h3 % 40))), map()) AS attributes,
    concat('{"service.name":"dienst-', toString(service), '","service.version":"1.', toString(cycle % 3), '"}')
        AS resource,
    lower(hex(sipHash64(service, intDiv(cycle, 2000), 'writer'))) AS writer_id,
    toUInt64((cycle % 2000) * 10 + rows_before + k) AS seq
FROM
(
    SELECT number AS t, arrayJoin(range(toUInt64(
        1 + (intDiv(number, 8) % 4 + cityHash64(intDiv(number, 32), number % 8) % 4) % 4))) AS k
    FROM numbers({first:UInt64}, {count:UInt64})
)
"""

#: (1) Typed columns, in the order of the traces, with the whole HMAC of 32 bytes for the data subject.
TYPED: Final = """
CREATE TABLE IF NOT EXISTS peers.typed
(
    trace_id FixedString(16) CODEC(ZSTD(1)), span_id FixedString(8) CODEC(ZSTD(1)),
    parent_span_id String CODEC(ZSTD(1)),
    start_time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)), duration_ms UInt64 CODEC(ZSTD(1)),
    status Enum8('Unset' = 0, 'Ok' = 1, 'Error' = 2) CODEC(ZSTD(1)), name LowCardinality(String) CODEC(ZSTD(1)),
    processing_activity_id LowCardinality(String) CODEC(ZSTD(1)),
    parent_processing_activity_id LowCardinality(String) CODEC(ZSTD(1)),
    data_subject_id FixedString(32) CODEC(ZSTD(1)), data_subject_id_type LowCardinality(String) CODEC(ZSTD(1)),
    key_id LowCardinality(String) CODEC(ZSTD(1)), data_subject_sealed String CODEC(ZSTD(1)),
    foreign_operation_trace_id FixedString(16) CODEC(ZSTD(1)), foreign_operation_span_id FixedString(8) CODEC(ZSTD(1)),
    foreign_operation_processor LowCardinality(String) CODEC(ZSTD(1)),
    external_read_api_id LowCardinality(String) CODEC(ZSTD(1)), outbound_span_ids Array(FixedString(8)) CODEC(ZSTD(1)),
    attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)), resource LowCardinality(String) CODEC(ZSTD(1)),
    writer_id LowCardinality(String) CODEC(ZSTD(1)), seq UInt64 CODEC(ZSTD(1))
)
ENGINE = MergeTree PARTITION BY toYYYYMM(start_time) ORDER BY (trace_id, start_time)
"""

#: (2) As the JVM peer makes it: everything that is not in the tracing model is an attribute, also the data subject.
JVM: Final = """
CREATE TABLE IF NOT EXISTS peers.jvm
(
    traceId String, spanId String, parentSpanId String, name String, status String, startTime DateTime64(3),
    endTime DateTime64(3), attributes Map(String, String), resource Map(String, String)
)
ENGINE = MergeTree ORDER BY (traceId, spanId)
"""

_SUBJECT_32_BYTES: Final = """
    toFixedString(concat(data_subject_id,
        if(data_subject_id_type = '', toFixedString('', 16), sipHash128(data_subject_id, 'rest'))), 32)
    AS data_subject_id
"""
_AS_JVM: Final = """
    lower(hex(trace_id)) AS traceId, lower(hex(span_id)) AS spanId, lower(hex(parent_span_id)) AS parentSpanId, name,
    status, start_time AS startTime, start_time + toIntervalMillisecond(duration_ms) AS endTime,
    mapUpdate(mapFilter((key, value) -> value != '', map(
        'dpl.core.processing_activity_id', processing_activity_id,
        'dpl.core.parent_processing_activity_id', parent_processing_activity_id,
        'dpl.core.data_subject_id', if(data_subject_id_type = '', '', lower(hex(data_subject_id))),
        'dpl.core.data_subject_id_type', data_subject_id_type,
        'dpl.core.foreign_operation.trace_id',
            if(foreign_operation_processor = '', '', lower(hex(foreign_operation_trace_id))),
        'dpl.core.foreign_operation.span_id',
            if(foreign_operation_processor = '', '', lower(hex(foreign_operation_span_id))),
        'dpl.core.foreign_operation.processor', foreign_operation_processor,
        'dpl.read.nextLogbookId', external_read_api_id)), attributes) AS attributes,
    JSONExtract(resource, 'Map(String, String)') AS resource
"""

#: For each table, by its qualified name, the rows as it stores them. Our own text: nothing of a user is in it.
SOURCES: Final = {
    # Not sealed: what sealing costs is measured by `benchmarks.tamper`.
    "logregel": f"SELECT *, '' AS manifest, '' AS manifest_salts FROM ({ROWS})",
    "peers.typed": f"SELECT * REPLACE ({_SUBJECT_32_BYTES}) FROM ({ROWS})",
    "peers.jvm": f"SELECT {_AS_JVM} FROM ({ROWS})",
}


class Sample(msgspec.Struct, frozen=True):
    """The rows of one benchmark: how many, and how many of them are loaded by now.

    Attributes:
        rows: How many rows the whole 24 months have.
        first: Number of the first trace to ask for.
        end: Number after the last trace that is in the tables.
    """

    rows: int
    first: int = 0
    end: int = 0

    @property
    def traces(self) -> int:
        """Traces of the 24 months, a whole number of cycles."""
        return max(self.rows // _ROWS_IN_CYCLE, 1) * _TRACES_IN_CYCLE

    @property
    def company_rows(self) -> int:
        """About how many rows the company has in 24 months."""
        return min(100_000, self.rows // 20)

    def part(self, share: float) -> Sample:
        """Return the sample of which this share is loaded."""
        cycles = self.traces // _TRACES_IN_CYCLE
        return msgspec.structs.replace(self, end=max(int(cycles * share), 1) * _TRACES_IN_CYCLE)

    def after(self, batches: int) -> Sample:
        """Return the rows that arrive after the 24 months, in that many batches."""
        return msgspec.structs.replace(self, first=self.traces, end=self.traces + batches * TRACES_IN_BATCH)

    def parameters(self, first: int, count: int) -> dict[str, int]:
        """Return the parameters of `ROWS` for these traces; those from `traces` on lie after the 24 months."""
        return {
            "traces": self.traces,
            "subjects": max(self.rows // 10, 1),
            # Odd, so that its traces are of every service and every length.
            "company_every": (self.rows // self.company_rows) | 1,
            "first": first,
            "count": count,
        }

    def moment(self, share: float) -> datetime:
        """Return a time in the loaded period, at this share of it."""
        trace = self.first + share * (self.end - self.first)
        return BEGIN + timedelta(days=DAYS) * (trace / self.traces)

    def find(self, client: LogboekClient, columns: str, where: str, count: int) -> list[tuple[Any, ...]]:
        """Return `columns` of that many loaded rows, each from another place."""
        draw = random.Random(f"{columns}{where}")  # keys to ask for, not secrets
        sql = f"SELECT {columns} FROM ({ROWS}) WHERE {where} LIMIT 1"
        found: list[tuple[Any, ...]] = []
        while len(found) < count:
            window = min(1_000, self.end - self.first)
            found += client.rows(
                Sql.verbatim(sql), self.parameters(draw.randrange(self.first, self.end - window + 1), window)
            )
        return found

    def batches(self, client: LogboekClient, count: int) -> list[Batch]:
        """Return batches of 5,000 successive loaded rows of one writer, as it sent them."""
        cycles = ROWS_IN_BATCH // (_ROWS_IN_CYCLE // _SERVICES)
        loaded = self.end // _TRACES_IN_CYCLE
        draw = random.Random(count)
        batches = []
        for _ in range(count):
            # Whole batches into a writer's life, so that all of a batch is of one writer.
            first = draw.randrange(max(loaded // cycles, 1)) * cycles
            rows = self._records(client, first, min(cycles, loaded), "resource LIKE '%dienst-0%' ORDER BY seq")
            batches.append(
                Batch(
                    writer_id=rows[0].writer_id,
                    seqs=tuple(row.seq for row in rows),
                    logregels=tuple(row.logregel for row in rows),
                )
            )
        return batches

    def arriving(self, client: LogboekClient, count: int) -> list[Batch]:
        """Return the first batches that arrive after the 24 months, all of one new writer."""
        batches = []
        writer_id = new_writer_id()
        for number in range(count):
            first = (self.traces + number * TRACES_IN_BATCH) // _TRACES_IN_CYCLE
            rows = self._records(client, first, TRACES_IN_BATCH // _TRACES_IN_CYCLE, "1 ORDER BY start_time")
            records = [row.logregel for row in rows[:ROWS_IN_BATCH]]
            batches.append(number_batch(writer_id, number * ROWS_IN_BATCH, records))
        return batches

    def _records(self, client: LogboekClient, first_cycle: int, cycles: int, which: str) -> list[StoredLogregel]:
        sql = f"SELECT {SELECTED} FROM ({ROWS}) WHERE {which}"
        parameters = self.parameters(first_cycle * _TRACES_IN_CYCLE, cycles * _TRACES_IN_CYCLE)
        return [logregel_of_row(row) for row in client.rows(Sql.verbatim(sql), parameters, bytes_columns=BYTES_COLUMNS)]


def load(client: LogboekClient, table: str, sample: Sample, first: int, end: int) -> None:
    """Insert the traces from `first` up to `end`, as one insert."""
    client.command(Sql.verbatim(f"INSERT INTO {table} {SOURCES[table]}"), sample.parameters(first, end - first))


class Question(NamedTuple):
    """One question, asked of each table in its own way.

    Attributes:
        name: As in the tables of figures.
        goal_ms: For the median at 50 million rows; 0 for none.
        keys: One for each time it is asked.
        ours: Asks it of ours, through the package's own functions.
        typed: Asks it of (1); empty where that table cannot answer.
        jvm: The same for (2).
        without: A setting that closes our access path, to see that it was taken.
    """

    name: str
    goal_ms: int
    keys: Sequence[dict[str, Any]]
    ours: Callable[[dict[str, Any]], object]
    typed: str = ""
    jvm: str = ""
    without: str = ""


_SUBJECT: Final = "attributes['dpl.core.data_subject_id'] = {subject:String}"
_SUBJECT_IN_TYPED: Final = (
    "data_subject_id = toFixedString(concat(unhex({subject:String}), "
    "sipHash128(toFixedString(unhex({subject:String}), 16), 'rest')), 32)"
)
_SPAN: Final = "unhex({span:String})"
_AFTER: Final = "fromUnixTimestamp64Milli({after:Int64})"
_PERIODS: Final = {"an hour": timedelta(hours=1), "a day": timedelta(days=1), "a month": timedelta(days=30)}
_SORTS: Final = {"frequent": TOP, "middling": MID, "rare": RARE}


def _typed(where: str, limit: str = "LIMIT 101") -> str:
    return f"SELECT * FROM peers.typed WHERE {where} ORDER BY start_time, span_id {limit}"


def _jvm(where: str, limit: str = "LIMIT 101") -> str:
    return f"SELECT * FROM peers.jvm WHERE {where} ORDER BY startTime, spanId {limit}"


def questions(
    sample: Sample, client: LogboekClient, sink: ClickHouseSink, batches: Sequence[Batch], times: int
) -> list[Question]:
    """Return all questions, each with `times` keys from the loaded rows."""
    keys = _Keys(sample, client, times)
    projection = "optimize_use_projections"
    return [
        Question(
            "records of a data subject",
            50,
            keys.found("lower(hex(data_subject_id)) AS subject", "data_subject_id_type = 'BSN'", "subject"),
            lambda key: read.by_subject(client, [bytes.fromhex(key["subject"])]),
            _typed(_SUBJECT_IN_TYPED),
            _jvm(_SUBJECT),
            projection,
        ),
        Question(
            "a trace",
            30,
            keys.found("lower(hex(trace_id)) AS trace", "1", "trace"),
            lambda key: read.by_trace(client, key["trace"]),
            _typed("trace_id = unhex({trace:String})", ""),
            _jvm("traceId = {trace:String}", ""),
            projection,
        ),
        Question(
            "the caller, by an outbound span",
            30,
            keys.found(
                "lower(hex(trace_id)), lower(hex(outbound_span_ids[1]))", "notEmpty(outbound_span_ids)", "trace", "span"
            ),
            lambda key: read.by_outbound(client, key["trace"], key["span"]),
            _typed(
                f"trace_id = unhex({{trace:String}}) AND (span_id = {_SPAN} OR has(outbound_span_ids, {_SPAN}))", ""
            ),
            without=projection,
        ),
        Question(
            "what was done for a foreign span",
            30,
            keys.found(
                "lower(hex(foreign_operation_trace_id)), lower(hex(foreign_operation_span_id))",
                "foreign_operation_processor != ''",
                "trace",
                "span",
            ),
            lambda key: read.by_foreign(client, key["trace"], key["span"]),
            _typed(f"foreign_operation_trace_id = unhex({{trace:String}}) AND foreign_operation_span_id = {_SPAN}", ""),
            _jvm(
                "attributes['dpl.core.foreign_operation.trace_id'] = {trace:String} "
                "AND attributes['dpl.core.foreign_operation.span_id'] = {span:String}",
                "",
            ),
            projection,
        ),
        *(_page(keys, client, sort, period) for sort in _SORTS for period in _PERIODS),
        _page(keys, client, "rare", "24 months", "use_skip_indexes"),
        Question(
            "the company's first page",
            0,
            keys.company(first=True),
            lambda key: read.by_subject(client, [bytes.fromhex(key["subject"])]),
            _typed(_SUBJECT_IN_TYPED),
            _jvm(_SUBJECT),
            projection,
        ),
        Question(
            "a later page of it, by cursor",
            0,
            keys.company(first=False),
            lambda key: read.by_subject(
                client, [bytes.fromhex(key["subject"])], PageLimits(after=Cursor(start_time_ms=key["after"]))
            ),
            _typed(f"{_SUBJECT_IN_TYPED} AND start_time > {_AFTER}"),
            _jvm(f"{_SUBJECT} AND startTime > {_AFTER}"),
            projection,
        ),
        Question(
            "read-back of a batch of 5,000",
            20,
            [
                {"batch": batch, "writer": batch.writer_id, "from": batch.seqs[0], "to": batch.seqs[-1]}
                | _times_of(batch)
                for batch in batches
            ],
            lambda key: sink.read_back(key["batch"]),
            "SELECT DISTINCT seq FROM peers.typed WHERE writer_id = {writer:String} "
            "AND seq BETWEEN {from:UInt64} AND {to:UInt64} AND start_time BETWEEN "
            "fromUnixTimestamp64Milli({since:Int64}) AND fromUnixTimestamp64Milli({until:Int64})",
        ),
    ]


def _page(keys: _Keys, client: LogboekClient, sort: str, period: str, without: str = "") -> Question:
    times = "{name} >= fromUnixTimestamp64Milli({{since:Int64}}) AND {name} < fromUnixTimestamp64Milli({{until:Int64}})"
    return Question(
        f"first page of a {sort} activity in {period}",
        50 if period in _PERIODS else 0,
        keys.activities(_SORTS[sort], _PERIODS.get(period, timedelta(days=DAYS))),
        lambda key: read.by_activity(client, key["activity"], PageLimits(since_ms=key["since"], until_ms=key["until"])),
        _typed("processing_activity_id = {activity:String} AND " + times.format(name="start_time")),
        _jvm("attributes['dpl.core.processing_activity_id'] = {activity:String} AND " + times.format(name="startTime")),
        without,
    )


def _times_of(batch: Batch) -> dict[str, int]:
    times = [record.start_time_ms for record in batch.logregels]
    return {"since": min(times), "until": max(times)}


class _Keys:
    """Makes keys to ask for, the same ones in each run."""

    def __init__(self, sample: Sample, client: LogboekClient, times: int) -> None:
        self._sample = sample
        self._client = client
        self._times = times
        self._draw = random.Random(times)  # no secrets

    def found(self, columns: str, where: str, *names: str) -> list[dict[str, Any]]:
        """Return these columns of rows that match."""
        rows = self._sample.find(self._client, columns, where, self._times)
        return [dict(zip(names, row, strict=True)) for row in rows]

    def activities(self, numbers: range, period: timedelta) -> list[dict[str, Any]]:
        """Return activities, each with another period of that length; hours are office hours."""
        found = []
        for _ in range(self._times):
            since = self._sample.moment(self._draw.random()).replace(minute=0, second=0, microsecond=0)
            if period < timedelta(days=1):
                since = since.replace(hour=self._draw.randrange(8, 18))
            since = max(min(since, self._sample.moment(1) - period), BEGIN)
            activity = f"{ACTIVITY}{self._draw.choice(numbers)}"
            found.append(
                {"activity": activity, "since": ms_from_datetime(since), "until": ms_from_datetime(since + period)}
            )
        return found

    def company(self, *, first: bool) -> list[dict[str, Any]]:
        """Return the company, each time with another cursor."""
        subject = self._client.rows(Sql("SELECT lower(hex(sipHash128('company')))"))[0][0]
        shares = [0.0 if first else self._draw.random() * 0.98 for _ in range(self._times)]
        return [
            {"subject": subject, "after": ms_from_datetime(self._sample.moment(share)) if share else -1}
            for share in shares
        ]
