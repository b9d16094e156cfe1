-- What readers need of the Register.
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

-- Not for users: its last entries for the queries, as one row of arrays, which costs a reader a third of what they would.
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

INSERT INTO ldv_term (activities, months, days, confidential, terms, public_terms, applied)
SELECT [''], [0], [0], [false], [120000000], [120000000], toDateTime64(0, 6, 'UTC');
