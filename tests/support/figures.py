"""OpenMetrics text, read by the parser of Prometheus' own client, which refuses what the format does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client.openmetrics import parser


def read_openmetrics(text: str) -> Iterator[Any]:
    """The families of a text; an error where it is not exactly of the format."""
    read: Any = parser.text_string_to_metric_families
    yield from read(text)
