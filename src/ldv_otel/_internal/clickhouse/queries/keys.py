"""Under which keys people's pseudonyms were made: who asks with fewer keys than that does not find everybody."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.sql_text import Sql

#: One narrow column of the whole table. A row that was stored twice counts twice.
_COUNT: Final = Sql("""
SELECT key_id, count() FROM logregel
WHERE key_id != '' AND NOT has({keys:Array(String)}, key_id)
GROUP BY key_id ORDER BY count() DESC, key_id LIMIT 1000
""")
#: Ids that are named in a sentence, and how much of one: a Collector stores the ids that its senders give.
_NAMED: Final = 5
_ID_CHARACTERS: Final = 64


def records_by_key(client: LogboekClient) -> dict[str, int]:
    """Return how many Logregels about somebody are under each key, the most first."""
    return _counted(client, ())


def records_under_other_keys(client: LogboekClient, keys: Collection[str]) -> dict[str, int]:
    """Return how many Logregels about somebody are under keys that are not among these, the most first."""
    return _counted(client, keys)


def _counted(client: LogboekClient, keys: Collection[str]) -> dict[str, int]:
    return {str(key_id): int(count) for key_id, count in client.rows(_COUNT, {"keys": list(keys)})}


def sentence_about_keys(missing: Mapping[str, int]) -> str:
    """Return what a reader has to know of keys that are missing here; empty text when none are."""
    if not missing:
        return ""
    named = [f"{count} under {key_id[:_ID_CHARACTERS]!r}" for key_id, count in list(missing.items())[:_NAMED]]
    more = len(missing) - len(named)
    if more:
        named.append(f"and {more} more")
    return (
        f"{sum(missing.values())} Logregels are about people who cannot be found here, because the keys that made "
        f"their pseudonyms are not in LDV_KEYS: {', '.join(named)}. Let LDV_KEYS name a key file that has them."
    )
