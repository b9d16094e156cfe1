-- Manifests of batches of which records were removed by a term: they outlive the row in which they stood.
CREATE TABLE IF NOT EXISTS ldv_manifest
(
    start_time      DateTime64(3, 'UTC'), -- of the earliest record in the batch
    manifest        String CODEC(ZSTD(3)),
    manifest_salts  String CODEC(ZSTD(1)),
    salts_left      String CODEC(ZSTD(1)), -- what they become when the removal is done: zeros for an activity without records
    kept            DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = MergeTree
ORDER BY start_time;

-- What removals left behind: signed notes that name batches, and hashes in place of records that went.
CREATE TABLE IF NOT EXISTS ldv_removal_note
(
    removal_id  UUID,
    at          DateTime64(3, 'UTC') DEFAULT now64(3),
    note        String CODEC(ZSTD(3))
)
ENGINE = MergeTree
ORDER BY at;
