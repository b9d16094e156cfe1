-- Views for plain SQL: the names of the standard, ids as hexadecimal text, times as DateTime64, and every row once, also
-- when a batch was stored twice. Their columns are the list in 0002_columns.sql.part.
--
-- `logregels` is for everything: a filter on start_time or processing_activity_id reaches the index through it. The views
-- with parameters take the fast paths to one person, one trace or one caller, where `logregels` would read everything.

CREATE OR REPLACE VIEW logregels AS
SELECT
$columns
FROM (SELECT * FROM logregel $once) AS l
SETTINGS $settings;

-- All about one data subject: logregels_van(subject = 'the 32 digits of the pseudonym').
CREATE OR REPLACE VIEW logregels_van AS
SELECT
$columns
FROM
(
    SELECT * FROM logregel
    WHERE data_subject_id = toFixedString(unhex({subject:String}), 16)
      AND toRelativeHourNum(start_time) IN
      (
          SELECT toRelativeHourNum(start_time) FROM logregel
          WHERE bitShiftRight(reinterpretAsUInt32(substring(data_subject_id, 1, 4)), 4)
              = bitShiftRight(reinterpretAsUInt32(substring(unhex({subject:String}), 1, 4)), 4)
          GROUP BY bitShiftRight(reinterpretAsUInt32(substring(data_subject_id, 1, 4)), 4), toRelativeHourNum(start_time)
      )
    $once
) AS l
SETTINGS $settings;

-- One trace: logregels_trace(trace_id = '32 digits').
CREATE OR REPLACE VIEW logregels_trace AS
SELECT
$columns
FROM
(
    SELECT * FROM logregel
    WHERE trace_id = toFixedString(unhex({trace_id:String}), 16)
      AND toRelativeHourNum(start_time) IN
      (
          SELECT toRelativeHourNum(start_time) FROM logregel
          WHERE bitShiftRight(reinterpretAsUInt32(substring(trace_id, 1, 4)), 4)
              = bitShiftRight(reinterpretAsUInt32(substring(unhex({trace_id:String}), 1, 4)), 4)
          GROUP BY bitShiftRight(reinterpretAsUInt32(substring(trace_id, 1, 4)), 4), toRelativeHourNum(start_time)
      )
    $once
) AS l
SETTINGS $settings;

-- What was done here on behalf of a trace of another organisation: logregels_aangeroepen(trace_id = '32 digits').
CREATE OR REPLACE VIEW logregels_aangeroepen AS
SELECT
$columns
FROM
(
    SELECT * FROM logregel
    WHERE foreign_operation_trace_id = toFixedString(unhex({trace_id:String}), 16)
      AND toRelativeHourNum(start_time) IN
      (
          SELECT toRelativeHourNum(start_time) FROM logregel
          WHERE bitShiftRight(reinterpretAsUInt32(substring(foreign_operation_trace_id, 1, 4)), 4)
              = bitShiftRight(reinterpretAsUInt32(substring(unhex({trace_id:String}), 1, 4)), 4)
          GROUP BY
              bitShiftRight(reinterpretAsUInt32(substring(foreign_operation_trace_id, 1, 4)), 4),
              toRelativeHourNum(start_time)
      )
    $once
) AS l
SETTINGS $settings;

-- One activity in a period: logregels_activiteit(activiteit = 'URI', van = '2026-01-01', tot = '2026-02-01'), UTC.
CREATE OR REPLACE VIEW logregels_activiteit AS
SELECT
$columns
FROM
(
    SELECT * FROM logregel
    WHERE processing_activity_id = {activiteit:String}
      AND start_time >= parseDateTime64BestEffort({van:String}, 3, 'UTC')
      AND start_time < parseDateTime64BestEffort({tot:String}, 3, 'UTC')
    $once
) AS l
SETTINGS $settings;
