"""Mapping rules, compiled: which spans of existing instrumentation are Acties, and what is logged of them.

A span is matched as it is at that moment: its record by what it is at its end, when a framework has set `http.route`
too.

Finding the rule for a span costs the look-up of (name, kind, scope), and one for each attribute by which the remaining
rules differ, however many rules there are. What is remembered for that is bounded, because callers choose some names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from ldv_otel._internal.config.yaml_file import read_yaml
from ldv_otel._internal.rules.conventions import Side, Source, names_of_attribute, source_of
from ldv_otel._internal.rules.misses import Miss, likeness, names_of
from ldv_otel._internal.rules.patterns import Matcher, compiled
from ldv_otel._internal.rules.rule_file import Rule, RuleFile

#: These have few different values, none of a person: what matches them can be remembered. The best comes first.
_FEW_VALUES: Final = (
    "http.route",
    "rpc.method",
    "rpc.service",
    "messaging.destination.name",
    "messaging.operation.name",
    "code.function.name",
    "http.request.method",
)
#: What instrumentations add when a span was looked at already: how it went. No other attribute is derived from these.
_OUTCOMES: Final = frozenset(
    {
        "http.response.status_code",
        "http.status_code",
        "rpc.response.status_code",
        "rpc.grpc.status_code",
        "error.type",
    }
)
_OUTBOUND: Final = frozenset({"client", "producer"})
_REMEMBERED: Final = 4_096
_REMEMBERED_CHARACTERS: Final = 256
#: How much of a name or route a message shows, and what no message shows: a route is a template, but not everybody's.
_SHOWN: Final = 120
_DIGITS: Final = re.compile(r"\d{4}")
#: How many texts are compared to see which span is the nearest.
_COMPARED: Final = 16


class Rules:
    """Rules of a file, in its order. Threads may ask at the same time.

    They share what is remembered without a lock: two of them may work out the same answer, and both are right.

    Attributes:
        ignored: Names of attributes that come late and that no rule reads: with them alone, each answer stays the same.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        #: For each side, because a peer is the server to a client's span, and the client to all others.
        self._compiled: dict[Side, tuple[_CompiledRule, ...]] = {
            side: tuple(_CompiledRule(index, rule, side) for index, rule in enumerate(self.rules))
            for side in ("inbound", "outbound")
        }
        self.ignored = (
            _OUTCOMES
            - self._names_of_conditions()
            - {name for rule in self.rules for source in rule.subjects for name in names_of_attribute(source.attribute)}
        )
        self._by_scope: dict[tuple[str, str | None], _RulesOfScope] = {}
        self._by_name: dict[tuple[str, str, str | None], _RulesOfName] = {}

    def _names_of_conditions(self) -> set[str]:
        return {
            name
            for compiled_rules in self._compiled.values()
            for rule in compiled_rules
            for condition in rule.conditions
            for name in condition.source.names
        }

    def find(self, name: str, kind: str, scope: str | None, attributes: Mapping[str, object]) -> Rule | None:
        """Return the first rule that takes a span like this.

        Args:
            kind: In small letters: `server`.
            scope: Name of the instrumentation scope; None when that is not known, and any will do.
        """
        rules = self._by_name.get((name, kind, scope))
        if rules is None:
            rules = self._of_name(name, kind, scope)
        return rules.find(attributes) if rules.possible else None

    def may_match(self, name: str, kind: str) -> bool:
        """Say whether a span that starts like this could be taken once its attributes are there."""
        rules = self._by_name.get((name, kind, None)) or self._of_name(name, kind, None)
        return rules.possible

    def miss(self, index: int, name: str, kind: str, scope: str, attributes: Mapping[str, object]) -> Miss | None:
        """Return why one rule does not take a span; None if it does. No text that could name a person is in it.

        Args:
            index: The rule's place in the file, from 0.
        """
        return self._compiled[_side(kind)][index].miss(name, kind, scope, attributes)

    def _of_name(self, name: str, kind: str, scope: str | None) -> _RulesOfName:
        of_scope = self._by_scope.get((kind, scope))
        if of_scope is None:
            of_scope = _RulesOfScope([rule for rule in self._compiled[_side(kind)] if rule.allows_scope(kind, scope)])
            if len(self._by_scope) < _REMEMBERED:
                self._by_scope[kind, scope] = of_scope
        of_name = of_scope.of_name(name)
        if len(name) <= _REMEMBERED_CHARACTERS:
            if len(self._by_name) >= _REMEMBERED:
                # Names that hold a path of each caller's choosing: forgetting them all costs less than an order of use.
                self._by_name.clear()
            self._by_name[name, kind, scope] = of_name
        return of_name


def read_rules(path: Path) -> Rules:
    """Return the rules of a file.

    Raises:
        ConfigurationError: It cannot be read, or a rule in it cannot be used; the message names line and field.
    """
    return Rules(read_yaml(path, "LDV_RULES", RuleFile).rules)


class _Condition(msgspec.Struct, frozen=True):
    """The pattern of one attribute, under its names of today and before."""

    source: Source
    matcher: Matcher

    def holds(self, attributes: Mapping[str, object]) -> bool:
        # Loops: this is asked for each span that may be an Actie, and a generator costs more than what it does here.
        for text in self.source.texts(attributes):  # noqa: SIM110
            if self.matcher.matches(text):
                return True
        return False

    def reason(self, attributes: Mapping[str, object]) -> str:
        """Return what a span has in place of this, without a value that could name a person."""
        texts = self.source.texts(attributes)
        if not texts:
            return f"has no `{self.source.names[0]}`; it has {names_of(attributes)}."
        if self.source.meaning in _FEW_VALUES and all(
            len(text) <= _SHOWN and not _DIGITS.search(text) for text in texts
        ):
            return f"has `{self.source.names[0]}` {', '.join(map(repr, texts))}, and the rule wants another."
        return f"has another `{self.source.names[0]}` than the rule wants."

    def nearness(self, attributes: Mapping[str, object]) -> float:
        """Return how like what is wanted a span has this."""
        wanted = [text[:_SHOWN] for text in islice(self.matcher.exact or (), _COMPARED)]
        texts = [text[:_SHOWN] for text in islice(self.source.texts(attributes), _COMPARED)]
        return max((likeness(text, other) for text in texts for other in wanted), default=0.0)


class _CompiledRule:
    """A rule with its patterns compiled."""

    def __init__(self, index: int, rule: Rule, side: Side) -> None:
        match = rule.match
        self.index = index
        self.rule = rule
        self.name = compiled(match.name) if match.name is not None else None
        self._kinds = frozenset([match.kind] if isinstance(match.kind, str) else match.kind or ())
        self._scope = compiled(match.scope) if match.scope is not None else None
        conditions = [
            _Condition(source_of(name, side), compiled(pattern)) for name, pattern in match.attributes.items()
        ]
        self.conditions = tuple(sorted(conditions, key=_rank))
        self._further = self.conditions[1:]

    def allows_scope(self, kind: str, scope: str | None) -> bool:
        """Say whether kind and scope are as they have to be; no scope means that it is not known."""
        if self._kinds and kind not in self._kinds:
            return False
        return self._scope is None or scope is None or self._scope.matches(scope)

    def takes(self, attributes: Mapping[str, object]) -> bool:
        """Say whether the attributes are as they have to be, of which the first condition is known to hold."""
        for condition in self._further:  # noqa: SIM110  (as above)
            if not condition.holds(attributes):
                return False
        return True

    def miss(self, name: str, kind: str, scope: str, attributes: Mapping[str, object]) -> Miss | None:
        """Return the first condition that a span does not fulfil, in the order: kind, scope, attributes, name."""
        held = 0
        for condition, holds, reason, like in self._judged(name, kind, scope, attributes):
            if condition and not holds:
                return Miss(held, reason, like)
            held += condition
        return None

    def _judged(
        self, name: str, kind: str, scope: str, attributes: Mapping[str, object]
    ) -> Iterator[tuple[bool, bool, str, float]]:
        """Give for each condition whether the rule has it, whether it holds, and what to say if it does not.

        And how like what is wanted the span has it.
        """
        scope_matches = self._scope is None or self._scope.matches(scope)
        wanted = f"is of kind `{kind}`; the rule wants {_either(self._kinds)}."
        yield bool(self._kinds), kind in self._kinds, wanted, 0.0
        yield (
            self._scope is not None,
            scope_matches,
            f"is of the instrumentation `{scope[:_SHOWN]}`; the rule wants another.",
            0.0,
        )
        for condition in self.conditions:
            reason = f"({kind}, of `{scope[:_SHOWN]}`) {condition.reason(attributes)}"
            yield True, condition.holds(attributes), reason, condition.nearness(attributes)
        name_matches = self.name is None or self.name.matches(name)
        yield (
            self.name is not None,
            name_matches,
            f"({kind}, of `{scope[:_SHOWN]}`) has another name than the rule wants.",
            0.0,
        )


def _either(words: Iterable[str]) -> str:
    return " or ".join(f"`{word}`" for word in sorted(words))


class _RulesByAttribute:
    """The rules whose first condition is on the same attribute."""

    def __init__(self, source: Source, rules: Sequence[_CompiledRule]) -> None:
        self.source = source
        self._exact: dict[str, Sequence[_CompiledRule]] = {}
        self._tested: list[_CompiledRule] = []
        self._few_values = source.meaning in _FEW_VALUES
        self._remembered: dict[str, Sequence[_CompiledRule]] = {}
        for rule in rules:
            exact = rule.conditions[0].matcher.exact
            if exact is None:
                self._tested.append(rule)
            for text in exact or ():
                self._exact[text] = [*self._exact.get(text, ()), rule]

    def rules(self, text: str) -> Sequence[_CompiledRule]:
        """Return the rules whose first condition this value fulfils."""
        remembered = self._remembered.get(text)
        if remembered is not None:
            return remembered
        fulfilled = self._exact.get(text, ())
        if self._tested:
            fulfilled = [*fulfilled, *(rule for rule in self._tested if rule.conditions[0].matcher.matches(text))]
            if self._few_values and len(text) <= _REMEMBERED_CHARACTERS:
                if len(self._remembered) >= _REMEMBERED:
                    self._remembered.clear()
                self._remembered[text] = fulfilled
        return fulfilled


class _RulesOfName:
    """The rules that are left for one name, kind and scope."""

    def __init__(self, rules: Sequence[_CompiledRule]) -> None:
        self.possible = bool(rules)
        self._always = [rule for rule in rules if not rule.conditions][:1]
        by_source: dict[Source, list[_CompiledRule]] = {}
        for rule in rules:
            if rule.conditions:
                by_source.setdefault(rule.conditions[0].source, []).append(rule)
        self._by_attribute = [_RulesByAttribute(source, alike) for source, alike in by_source.items()]

    def find(self, attributes: Mapping[str, object]) -> Rule | None:
        """Return the first rule of the file that takes these attributes."""
        left = list(self._always)
        for by_attribute in self._by_attribute:
            for text in by_attribute.source.texts(attributes):
                left.extend(by_attribute.rules(text))
        if len(left) > 1:
            left.sort(key=_index)
        for rule in left:
            if rule.takes(attributes):
                return rule.rule
        return None


class _RulesOfScope:
    """The rules that are left for one kind and scope."""

    def __init__(self, rules: Sequence[_CompiledRule]) -> None:
        self._rules = rules
        self._named = [(rule, rule.name.matches) for rule in rules if rule.name is not None]
        self._by_excluded: dict[tuple[int, ...], _RulesOfName] = {}

    def of_name(self, name: str) -> _RulesOfName:
        """Return the rules that are left for a name; names that exclude the same rules share them."""
        excluded = tuple([rule.index for rule, matches in self._named if not matches(name)])
        rules = self._by_excluded.get(excluded)
        if rules is None:
            rules = _RulesOfName([rule for rule in self._rules if rule.index not in excluded])
            if len(self._by_excluded) < _REMEMBERED:
                self._by_excluded[excluded] = rules
        return rules


def _side(kind: str) -> Side:
    return "outbound" if kind in _OUTBOUND else "inbound"


def _index(rule: _CompiledRule) -> int:
    return rule.index


def _rank(condition: _Condition) -> tuple[bool, int]:
    """Order conditions by how few spans fulfil them, and how cheaply that is known."""
    name = condition.source.meaning
    position = _FEW_VALUES.index(name) if name in _FEW_VALUES else len(_FEW_VALUES)
    return condition.matcher.exact is None, position
