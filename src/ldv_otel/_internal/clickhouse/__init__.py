"""The ClickHouse side: the tables, writing batches, and the named questions that all readers ask."""
