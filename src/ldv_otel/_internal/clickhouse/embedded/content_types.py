"""The content type of an answer, as ClickHouse has it for each of its output formats."""

from __future__ import annotations

import re
from typing import Final

_PLAIN: Final = "text/plain; charset=UTF-8"
#: The first that fits the name of a format. A family of formats is one rule, so that a format that a later engine adds
#: to it needs none of its own.
_RULES: Final = tuple(
    (re.compile(pattern), content_type)
    for pattern, content_type in (
        (r"CSV\w*WithNames\w*", "text/csv; charset=UTF-8; header=present"),
        (r"CSV\w*", "text/csv; charset=UTF-8; header=absent"),
        (r"(TSV|TabSeparated)\w*|Raw(WithNames(AndTypes)?)?", "text/tab-separated-values; charset=UTF-8"),
        (r"JSON\w*EachRow\w*|JSONLines|NDJSON|JSONL", "application/x-ndjson; charset=UTF-8"),
        (r"JSON\w*", "application/json; charset=UTF-8"),
        (r"GeoJSON", "application/geo+json; charset=UTF-8"),
        (r"PNG", "image/png"),
        (r"XML", "application/xml; charset=UTF-8"),
        (
            r"Native|RowBinary\w*|BSONEachRow|Parquet|Arrow\w*|ORC|Avro\w*|MsgPack|Buffers|Npy|Protobuf\w*|CapnProto",
            "application/octet-stream",
        ),
    )
)


def content_type_of(format_: str) -> str:
    """Return the content type of an output format; plain text for one that is made for people, and for no output."""
    return next((content_type for pattern, content_type in _RULES if pattern.fullmatch(format_)), _PLAIN)
