"""The oldest ClickHouse that the tables can be made on, and the check of it when a connection is opened."""

from __future__ import annotations

import re
from typing import Final

from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel.errors import SchemaError

#: `enable_adaptive_codec_selection`, a setting of the table of records, is new in it. The engine itself says so:
#: `SELECT version FROM system.settings_changes ARRAY JOIN changes AS c WHERE c.name = '...'`.
OLDEST: Final = (26, 8)
_VERSION: Final = re.compile(r"(\d{1,5})\.(\d{1,5})")


def check_server_version(address: LogboekAddress, version: str) -> None:
    """Refuse a ClickHouse that is too old; of a version that cannot be read nothing is said.

    Raises:
        SchemaError: It is; the message names both versions.
    """
    match = _VERSION.match(version)
    if match is not None and (int(match[1]), int(match[2])) < OLDEST:
        raise SchemaError(
            f"The Logboek {address} is ClickHouse {match[0]}, and this ldv_otel needs {OLDEST[0]}.{OLDEST[1]} or "
            "newer. Nothing was read or written; records wait meanwhile. Upgrade the server."
        )
