-- Checks of the Logboek (`ldv verify`), as those who made them say. Who may write here can add one, so what a verifier
-- relies on stays with the verifier; this is for who watches that checks are made.
CREATE TABLE IF NOT EXISTS ldv_verification
(
    at            DateTime64(3, 'UTC') DEFAULT now64(3),
    account       String DEFAULT currentUser(),
    verified_by   String, -- user and machine
    everything    Bool, -- whether all records were read, and not only those since an earlier check
    keys_named    Bool, -- whether it was said which keys are those of services
    places        UInt32, -- how many copies of the log it was compared with
    records       UInt64, -- sealed ones
    manifests     UInt64,
    adopted       UInt64, -- of the records: sealed after they were stored
    removed       UInt64, -- of the records: removed by a term
    not_read      UInt64, -- of the records: verified by an earlier check
    not_sealed    UInt64, -- records that no manifest lists
    log_size      UInt64,
    findings      Map(LowCardinality(String), UInt64) -- how many of each kind; `not sealed` is no sign of tampering
)
ENGINE = MergeTree
ORDER BY at;
