"""The embedded engine as a server: chDB in one process, ClickHouse's HTTP interface for the others."""

from ldv_otel._internal.clickhouse.embedded.server import Listening, serve

__all__ = ["Listening", "serve"]
