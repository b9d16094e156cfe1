"""The ClickHouse side: the tables, the sink for batches, and the named queries that all readers use."""
