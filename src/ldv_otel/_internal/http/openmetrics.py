"""Figures as OpenMetrics text: the one writer of that format, with the exact rules of the parts that it writes.

Written here and not with `prometheus_client`: that keeps a registry for the whole process, which is the application's
too, and would be a dependency of every server for what are these lines. The tests read every text with its parser.

Source: OpenMetrics 1.0, https://prometheus.io/docs/specs/om/open_metrics_spec/.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

CONTENT_TYPE: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
#: Upper ends of a histogram's buckets, in seconds.
BUCKETS_SECONDS: Final = (0.005, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0)
#: Series of one family, so that memory has a bound whatever comes in; what is beyond goes under one label.
_MAX_SERIES: Final = 1_000

#: Whole numbers up to here are written as such; every float below it has its own.
_WHOLE: Final = 1e15

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class MetricFamily:
    """Figures of one name.

    Attributes:
        name: Without `_total`, which counters get.
        kind: What they are.
        meaning: One sentence, for people.
        values: The figure by its labels; no labels for a figure that is alone.
    """

    name: str
    kind: Literal["counter", "gauge", "info"]
    meaning: str
    values: Mapping[Labels, float] = field(default_factory=dict)

    def lines(self) -> Iterable[str]:
        """Give the lines of the family."""
        yield from _head(self.name, self.kind, self.meaning)
        suffix = {"counter": "_total", "gauge": "", "info": "_info"}[self.kind]
        for labels, value in sorted(self.values.items()):
            yield f"{self.name}{suffix}{_braces(labels)} {_number(value)}"


class Histogram:
    """How long something took, by labels.

    Used by one thread: that of the event loop.
    """

    def __init__(self, name: str, meaning: str, *, buckets: tuple[float, ...] = BUCKETS_SECONDS) -> None:
        self._name = name
        self._meaning = meaning
        self._buckets = buckets
        #: Counts of each bucket by itself, with the one above all ends last, and the sum.
        self._series: dict[Labels, tuple[list[int], list[float]]] = {}

    def observe(self, labels: Labels, seconds: float) -> None:
        """Count one duration."""
        if labels not in self._series and len(self._series) >= _MAX_SERIES:
            labels = tuple((name, "other") for name, _ in labels)
        counts, total = self._series.setdefault(labels, ([0] * (len(self._buckets) + 1), [0.0]))
        counts[bisect_left(self._buckets, seconds)] += 1
        total[0] += seconds

    def lines(self) -> Iterable[str]:
        """Give the lines of the family."""
        yield from _head(self._name, "histogram", self._meaning)
        for labels, (counts, total) in sorted(self._series.items()):
            below = 0
            for end, count in zip((*self._buckets, math.inf), counts, strict=True):
                below += count
                yield f"{self._name}_bucket{_braces((*labels, ('le', _number(end))))} {below}"
            yield f"{self._name}_count{_braces(labels)} {below}"
            yield f"{self._name}_sum{_braces(labels)} {_number(total[0])}"


class Counts:
    """A counter for each set of labels; see `Histogram`."""

    def __init__(self, name: str, meaning: str) -> None:
        self._name = name
        self._meaning = meaning
        self._values: dict[Labels, float] = {}

    def add(self, labels: Labels, amount: float = 1) -> None:
        """Count some more."""
        if labels not in self._values and len(self._values) >= _MAX_SERIES:
            labels = tuple((name, "other") for name, _ in labels)
        self._values[labels] = self._values.get(labels, 0) + amount

    def family(self) -> MetricFamily:
        """Return the counts as they are now."""
        return MetricFamily(self._name, "counter", self._meaning, dict(self._values))

    def lines(self) -> Iterable[str]:
        """Give the lines of the family."""
        return self.family().lines()


def openmetrics(families: Iterable[MetricFamily | Histogram | Counts]) -> bytes:
    """Return the text of all families, to its last line."""
    lines = [line for family in families for line in family.lines()]
    return "\n".join((*lines, "# EOF", "")).encode()


def _head(name: str, kind: str, meaning: str) -> Iterable[str]:
    yield f"# TYPE {name} {kind}"
    yield f"# HELP {name} {_escaped(meaning)}"


def _braces(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}" if labels else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < _WHOLE else repr(float(value))
