-- The table of Logregels: rows in time order, which is the order of arrival, of reading a page, and of clearing up.
-- A data subject, a trace or a caller's trace is found through a projection: it maps a prefix of the id to the hours to
-- look in. The first two cost 1 to 2 bytes a row, where an index on the whole id would cost 9.

CREATE TABLE IF NOT EXISTS logregel
(
    trace_id                        FixedString(16)                         CODEC(ZSTD(1)),
    span_id                         FixedString(8)                          CODEC(NONE), -- random: nothing compresses it
    parent_span_id                  String                                  CODEC(ZSTD(1)), -- '' or 8 bytes
    start_time                      DateTime64(3, 'UTC')                    CODEC(Delta(8), ZSTD(1)),
    duration_ms                     UInt64                                  CODEC(T64('bit'), ZSTD(1)),
    end_time                        DateTime64(3, 'UTC')                    ALIAS start_time + toIntervalMillisecond(duration_ms),
    status                          Enum8('Unset' = 0, 'Ok' = 1, 'Error' = 2) CODEC(ZSTD(1)),
    name                            LowCardinality(String)                  CODEC(ZSTD(3)),
    processing_activity_id          LowCardinality(String)                  CODEC(ZSTD(3)),
    parent_processing_activity_id   LowCardinality(String)                  CODEC(ZSTD(3)),
    data_subject_id                 FixedString(16)                         CODEC(ZSTD(1)), -- zeros: no data subject
    data_subject_id_type            LowCardinality(String)                  CODEC(ZSTD(3)),
    key_id                          LowCardinality(String)                  CODEC(ZSTD(1)),
    data_subject_sealed             String                                  CODEC(ZSTD(1)), -- normally empty
    foreign_operation_trace_id      FixedString(16)                         CODEC(ZSTD(1)), -- mostly zeros: stored sparse
    foreign_operation_span_id       FixedString(8)                          CODEC(ZSTD(1)),
    foreign_operation_processor     LowCardinality(String)                  CODEC(ZSTD(3)),
    external_read_api_id            LowCardinality(String)                  CODEC(ZSTD(3)),
    outbound_span_ids               Array(FixedString(8))                   CODEC(ZSTD(1)),
    attributes                      Map(LowCardinality(String), String)     CODEC(ZSTD(3)),
    resource                        LowCardinality(String)                  CODEC(ZSTD(3)), -- JSON; one a process
    writer_id                       LowCardinality(String)                  CODEC(ZSTD(3)),
    seq                             UInt64                                  CODEC(Delta(8), ZSTD(3)),

    -- The expressions have to stand in the queries to the letter.
    PROJECTION hours_of_subject
    (
        SELECT bitShiftRight(reinterpretAsUInt32(substring(data_subject_id, 1, 4)), 4), toRelativeHourNum(start_time)
        GROUP BY bitShiftRight(reinterpretAsUInt32(substring(data_subject_id, 1, 4)), 4), toRelativeHourNum(start_time)
    ),
    PROJECTION hours_of_trace
    (
        SELECT bitShiftRight(reinterpretAsUInt32(substring(trace_id, 1, 4)), 4), toRelativeHourNum(start_time)
        GROUP BY bitShiftRight(reinterpretAsUInt32(substring(trace_id, 1, 4)), 4), toRelativeHourNum(start_time)
    ),
    PROJECTION hours_of_foreign_trace -- rows without a caller share one entry an hour
    (
        SELECT
            bitShiftRight(reinterpretAsUInt32(substring(foreign_operation_trace_id, 1, 4)), 4),
            toRelativeHourNum(start_time)
        GROUP BY
            bitShiftRight(reinterpretAsUInt32(substring(foreign_operation_trace_id, 1, 4)), 4),
            toRelativeHourNum(start_time)
    ),
    INDEX rare_activities processing_activity_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYear(start_time) -- every part costs a lookup 0.4 to 0.8 ms: few and large
-- The first two are the order that people read in. The others make the key of a row whole: a row that was stored twice
-- stands beside itself, so hiding the second costs a reader no memory and stops as early as without. All of it is the
-- primary key too: only then does a page in order skip the parts that begin later.
ORDER BY (start_time, span_id, writer_id, seq, processing_activity_id)
SETTINGS
    index_granularity = 2048,
    min_compress_block_size = 16384, -- a granule is one small block
    default_compression_codec = 'ZSTD(1)', -- the only way to give projections a codec
    enable_adaptive_codec_selection = 1, -- and better ones when parts merge
    lightweight_mutation_projection_mode = 'rebuild',
    non_replicated_deduplication_window = 10000; -- 0, the default, would ignore our deduplication tokens
