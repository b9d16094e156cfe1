-- What readers need of the Register, and what was removed by its terms.
--
-- `ldv register apply` adds a row for each entry that is new or was amended; nothing is changed or taken away, so it can
-- be seen later which term was in force when. An activity that left the Register keeps its last entry: references stay
-- valid, what was confidential stays so, and a term goes on running.
CREATE TABLE IF NOT EXISTS ldv_register
(
    processing_activity_id  String,
    name                    String,
    purpose                 String,
    legal_ground            String,
    retention               String, -- ISO 8601; empty: no term
    retention_months        UInt32,
    retention_days          UInt32,
    confidential            Bool,
    parent                  String,
    controller              String,
    replaces                String, -- the version before this one
    source                  String,
    applied                 DateTime64(6, 'UTC') DEFAULT now64(6),
    applied_by              String DEFAULT currentUser()
)
ENGINE = MergeTree
ORDER BY (processing_activity_id, applied);

-- The entries as they are now: who, why, on what ground, for how long.
CREATE OR REPLACE VIEW verwerkingsactiviteiten AS
SELECT *
FROM ldv_register
ORDER BY processing_activity_id, applied DESC
LIMIT 1 BY processing_activity_id;

-- Not for users: the same for the queries, as one row of arrays, which costs a reader a third of what the view above would.
-- `ldv register apply` adds one; the last counts. Activities that have no term and are not confidential are left out, and
-- the first place of each array is that of records without an activity.
CREATE TABLE IF NOT EXISTS ldv_term
(
    activities      Array(String),
    months          Array(UInt32),
    days            Array(UInt32),
    confidential    Array(Bool),
    terms           Array(Int32), -- months * 100000 + days; without a term 1200 months: since before 1970
    public_terms    Array(Int32), -- the same for who may not see what is confidential: that is kept from 3000 months ahead
    applied         DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = MergeTree
ORDER BY applied;

INSERT INTO ldv_term SELECT [''], [0], [0], [false], [120000000], [120000000], toDateTime64(0, 6, 'UTC');

-- Not for users: the columns as they are shown, without what is past its term, and with the stored ids beside them for
-- the conditions of the other views. The minute that has begun counts as over, so that the moments stay the same for a
-- minute and the engine can remember conditions on them. An activity without a term is kept from 1970 on.
CREATE OR REPLACE VIEW logregel_shown AS
WITH (SELECT activities, terms FROM ldv_term ORDER BY applied DESC LIMIT 1) AS kept
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
    l.foreign_operation_processor AS foreign_operation_processor,
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
WHERE l.start_time >= subtractDays(
    subtractMonths(
        toDateTime64(toStartOfMinute(now64(3, 'UTC')) + 60, 3, 'UTC'),
        intDiv(transform(l.processing_activity_id, kept.1, kept.2, 120000000), 100000)),
    transform(l.processing_activity_id, kept.1, kept.2, 120000000) % 100000);

-- What `ldv retention apply` removed: a row for each activity and year, written before (`begun`) and after (`done`).
CREATE TABLE IF NOT EXISTS ldv_removal
(
    removal_id              UUID,
    state                   Enum8('begun' = 0, 'done' = 1),
    at                      DateTime64(3, 'UTC') DEFAULT now64(3),
    removed_by              String DEFAULT currentUser(),
    processing_activity_id  String,
    retention               String, -- the rule, and when it came into force
    rule_applied            DateTime64(6, 'UTC'),
    kept_from               DateTime64(3, 'UTC'), -- what started earlier was removed
    year                    UInt16,
    way                     Enum8('parts' = 0, 'mutation' = 1),
    logregels               UInt64,
    first_start_time        DateTime64(3, 'UTC'),
    last_start_time         DateTime64(3, 'UTC'),
    writers                 Map(String, UInt64) -- places in each writer's sequence that are empty since then
)
ENGINE = MergeTree
ORDER BY (at, removal_id);

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
    any(r.last_start_time) AS last_start_time
FROM ldv_removal AS r
GROUP BY r.removal_id, r.processing_activity_id, r.year;

-- Each writer: what is stored, and what is missing of its sequence though it was not removed by a term: lost Logregels.
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
    greatest(toInt64(max(l.seq)) + 1 - toInt64(uniqExact(l.seq)) - toInt64(removed), 0) AS missing,
    count() - uniqExact(l.seq) AS doubled,
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
