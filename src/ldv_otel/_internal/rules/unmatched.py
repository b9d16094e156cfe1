"""Rules that took no span since the start of the process, and why: the nearest span, and what it lacked.

What is kept and shown comes from the rules, from OpenTelemetry's own vocabulary, or is a word of few different values:
never the text of a span that could name a person. Memory and time are bounded: so many kinds of spans are looked into,
and what has matched is looked at no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ldv_otel._internal.rules.misses import Miss, UnmatchedRule
from ldv_otel._internal.rules.rules import Rules

_SHAPES: Final = 512


class UnmatchedRules:
    """Watches which rules take spans. Threads may report at the same time: each line below is one step for Python."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._waiting = dict(enumerate(rules.rules))
        self._numbers = {id(rule): number for number, rule in enumerate(rules.rules, 1)}
        self._shapes: set[tuple[object, ...]] = set()
        self._nearest: dict[int, Miss] = {}

    def note(self, rule: object, name: str, kind: str, scope: str, attributes: Mapping[str, object]) -> None:
        """Take notice of an ended span.

        Args:
            rule: The rule that took it; None for none.
        """
        if not self._waiting:
            return
        number = self._numbers.get(id(rule), 0)
        self._waiting.pop(number - 1, None)
        if len(self._shapes) >= _SHAPES or not self._waiting:
            return
        route = attributes.get("http.route")
        shape = (number, kind, scope, route if isinstance(route, str) else "", *attributes)
        if shape in self._shapes:
            return
        self._shapes.add(shape)
        for index in tuple(self._waiting):
            miss = self._rules.miss(index, name, kind, scope, attributes)
            if miss is None:
                miss = Miss(
                    1_000, f"is taken by rule {number}, which comes first." if number else "is as it should be."
                )
            nearest = self._nearest.get(index)
            if nearest is None or miss.near > nearest.near:
                self._nearest[index] = miss

    def report(self) -> tuple[UnmatchedRule, ...]:
        """Return the rules that took no span so far, in the order of the file."""
        reports = []
        for index, rule in sorted(self._waiting.copy().items()):
            miss = self._nearest.get(index)
            reason = f"The nearest span {miss.reason}" if miss is not None else "No span ended that no other rule took."
            reports.append(UnmatchedRule(index + 1, rule.rule, reason))
        return tuple(reports)
