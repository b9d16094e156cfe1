-- Spans that are no Acties, of services that log through a Collector: of each only where it hangs, so that a record's
-- parent is found through them. A service with this package's SDK needs none of it: its records know their parents.

CREATE TABLE IF NOT EXISTS technical_span
(
    trace_id       FixedString(16)                                                                  CODEC(ZSTD(1)),
    span_id        FixedString(8)                                                                   CODEC(NONE),
    parent_span_id FixedString(8)                                                                   CODEC(ZSTD(1)), -- zeros: a root
    kind           Enum8('Unspecified' = 0, 'Internal' = 1, 'Server' = 2, 'Client' = 3, 'Producer' = 4, 'Consumer' = 5)
                                                                                                    CODEC(ZSTD(1)),
    day            Date DEFAULT today()                                                             CODEC(ZSTD(1)) -- of arrival: a sender's clock may not decide how long it stays
)
ENGINE = MergeTree
PARTITION BY toMonday(day)
ORDER BY (trace_id, span_id)
TTL day + INTERVAL 90 DAY
SETTINGS ttl_only_drop_parts = 1, index_granularity = 1024;

-- The views below show as parent the nearest Actie above a record, through up to 64 technical spans in a row. Where a
-- trace has none, this costs one look into an empty range.

-- technical_above(trace_id = '32 hexadecimal digits'): not for users. For each technical span of a trace the first span
-- above it that is none; empty for none. A mistyped id is for the views around it to refuse.
CREATE OR REPLACE VIEW technical_above AS
WITH RECURSIVE way AS
(
    SELECT span_id AS technical, parent_span_id AS above, 1 AS steps
    FROM technical_span
    WHERE trace_id = toFixedString(substring(unhex({trace_id:String}), 1, 16), 16)
    UNION ALL
    SELECT w.technical AS technical, t.parent_span_id AS above, w.steps + 1 AS steps
    FROM way AS w
    INNER JOIN technical_span AS t ON t.span_id = w.above
    WHERE t.trace_id = toFixedString(substring(unhex({trace_id:String}), 1, 16), 16) AND w.steps < 64
)
SELECT lower(hex(technical)) AS span_id, replaceOne(lower(hex(argMax(above, steps))), '0000000000000000', '') AS above
FROM way
GROUP BY technical;

-- logregels_trace(trace_id = '32 hexadecimal digits').
CREATE OR REPLACE VIEW logregels_trace AS
WITH (SELECT (groupArray(span_id), groupArray(above)) FROM technical_above(trace_id = {trace_id:String})) AS links
SELECT * EXCEPT '^stored_' REPLACE (
    transform(parent_span_id, arrayPushBack(links.1, ''), arrayPushBack(links.2, ''), parent_span_id) AS parent_span_id)
FROM logregel_shown
WHERE (SELECT throwIf(not match({trace_id:String}, '^[0-9a-fA-F]{32}$'), 'trace_id has 32 hexadecimal digits')) = 0
  AND stored_trace_id = toFixedString(substring(unhex({trace_id:String}), 1, 16), 16)
  AND toRelativeHourNum(start_time) IN (
    SELECT toRelativeHourNum(start_time) FROM logregel
    WHERE bitShiftRight(reinterpretAsUInt32(substring(trace_id, 1, 4)), 4)
        = bitShiftRight(reinterpretAsUInt32(substring(unhex({trace_id:String}), 1, 4)), 4)
    GROUP BY bitShiftRight(reinterpretAsUInt32(substring(trace_id, 1, 4)), 4), toRelativeHourNum(start_time))
ORDER BY start_time, stored_span_id, writer_id, seq
LIMIT 1 BY start_time, stored_span_id, writer_id, seq
SETTINGS read_in_order_use_buffering = 0, distributed_product_mode = 'local';

-- logregels_aanroeper(trace_id = ..., span_id = '16 hexadecimal digits'): asked at the caller, with the ids that the
-- called party has as its foreign operation. The span is the Actie's own, or a technical span below it.
CREATE OR REPLACE VIEW logregels_aanroeper AS
WITH (SELECT any(above) FROM technical_above(trace_id = {trace_id:String}) WHERE span_id = lower({span_id:String})) AS above
SELECT * EXCEPT '^stored_'
FROM logregel_shown
WHERE (SELECT throwIf(not match({trace_id:String}, '^[0-9a-fA-F]{32}$'), 'trace_id has 32 hexadecimal digits')) = 0
  AND (SELECT throwIf(not match({span_id:String}, '^[0-9a-fA-F]{16}$'), 'span_id has 16 hexadecimal digits')) = 0
  AND stored_trace_id = toFixedString(substring(unhex({trace_id:String}), 1, 16), 16)
  AND (stored_span_id IN (toFixedString(unhex({span_id:String}), 8), toFixedString(substring(unhex(above), 1, 8), 8))
    OR has(stored_outbound_span_ids, toFixedString(unhex({span_id:String}), 8)))
  AND toRelativeHourNum(start_time) IN (
    SELECT toRelativeHourNum(start_time) FROM logregel
    WHERE bitShiftRight(reinterpretAsUInt32(substring(trace_id, 1, 4)), 4)
        = bitShiftRight(reinterpretAsUInt32(substring(unhex({trace_id:String}), 1, 4)), 4)
    GROUP BY bitShiftRight(reinterpretAsUInt32(substring(trace_id, 1, 4)), 4), toRelativeHourNum(start_time))
ORDER BY start_time, stored_span_id, writer_id, seq
LIMIT 1 BY start_time, stored_span_id, writer_id, seq
SETTINGS read_in_order_use_buffering = 0, distributed_product_mode = 'local';

-- Each writer: what is stored, and what is missing of its sequence though it was not removed by a term: lost Logregels.
-- What plain OpenTelemetry sent through a Collector has the writer `collector` and no places in a sequence.
CREATE OR REPLACE VIEW schrijvers AS
WITH removed AS
(
    SELECT mapKeys(places)[n] AS writer_id, toUInt64(mapValues(places)[n]) AS removed
    FROM (SELECT sumMap(writers) AS places FROM ldv_removal WHERE state = 'done')
    ARRAY JOIN arrayEnumerate(mapKeys(places)) AS n
)
SELECT
    l.writer_id AS writer_id,
    any(l.resource) AS resource, -- JSON
    JSONExtractString(resource, 'service.name') AS service,
    count() AS stored,
    any(removed.removed) AS removed,
    uniqExact(if(l.writer_id = 'collector', cityHash64(l.seq, l.span_id, l.start_time), l.seq)) AS places,
    if(l.writer_id = 'collector', 0, greatest(toInt64(max(l.seq)) + 1 - toInt64(places) - toInt64(removed), 0)) AS missing,
    count() - places AS doubled,
    min(l.start_time) AS first_start_time,
    max(l.start_time) AS last_start_time
FROM logregel AS l
LEFT JOIN removed ON removed.writer_id = l.writer_id
GROUP BY l.writer_id;
