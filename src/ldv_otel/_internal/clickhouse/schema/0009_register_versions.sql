-- An activity has versions by time under one URI, terms may be in words, and terms count from the end of an Actie.
--
-- Rows of before explain records of any time, and the last of an activity counts, as it did: so old answers stay.
ALTER TABLE ldv_register ADD COLUMN IF NOT EXISTS retention_text String; -- a term in words; nothing goes by itself then

-- From when on the activity is like this, as its entry says; 1970 where it says nothing.
ALTER TABLE ldv_register ADD COLUMN IF NOT EXISTS valid_from DateTime64(3, 'UTC');

-- From when on records are explained by this row: `valid_from`, and for an entry that was amended the moment of that.
ALTER TABLE ldv_register ADD COLUMN IF NOT EXISTS explains_from DateTime64(3, 'UTC');

-- Activities with more than one version are here once for each, with the moment in ms from which it explains records; 0
-- for the first. In `activities` such a version is called `activity`, a line end, and that moment.
ALTER TABLE ldv_term ADD COLUMN IF NOT EXISTS versions Array(String);

ALTER TABLE ldv_term ADD COLUMN IF NOT EXISTS version_from Array(Int64);

-- Which of `activities` have a term in words.
ALTER TABLE ldv_term ADD COLUMN IF NOT EXISTS in_words Array(Bool);

-- Of a removal from an activity with more than one version: the records of which version, by their start.
ALTER TABLE ldv_removal ADD COLUMN IF NOT EXISTS explains_from DateTime64(3, 'UTC');

ALTER TABLE ldv_removal ADD COLUMN IF NOT EXISTS explains_until DateTime64(3, 'UTC');

-- Until when records are kept whose activity has a term in words: a row for a trace, or for one record of it. The last
-- counts.
CREATE TABLE IF NOT EXISTS ldv_term_date
(
    trace_id    FixedString(16),
    span_id     FixedString(8), -- zeros: every record of the trace
    kept_until  DateTime64(3, 'UTC'),
    applied     DateTime64(6, 'UTC') DEFAULT now64(6),
    applied_by  String DEFAULT currentUser()
)
ENGINE = MergeTree
ORDER BY (trace_id, span_id, applied);
