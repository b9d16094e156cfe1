"""Queries over manifests and the rows that they list."""

from __future__ import annotations

from typing import Final

from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.clickhouse.verification.record_sql import LEAF, NUMBER, RECORD_BYTES

#: A manifest with its salts, as one value: what tells two that are stored apart.
KEY: Final = Sql("hex(SHA256(concat(manifest, manifest_salts)))")

#: Manifests of batches of which records were removed by a term, each as it was copied last.
_KEPT: Final = Sql("""
SELECT manifest, argMax(ldv_manifest.manifest_salts, kept) AS manifest_salts, min(ldv_manifest.start_time) AS start_time
FROM ldv_manifest GROUP BY manifest
""")
#: Where manifests stand: beside a record, or by themselves. A copy counts, as it has only the salts that are left.
_STORED: Final = Sql(
    """
SELECT manifest, manifest_salts, start_time FROM logregel
WHERE manifest != '' AND manifest NOT IN (SELECT manifest FROM ldv_manifest)
UNION ALL
$kept
""",
    kept=_KEPT,
)

#: Everything that is stored as a manifest, whatever is in it, with the start of the row in which it stands.
MANIFESTS: Final = Sql(
    """
SELECT DISTINCT manifest, manifest_salts, toUnixTimestamp64Milli(start_time) AS host_ms FROM ($stored)
WHERE (empty({hours:Array(UInt32)}) OR toRelativeHourNum(start_time) IN {hours:Array(UInt32)})
    AND ({since:Int64} < 0 OR toInt64OrZero(extract(manifest, '\\nstarts [0-9]+ ([0-9]+)\\n')) >= {since:Int64}
    OR host_ms >= {since:Int64})
    AND (empty({writers:Array(String)})
        OR has({writers:Array(String)}, decodeURLComponent(extract(manifest, '\\nwriter ([^\\n]*)\\n'))))
ORDER BY host_ms
""",
    stored=_STORED,
)

#: What names each manifest in the log, and its hash as an entry of it; whoever signed it.
HASHES: Final = Sql(
    """
SELECT extract(manifest, '\\nsealer ([0-9a-f]{16}) ') AS sealer,
    toUInt64OrZero(extract(manifest, '\\nsealer [0-9a-f]{16} ([0-9]+) ')) AS number,
    hex(SHA256(concat(unhex('00'), substring(manifest, 1, position(manifest, '\\n\\n')))))
FROM (SELECT DISTINCT manifest FROM ($stored))
""",
    stored=_STORED,
)

#: What manifests in rows of a period list: a row for each range of sequence numbers.
_LISTED: Final = Sql(
    """
SELECT key, manifest_salts AS salts,
    decodeURLComponent(extract(manifest, '\\nwriter ([^\\n]*)\\n')) AS writer,
    arrayMap(name -> decodeURLComponent(name), extractAll(manifest, '\\nactivity [0-9]+ ([^\\n]*)')) AS activities,
    splitByChar('-', arrayJoin(splitByChar(' ', extract(manifest, '\\nseqs ([^\\n]*)\\n')))) AS ends,
    toUInt64OrZero(ends[1]) AS first_seq, toUInt64OrZero(ends[2]) AS last_seq,
    splitByChar(' ', extract(manifest, '\\nstarts ([^\\n]*)\\n')) AS starts,
    toInt64OrZero(starts[1]) AS first_ms, toInt64OrZero(starts[2]) AS last_ms,
    position(manifest, '\\nadopted\\n\\n') > 0 AS adopted
FROM
(
    SELECT DISTINCT $key AS key, manifest, manifest_salts FROM ($stored)
    WHERE start_time >= fromUnixTimestamp64Milli({from:Int64}) AND start_time <= fromUnixTimestamp64Milli({to:Int64})
        AND ({key:String} = '' OR key = {key:String})
)
""",
    key=KEY,
    stored=_STORED,
)


def leaves_of(goes: Sql) -> Sql:
    """Return the query for the leaves of the rows that manifests in rows of a period list.

    Args:
        goes: A condition on rows, whose outcome comes with each.
    """
    return Sql(
        """
SELECT key, toString(processing_activity_id) AS activity, number AS leaf_seq, $leaf AS leaf, start_time, goes
FROM
(
    SELECT *, substring(salts, (indexOf(activities, toString(processing_activity_id)) - 1) * 16 + 1, 16) AS salt,
        ($goes) AS goes
    FROM
    (
        SELECT *, $number AS number FROM logregel
        WHERE start_time >= fromUnixTimestamp64Milli({first:Int64})
            AND start_time <= fromUnixTimestamp64Milli({last:Int64})
    ) AS l
    ASOF INNER JOIN ($listed) AS m ON toString(l.writer_id) = m.writer AND l.number >= m.first_seq
    WHERE l.number <= m.last_seq
)
""",
        listed=_LISTED,
        number=NUMBER,
        leaf=LEAF,
        goes=goes,
    )


_LEAVES: Final = leaves_of(Sql("0"))

#: For each manifest in rows of a period the root over the rows that it lists; the same row stored twice counts once.
#: The tree is made level by level: a node without a neighbour goes up as it is.
ROOTS: Final = Sql(
    """
SELECT key, length(leaves), hex(arrayFold(
    (level, step) -> arrayMap(
        at -> if(2 * at <= length(level),
            SHA256(concat(unhex('01'), level[2 * at - 1], level[2 * at])),
            level[2 * at - 1]),
        range(1, intDiv(length(level) + 1, 2) + 1)),
    range(if(length(leaves) < 2, 0, toUInt32(ceil(log2(length(leaves))) + 1))),
    leaves)[1])
FROM
(
    SELECT key, arrayMap(row -> row.3, arrayCompact(arraySort(groupArray((activity, leaf_seq, leaf))))) AS leaves
    FROM ($leaves)
    GROUP BY key
)
""",
    leaves=_LEAVES,
)

#: The leaves that are there of batches of which records were removed, in the order of their trees.
LEAVES_OF_KEPT: Final = Sql(
    """
SELECT key, arrayMap(row -> hex(row.3), arrayCompact(arraySort(groupArray((activity, leaf_seq, leaf)))))
FROM ($leaves)
WHERE key IN (SELECT $key FROM ($kept))
GROUP BY key
""",
    leaves=_LEAVES,
    key=KEY,
    kept=_KEPT,
)

#: The rows that one manifest lists, one by one.
ROWS_OF_MANIFEST: Final = Sql(
    """
SELECT DISTINCT activity, leaf_seq, hex(leaf), toUnixTimestamp64Milli(start_time) FROM ($leaves)
ORDER BY activity, leaf_seq
""",
    leaves=_LEAVES,
)

_RANGES: Final = Sql(
    """
SELECT writer, first_seq, last_seq, first_ms, last_ms, adopted,
    max(last_seq) OVER (PARTITION BY writer ORDER BY first_seq, last_seq) AS reach
FROM ($listed) WHERE NOT has({refused:Array(String)}, key)
""",
    listed=_LISTED,
)

#: Rows that no manifest lists. `between` says whether they lie between numbers that their writer itself sealed. What
#: comes before may be of a time without a key, what comes after of a process that went on without one; and what a
#: Collector brings comes late and in any order.
_UNLISTED_ROWS: Final = Sql(
    """
SELECT toString(l.writer_id) AS writer, l.number AS number, l.start_time AS start_time, l.activity AS activity,
    l.content AS content, l.number > ends.begin AND l.number < ends.beyond AND l.writer_id != 'collector' AS between
FROM
(
    SELECT writer_id, $number AS number, start_time, toString(processing_activity_id) AS activity, $bytes AS content
    FROM logregel
    WHERE start_time >= fromUnixTimestamp64Milli({since:Int64}) AND start_time < fromUnixTimestamp64Milli({until:Int64})
) AS l
ASOF LEFT JOIN listed AS m ON toString(l.writer_id) = m.writer AND l.number >= m.first_seq
LEFT ANY JOIN
    (SELECT writer AS name, min(first_seq) AS begin, max(reach) + 1 AS beyond FROM listed
        WHERE NOT adopted GROUP BY writer) AS ends
    ON toString(l.writer_id) = ends.name
WHERE m.writer = '' OR l.number > m.reach
""",
    number=NUMBER,
    bytes=RECORD_BYTES,
)

#: Rows that no manifest lists, counted by writer.
UNLISTED: Final = Sql(
    """
WITH listed AS ($ranges)
SELECT writer, between, count(), arraySort(groupUniqArray(20)(number)), toUnixTimestamp64Milli(min(start_time)),
    toUnixTimestamp64Milli(max(start_time))
FROM ($rows) GROUP BY writer, between ORDER BY writer, between
""",
    ranges=_RANGES,
    rows=_UNLISTED_ROWS,
)

#: Rows that no manifest lists and that may be adopted, counted by the hour in which they start.
ADOPTABLE_HOURS: Final = Sql(
    """
WITH listed AS ($ranges)
SELECT toUnixTimestamp64Milli(toDateTime64(toStartOfHour(start_time), 3)) AS hour,
    countIf(NOT between), countIf(between)
FROM ($rows) GROUP BY hour ORDER BY hour
""",
    ranges=_RANGES,
    rows=_UNLISTED_ROWS,
)

#: These rows, with their bytes, from after a number of a writer on; those under one number come together.
ADOPTABLE: Final = Sql(
    """
WITH listed AS ($ranges)
SELECT DISTINCT writer, number, activity, hex(content), toUnixTimestamp64Milli(start_time) AS start_ms
FROM ($rows) WHERE NOT between AND (writer, number) > ({writer:String}, {number:UInt64})
ORDER BY writer, number LIMIT {most:UInt32} WITH TIES
""",
    ranges=_RANGES,
    rows=_UNLISTED_ROWS,
)

#: Rows under a number that some manifest may list, which the nearest manifest does not, or not for a start like theirs.
DOUBTFUL: Final = Sql(
    """
WITH listed AS ($ranges)
SELECT DISTINCT toString(l.writer_id) AS writer_id, l.number, toUnixTimestamp64Milli(l.start_time) AS start_ms
FROM
(
    SELECT writer_id, $number AS number, start_time FROM logregel
    WHERE start_time >= fromUnixTimestamp64Milli({since:Int64})
) AS l
ASOF INNER JOIN listed AS m ON toString(l.writer_id) = m.writer AND l.number >= m.first_seq
WHERE l.number <= m.reach AND (l.number > m.last_seq OR start_ms < m.first_ms OR start_ms > m.last_ms)
ORDER BY writer_id, number, start_ms LIMIT {most:UInt32}
""",
    ranges=_RANGES,
    number=NUMBER,
)

#: What removals by a term left behind.
REMOVAL_NOTES: Final = Sql("SELECT note FROM ldv_removal_note ORDER BY at")
