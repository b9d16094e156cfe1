"""The settings of queries that read records, and what an account does without that may set none (`readonly = 1`)."""

from __future__ import annotations

import re
from typing import Any, Final

from ldv_otel._internal.clickhouse.sql_text import Sql

#: What a query needs whose rows come once and in order. Without the first setting ClickHouse reads on to fill its
#: buffers (ClickHouse#64607), and as it pushes no limit below LIMIT BY (ClickHouse#113110), a page would read the whole
#: period. The second lets each shard of a cluster look into its own projections, where the default refuses.
READ_SETTINGS: Final = Sql("read_in_order_use_buffering = 0, distributed_product_mode = 'local'")

_CLAUSE: Final = re.compile(rf"\bSETTINGS\s+{re.escape(READ_SETTINGS.text)}")
_ONE_OF_THEM: Final = "read_in_order_use_buffering"


def may_set_nothing(server_settings: Any) -> bool:
    """Say whether an account may change no setting of a query, by what the server says of one that anybody may.

    Args:
        server_settings: By name, as the driver read them when it connected.
    """
    return bool(getattr(server_settings.get(_ONE_OF_THEM), "readonly", False))


def without_settings(text: str) -> str:
    """Return a query without our settings: it gives the same rows, and reads more for them.

    A profile of such an account may set them instead; on a cluster it has to set the second.
    """
    return _CLAUSE.sub("", text)
