-- The log of manifests (docs/tamper.md): for each `ldv seal` the signed checkpoint, and which manifests came into the log
-- since the one before, in their order, each by its sealer and number.
CREATE TABLE IF NOT EXISTS ldv_checkpoint
(
    size     UInt64,
    at       DateTime64(3, 'UTC') DEFAULT now64(3),
    note     String CODEC(ZSTD(3)),
    sealers  Array(LowCardinality(String)),
    numbers  Array(UInt64) CODEC(Delta(8), ZSTD(3))
)
ENGINE = MergeTree
ORDER BY (size, at);
