-- Numbers that are one person's: a corrected BSN, a temporary number. `ldv subject` adds rows; nothing is changed or taken
-- away. Readers follow the links that are in force, see `queries/subject_links.py`; no Logregel is rewritten.
--
-- A link has a row for each pseudonym of its two numbers, so that each leads to it by the primary key, and the same again
-- when it is ended. Under keys that came after a link, its numbers are not known: it has to be made once more.
CREATE TABLE IF NOT EXISTS ldv_subject_link
(
    subject         FixedString(16), -- one of `former` and `present`
    link_id         UUID,
    state           Enum8('linked' = 0, 'ended' = 1), -- an ended link never comes back
    holds_from      DateTime64(3, 'UTC'), -- questions that are asked from then on find both
    former          Array(FixedString(16)), -- pseudonyms of the former number, in the order of `keys`
    present         Array(FixedString(16)),
    former_type     LowCardinality(String),
    present_type    LowCardinality(String),
    keys            Array(String),
    at              DateTime64(6, 'UTC') DEFAULT now64(6),
    linked_by       String DEFAULT currentUser()
)
ENGINE = MergeTree
ORDER BY (subject, link_id, state);
