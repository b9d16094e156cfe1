-- What readers see: the names of the standard, ids as hexadecimal text, no Logregel twice.
--
-- A batch that was stored twice (sent again after the deduplication window had passed) leaves rows that are equal in
-- every column. LIMIT 1 BY hides the second. Its columns are the table's sorting key: so the engine keeps one row in
-- memory instead of all keys, pushes conditions on these columns below it, and stops reading when a page is full.
-- Without the sort, or with read-ahead (buffering), a page of 100 would read the whole period. The other setting lets
-- each shard of a cluster look into its own projections.

-- Not for users: the columns as they are shown, with the stored ids beside them for the conditions of the views below.
CREATE OR REPLACE VIEW logregel_shown AS
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
FROM logregel AS l;

-- Everything. Conditions on start_time and processing_activity_id use the table's order and index (that is why the
-- activity is named here once more); for a data subject or a trace use the views below.
CREATE OR REPLACE VIEW logregels AS
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

-- logregels_trace(trace_id = '32 hexadecimal digits').
CREATE OR REPLACE VIEW logregels_trace AS
SELECT * EXCEPT '^stored_'
FROM logregel_shown
WHERE (SELECT throwIf(not match({trace_id:String}, '^[0-9a-fA-F]{32}$'), 'trace_id has 32 hexadecimal digits')) = 0
  AND stored_trace_id = toFixedString(unhex({trace_id:String}), 16)
  AND toRelativeHourNum(start_time) IN (
    SELECT toRelativeHourNum(start_time) FROM logregel
    WHERE bitShiftRight(reinterpretAsUInt32(substring(trace_id, 1, 4)), 4)
        = bitShiftRight(reinterpretAsUInt32(substring(unhex({trace_id:String}), 1, 4)), 4)
    GROUP BY bitShiftRight(reinterpretAsUInt32(substring(trace_id, 1, 4)), 4), toRelativeHourNum(start_time))
ORDER BY start_time, stored_span_id, writer_id, seq
LIMIT 1 BY start_time, stored_span_id, writer_id, seq
SETTINGS read_in_order_use_buffering = 0, distributed_product_mode = 'local';

-- logregels_activiteit(activiteit = 'URI', vanaf = '2026-01-01 00:00:00', tot = '2026-02-01 00:00:00'); times are UTC.
CREATE OR REPLACE VIEW logregels_activiteit AS
SELECT * EXCEPT '^stored_'
FROM logregel_shown
WHERE processing_activity_id = {activiteit:String}
  AND start_time >= {vanaf:DateTime64(3, 'UTC')} AND start_time < {tot:DateTime64(3, 'UTC')}
ORDER BY start_time, stored_span_id, writer_id, seq
LIMIT 1 BY start_time, stored_span_id, writer_id, seq
SETTINGS read_in_order_use_buffering = 0, distributed_product_mode = 'local';

-- logregels_aanroeper(trace_id = ..., span_id = '16 hexadecimal digits'): asked at the caller, with the ids that the
-- called party has as its foreign operation. The span is the Actie's own, or a technical client span below it.
CREATE OR REPLACE VIEW logregels_aanroeper AS
SELECT * EXCEPT '^stored_'
FROM logregel_shown
WHERE (SELECT throwIf(not match({trace_id:String}, '^[0-9a-fA-F]{32}$'), 'trace_id has 32 hexadecimal digits')) = 0
  AND (SELECT throwIf(not match({span_id:String}, '^[0-9a-fA-F]{16}$'), 'span_id has 16 hexadecimal digits')) = 0
  AND stored_trace_id = toFixedString(unhex({trace_id:String}), 16)
  AND (stored_span_id = toFixedString(unhex({span_id:String}), 8)
    OR has(stored_outbound_span_ids, toFixedString(unhex({span_id:String}), 8)))
  AND toRelativeHourNum(start_time) IN (
    SELECT toRelativeHourNum(start_time) FROM logregel
    WHERE bitShiftRight(reinterpretAsUInt32(substring(trace_id, 1, 4)), 4)
        = bitShiftRight(reinterpretAsUInt32(substring(unhex({trace_id:String}), 1, 4)), 4)
    GROUP BY bitShiftRight(reinterpretAsUInt32(substring(trace_id, 1, 4)), 4), toRelativeHourNum(start_time))
ORDER BY start_time, stored_span_id, writer_id, seq
LIMIT 1 BY start_time, stored_span_id, writer_id, seq
SETTINGS read_in_order_use_buffering = 0, distributed_product_mode = 'local';

-- logregels_aangeroepen(trace_id = ..., span_id = ...): asked at the called party, with the caller's ids; span_id = '' is
-- for the whole trace.
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
