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
