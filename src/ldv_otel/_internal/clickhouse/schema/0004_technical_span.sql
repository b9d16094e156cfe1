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
