-- What readers see: the names of the standard, ids as hexadecimal text, no Logregel twice and none past its term. Every
-- `ldv schema apply` makes these views anew, so a change here needs no number.
--
-- A batch that was stored twice (sent again after the deduplication window had passed) leaves rows that are equal in
-- every column. LIMIT 1 BY hides the second. Its columns are the table's sorting key: so the engine keeps one row in
-- memory instead of all keys, pushes conditions on these columns below it, and stops reading when a page is full.
-- Without the sort, or with read-ahead (buffering), a page of 100 would read the whole period. The other setting lets
-- each shard of a cluster look into its own projections.

-- Not for users: the columns as they are shown, without what is past its term, and with the stored ids beside them for
-- the conditions of the other views. The minute that has begun counts as over, so that the moments stay the same for a
-- minute and the engine can remember conditions on them. A term counts from the end of an Actie; that of an activity with
-- versions is that of the version in force when the Actie began. An activity without a term is kept from 1970 on; a
-- record's own term goes before that of its activity. Of a record that was put right later all versions are here (`ldv.version_of`,
-- `ldv.version` in its attributes): this is the log as it grew.
CREATE OR REPLACE VIEW logregel_shown AS
WITH
    (SELECT activities, terms, versions, version_from FROM ldv_term ORDER BY applied DESC LIMIT 1) AS kept,
    if(empty(kept.3), transform(l.processing_activity_id, kept.1, kept.2, 120000000),
       transform(if(has(kept.3, l.processing_activity_id),
                    concat(l.processing_activity_id, '\n', toString(arrayMax(
                        (activity, moment) -> if(activity = l.processing_activity_id
                                                 AND moment <= toUnixTimestamp64Milli(l.start_time), moment, 0), kept.3, kept.4))),
                    toString(l.processing_activity_id)), kept.1, kept.2, 120000000)) AS term
SELECT
    lower(hex(l.trace_id)) AS trace_id,
    lower(hex(l.span_id)) AS span_id,
    lower(hex(l.parent_span_id)) AS parent_span_id,
    l.status AS status,
    l.name AS name,
    l.start_time AS start_time,
    l.start_time + toIntervalMillisecond(l.duration_ms) AS end_time,
    l.processing_activity_id AS processing_activity_id,
    l.parent_processing_activity_id AS parent_processing_activity_id,
    if(l.data_subject_id = toFixedString('', 16), '', lower(hex(l.data_subject_id))) AS data_subject_id,
    l.data_subject_id_type AS data_subject_id_type,
    l.key_id AS key_id,
    l.data_subject_sealed AS data_subject_sealed,
    if(l.foreign_operation_trace_id = toFixedString('', 16), '', lower(hex(l.foreign_operation_trace_id)))
        AS foreign_operation_trace_id,
    if(l.foreign_operation_span_id = toFixedString('', 8), '', lower(hex(l.foreign_operation_span_id)))
        AS foreign_operation_span_id,
    -- Where another application called there is a processor; records of before LDV-N10 may have its ids alone.
    multiIf(l.foreign_operation_processor != '', l.foreign_operation_processor,
            l.foreign_operation_trace_id = toFixedString('', 16) AND l.foreign_operation_span_id = toFixedString('', 8), '',
            'https://onbekende-aanroeper.invalid/') AS foreign_operation_processor,
    l.external_read_api_id AS external_read_api_id,
    arrayMap(id -> lower(hex(id)), l.outbound_span_ids) AS outbound_span_ids,
    l.attributes AS attributes,
    JSONExtract(l.resource, 'Map(String, String)') AS resource,
    arrayFilter(flag -> flag != '', splitByChar(',', l.attributes['ldv.flags'])) AS flags,
    l.writer_id AS writer_id,
    l.seq AS seq,
    l.trace_id AS stored_trace_id,
    l.span_id AS stored_span_id,
    l.data_subject_id AS stored_data_subject_id,
    l.foreign_operation_trace_id AS stored_foreign_operation_trace_id,
    l.foreign_operation_span_id AS stored_foreign_operation_span_id,
    l.outbound_span_ids AS stored_outbound_span_ids
FROM logregel AS l
WHERE
(
    l.start_time + toIntervalMillisecond(l.duration_ms) >= subtractDays(
        subtractMonths(toDateTime64(toStartOfMinute(now64(3, 'UTC')) + 60, 3, 'UTC'), intDiv(term, 100000)), term % 100000)
    OR l.attributes['ldv.kept_until'] != ''
)
AND (l.attributes['ldv.kept_until'] = '' OR toInt64OrZero(l.attributes['ldv.kept_until']) > toUnixTimestamp64Milli(now64(3)));

-- Everything. Conditions on start_time and processing_activity_id use the table's order and index; for a data subject or a
-- trace use the views below.
CREATE OR REPLACE VIEW logregels AS
-- The activity is named once more in LIMIT BY for the sake of that index.
SELECT * EXCEPT '^stored_'
FROM logregel_shown
ORDER BY start_time, stored_span_id, writer_id, seq, processing_activity_id
LIMIT 1 BY start_time, stored_span_id, writer_id, seq, processing_activity_id
SETTINGS read_in_order_use_buffering = 0, distributed_product_mode = 'local';

-- logregels_van(subject = '32 hexadecimal digits'): what is recorded about a data subject.
CREATE OR REPLACE VIEW logregels_van AS
SELECT * EXCEPT '^stored_'
FROM logregel_shown
WHERE (SELECT throwIf(not match({subject:String}, '^[0-9a-fA-F]{32}$'), 'subject is a pseudonym of 32 hexadecimal digits')) = 0
  AND stored_data_subject_id = toFixedString(unhex({subject:String}), 16)
  AND toRelativeHourNum(start_time) IN (
    SELECT toRelativeHourNum(start_time) FROM logregel
    WHERE bitShiftRight(reinterpretAsUInt32(substring(data_subject_id, 1, 4)), 4)
        = bitShiftRight(reinterpretAsUInt32(substring(unhex({subject:String}), 1, 4)), 4)
    GROUP BY bitShiftRight(reinterpretAsUInt32(substring(data_subject_id, 1, 4)), 4), toRelativeHourNum(start_time))
ORDER BY start_time, stored_span_id, writer_id, seq
LIMIT 1 BY start_time, stored_span_id, writer_id, seq
SETTINGS read_in_order_use_buffering = 0, distributed_product_mode = 'local';

-- technical_above(trace_id = '32 hexadecimal digits'): not for users. For each technical span of a trace the first span
-- above it that is none, through up to 64 of them; empty for none. Where a trace has none, that costs one look into an
-- empty range. A mistyped id is for the views around it to refuse.
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

-- logregels_trace(trace_id = '32 hexadecimal digits'): what is recorded in a trace. A record's parent is the nearest Actie
-- above it.
CREATE OR REPLACE VIEW logregels_trace AS
WITH (SELECT (groupArray(span_id), groupArray(above)) FROM DATABASE.technical_above(trace_id = {trace_id:String})) AS links
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

-- logregels_activiteit(activiteit = 'URI', vanaf = '2026-01-01 00:00:00', tot = '2026-02-01 00:00:00'): one processing
-- activity in a period; times are UTC.
CREATE OR REPLACE VIEW logregels_activiteit AS
SELECT * EXCEPT '^stored_'
FROM logregel_shown
WHERE processing_activity_id = {activiteit:String}
  AND start_time >= {vanaf:DateTime64(3, 'UTC')} AND start_time < {tot:DateTime64(3, 'UTC')}
ORDER BY start_time, stored_span_id, writer_id, seq
LIMIT 1 BY start_time, stored_span_id, writer_id, seq
SETTINGS read_in_order_use_buffering = 0, distributed_product_mode = 'local';

-- logregels_aanroeper(trace_id = ..., span_id = '16 hexadecimal digits'): the Actie behind a call. Asked at the caller, with
-- the ids that the called party has as its foreign operation. The span is the Actie's own, or a technical span below it.
CREATE OR REPLACE VIEW logregels_aanroeper AS
WITH (SELECT any(above) FROM DATABASE.technical_above(trace_id = {trace_id:String}) WHERE span_id = lower({span_id:String})) AS above
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

-- logregels_aangeroepen(trace_id = ..., span_id = ...): what was done for a call. Asked at the called party, with the
-- caller's ids; span_id = '' is for the whole trace.
CREATE OR REPLACE VIEW logregels_aangeroepen AS
SELECT * EXCEPT '^stored_'
FROM logregel_shown
WHERE (SELECT throwIf(not match({trace_id:String}, '^[0-9a-fA-F]{32}$'), 'trace_id has 32 hexadecimal digits')) = 0
  AND (SELECT throwIf(not match({span_id:String}, '^([0-9a-fA-F]{16})?$'), 'span_id has 16 hexadecimal digits')) = 0
  AND stored_foreign_operation_trace_id = toFixedString(unhex({trace_id:String}), 16)
  AND ({span_id:String} = '' OR stored_foreign_operation_span_id = toFixedString(unhex({span_id:String}), 8))
  AND toRelativeHourNum(start_time) IN (
    SELECT toRelativeHourNum(start_time) FROM logregel
    WHERE bitShiftRight(reinterpretAsUInt32(substring(foreign_operation_trace_id, 1, 4)), 4)
        = bitShiftRight(reinterpretAsUInt32(substring(unhex({trace_id:String}), 1, 4)), 4)
    GROUP BY bitShiftRight(reinterpretAsUInt32(substring(foreign_operation_trace_id, 1, 4)), 4),
        toRelativeHourNum(start_time))
ORDER BY start_time, stored_span_id, writer_id, seq
LIMIT 1 BY start_time, stored_span_id, writer_id, seq
SETTINGS read_in_order_use_buffering = 0, distributed_product_mode = 'local';

-- The entries of the Register as they are now: who, why, on what ground, for how long. One that is not in force yet is there when no
-- other one is.
CREATE OR REPLACE VIEW verwerkingsactiviteiten AS
SELECT *
FROM ldv_register
ORDER BY processing_activity_id, explains_from <= now64(3) DESC,
    if(explains_from <= now64(3), toUnixTimestamp64Milli(valid_from), -toUnixTimestamp64Milli(valid_from)) DESC,
    explains_from DESC, applied DESC
LIMIT 1 BY processing_activity_id;

-- Each activity as it explains records, from `in_force_from` on up to the next row of it. A record made before the first
-- is explained by that one. Its term, and whether it is confidential, are those of the last entry for the version: a slip
-- in these is corrected for all its records, where texts that were amended hold from then on.
CREATE OR REPLACE VIEW verwerkingsactiviteit_versies AS
SELECT
    v.processing_activity_id AS processing_activity_id,
    v.in_force_from AS in_force_from,
    v.version.1 AS name,
    v.version.2 AS purpose,
    v.version.3 AS legal_ground,
    k.rule.1 AS retention,
    k.rule.2 AS retention_text,
    k.rule.3 AS retention_months,
    k.rule.4 AS retention_days,
    k.rule.5 AS confidential,
    v.version.4 AS parent,
    v.version.5 AS controller,
    v.version.6 AS replaces,
    v.version.7 AS source,
    v.valid_from AS valid_from,
    v.version.8 AS applied,
    v.version.9 AS applied_by
FROM
(
    SELECT
        r.processing_activity_id AS processing_activity_id,
        m.moment AS in_force_from,
        max(r.valid_from) AS valid_from,
        argMax((r.name, r.purpose, r.legal_ground, r.parent, r.controller, r.replaces, r.source, r.applied, r.applied_by),
               (r.valid_from, r.explains_from, r.applied)) AS version
    FROM ldv_register AS r
    INNER JOIN (SELECT DISTINCT processing_activity_id, explains_from AS moment FROM ldv_register) AS m
        ON m.processing_activity_id = r.processing_activity_id
    WHERE r.explains_from <= m.moment
    GROUP BY processing_activity_id, in_force_from
) AS v
INNER JOIN
(
    SELECT processing_activity_id, valid_from,
           argMax((retention, retention_text, retention_months, retention_days, confidential), (explains_from, applied)) AS rule
    FROM ldv_register GROUP BY processing_activity_id, valid_from
) AS k ON k.processing_activity_id = v.processing_activity_id AND k.valid_from = v.valid_from;

-- What `ldv retention apply` removed, and what it began to.
CREATE OR REPLACE VIEW verwijderingen AS
SELECT
    r.removal_id AS removal_id,
    max(r.state) AS state,
    min(r.at) AS begun,
    if(max(r.state) = 'done', max(r.at), NULL) AS done,
    any(r.removed_by) AS removed_by,
    r.processing_activity_id AS processing_activity_id,
    any(r.retention) AS retention,
    any(r.rule_applied) AS rule_applied,
    any(r.kept_from) AS kept_from,
    r.year AS year,
    any(r.way) AS way,
    any(r.logregels) AS logregels,
    any(r.first_start_time) AS first_start_time,
    any(r.last_start_time) AS last_start_time,
    r.explains_from AS explains_from -- which version of the activity, where it has several
FROM ldv_removal AS r
GROUP BY r.removal_id, r.processing_activity_id, r.year, r.explains_from;

-- Which numbers `ldv subject` linked as one person's, and whether that is in force. `logregels_van` shows one pseudonym.
CREATE OR REPLACE VIEW koppelingen AS
SELECT
    k.link_id AS link_id,
    max(k.state) AS state,
    any(k.holds_from) AS holds_from,
    any(arrayMap(id -> lower(hex(id)), k.former)) AS former,
    any(arrayMap(id -> lower(hex(id)), k.present)) AS present,
    any(k.former_type) AS former_type,
    any(k.present_type) AS present_type,
    any(k.keys) AS keys,
    min(k.at) AS linked,
    if(max(k.state) = 'ended', max(k.at), NULL) AS ended
FROM ldv_subject_link AS k
GROUP BY k.link_id;

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

-- gaten(writer = '...'): the places missing from a writer's sequence, as ranges; removal by a term leaves some too.
CREATE OR REPLACE VIEW gaten AS
SELECT previous + 1 AS first_seq, seq - 1 AS last_seq, before AS after_start_time, start_time AS before_start_time
FROM
(
    SELECT
        toInt64(seq) AS seq,
        start_time,
        lagInFrame(toInt64(seq), 1, toInt64(-1)) OVER w AS previous,
        lagInFrame(start_time, 1, toDateTime64(0, 3, 'UTC')) OVER w AS before
    FROM logregel
    WHERE writer_id = {writer:String}
    WINDOW w AS (ORDER BY seq ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
)
WHERE seq > previous + 1;

-- Checks of the Logboek by `ldv verify`, as those who made them say. `tampering` counts what shows that records, manifests
-- or the log are not what was sealed.
CREATE OR REPLACE VIEW controles AS
SELECT at, account, verified_by, everything, keys_named, places, records, manifests, adopted, removed, not_read, not_sealed,
    log_size, findings, arraySum(mapValues(mapFilter((kind, count) -> kind NOT IN ('not sealed', 'not witnessed'), findings))) AS tampering
FROM ldv_verification;
