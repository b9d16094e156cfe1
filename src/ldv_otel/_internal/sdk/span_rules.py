"""Mapping rules on spans of the SDK: which rule takes a span, and what the rule adds to its record."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.privacy.pseudonyms import DataSubject
from ldv_otel._internal.record.actie import activity_of
from ldv_otel._internal.record.cut_values import may_be_cut, of_nobody
from ldv_otel._internal.record.span_facts import SpanFacts
from ldv_otel.attributes import DATA_SUBJECT_ID, NEXT_LOGBOOK_ID, NEXT_LOGBOOK_NAMES, PROCESSING_ACTIVITY_ID

if TYPE_CHECKING:
    from ldv_otel._internal.rules.misses import Miss, UnmatchedRule
    from ldv_otel._internal.rules.rule_file import Rule
    from ldv_otel._internal.rules.rules import Rules
    from ldv_otel._internal.rules.unmatched import UnmatchedRules

_KINDS: Final = {kind: kind.name.lower() for kind in SpanKind}


class SpanSnapshot(msgspec.Struct, frozen=True):
    """A span at one moment: running spans change, and so may the rule that takes them.

    Attributes:
        attributes: A copy of the span's attributes.
        length_limit: The length to which longer values of them were cut; None for no limit.
        rule: The mapping rule that takes the span; None for a span of `processing`, which names its own activity.
        identifiers: The identifiers that this rule finds in the span, with their types.
    """

    name: str
    attributes: Mapping[str, object]
    length_limit: int | None
    rule: Rule | None
    identifiers: Sequence[tuple[object, str]]


class SpanMapper:
    """Finds the mapping rule for a span, and adds what the rule says to the facts of the span.

    Args:
        rules: None when there are none.
        pseudonymise: From identifier and type to a data subject.

    Attributes:
        has_rules: Whether a rule may take a span; without any, only its own attributes make it an Actie.
        count: How many rules there are.
    """

    def __init__(self, rules: Rules | None, pseudonymise: Callable[[object, object], DataSubject]) -> None:
        self._rules = rules
        self.pseudonymise = pseudonymise
        self.has_rules = rules is not None
        self.count = len(rules.rules) if rules is not None else 0
        self._ignored = rules.ignored if rules is not None else frozenset()
        self._watched: UnmatchedRules | None = None
        if rules is not None:
            from ldv_otel._internal.rules.unmatched import UnmatchedRules  # services without rules need not pay for it

            self._watched = UnmatchedRules(rules)

    def for_keys(self, pseudonymise: Callable[[object, object], DataSubject]) -> SpanMapper:
        """Return one with the same rules and the same notice of them, and other keys."""
        other = copy.copy(self)
        other.pseudonymise = pseudonymise
        return other

    def rule_for(self, span: ReadableSpan, attributes: Mapping[str, object]) -> Rule | None:
        """Return the first rule that takes the span as it is now.

        Args:
            attributes: The span's, from `_private.attributes`.
        """
        if self._rules is None:
            return None
        scope = span.instrumentation_scope
        return self._rules.find(span.name, _KINDS[span.kind], scope.name if scope is not None else "", attributes)

    def same_rule(self, before: Mapping[str, object], attributes: Mapping[str, object]) -> bool:
        """Say whether a span that changed like this has the same rule as before, which finds the same in it.

        An instrumentation says at the end how it went, and rules hardly ever ask for that.
        """
        added = attributes.keys() - before.keys()
        if not added or not added <= self._ignored:
            return False
        kept = dict(attributes)
        for name in added:
            del kept[name]
        return kept == before

    def note(self, span: ReadableSpan, snapshot: SpanSnapshot) -> None:
        """Take notice of an ended span, for `unmatched`."""
        if self._watched is not None:
            scope = span.instrumentation_scope
            scope_name = scope.name if scope is not None else ""
            self._watched.note(snapshot.rule, snapshot.name, _KINDS[span.kind], scope_name, snapshot.attributes)

    def unmatched(self) -> tuple[UnmatchedRule, ...]:
        """Return the rules that took no span so far, with the reason."""
        return self._watched.report() if self._watched is not None else ()

    def nearest_miss(self, span: ReadableSpan, attributes: Mapping[str, object]) -> tuple[str, Miss] | None:
        """Return the rule that came nearest to a span which none took, and why it does not; None without rules."""
        if self._rules is None:
            return None
        scope = span.instrumentation_scope
        misses = []
        for index, rule in enumerate(self._rules.rules):
            scope_name = scope.name if scope is not None else ""
            miss = self._rules.miss(index, span.name, _KINDS[span.kind], scope_name, attributes)
            if miss is not None:
                misses.append((f"rule {index + 1}{f' ({rule.rule})' if rule.rule else ''}", miss))
        return max(misses, key=lambda each: each[1].near, default=None)

    def may_match(self, name: str, kind: SpanKind) -> bool:
        """Return whether a rule may take a span with this name and kind, once its attributes are set."""
        return self._rules is not None and self._rules.may_match(name, _KINDS[kind])

    def apply(self, rule: Rule, identifiers: Sequence[tuple[object, str]], facts: SpanFacts) -> None:
        """Add what a rule says to the facts of a span; attributes that the application set have precedence.

        Args:
            identifiers: The identifiers that the rule found in the span.
        """
        attributes = facts.attributes
        added: dict[str, object] = {}
        if rule.activity and not activity_of(attributes):
            added[PROCESSING_ACTIVITY_ID] = rule.activity
        if rule.read_api and not any(attributes.get(name) for name in NEXT_LOGBOOK_NAMES):
            added[NEXT_LOGBOOK_ID] = rule.read_api
        if added:
            facts.attributes = {**attributes, **added}
        if rule.name:
            facts.name = rule.name
        if rule.subjects:
            limit = facts.length_limit
            subjects = [
                of_nobody(type_)
                if limit is not None and may_be_cut(identifier, type_, attributes, limit)
                else self.pseudonymise(identifier, type_)
                for identifier, type_ in identifiers
            ]
            if not subjects and not facts.subjects and DATA_SUBJECT_ID not in attributes:
                # The rule says that the span is about somebody: the record shows that no identifier was in it.
                subjects = [self.pseudonymise("", rule.subjects[0].type)]
            facts.subjects = [*facts.subjects, *subjects]


def mapper_for(settings: Settings, pseudonymise: Callable[[object, object], DataSubject]) -> SpanMapper:
    """Return what applies the rules of `LDV_RULES`.

    Raises:
        ConfigurationError: The file cannot be used; with file, line and path.
    """
    if settings.rules is None:
        return SpanMapper(None, pseudonymise)
    from ldv_otel._internal.rules.rules import read_rules  # services without rules need not pay for them

    return SpanMapper(read_rules(settings.rules), pseudonymise)
