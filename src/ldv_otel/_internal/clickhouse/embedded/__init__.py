"""The embedded engine as a server on loopback: chDB in one process, ClickHouse's HTTP interface for the others."""

from ldv_otel._internal.clickhouse.embedded.server import serve

__all__ = ["serve"]
