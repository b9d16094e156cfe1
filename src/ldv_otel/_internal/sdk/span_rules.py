"""Mapping rules applied to spans of the SDK."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.privacy.pseudonyms import DataSubject
from ldv_otel._internal.record.actie import SpanFacts, activity_of
from ldv_otel.attributes import DATA_SUBJECT_ID, EXTERNAL_READ_API_ID, PROCESSING_ACTIVITY_ID

if TYPE_CHECKING:
    from ldv_otel._internal.rules.rule_file import Rule
    from ldv_otel._internal.rules.rules import Rules

_KINDS: Final = {kind: kind.name.lower() for kind in SpanKind}


class SpanMapper:
    """Finds the rule for a span, and adds to what is known of the span what the rule says.

    Args:
        rules: None when there are none.
        pseudonymise: From identifier and type to a data subject.
    """

    def __init__(self, rules: Rules | None, pseudonymise: Callable[[object, object], DataSubject]) -> None:
        self._rules = rules
        self._pseudonymise = pseudonymise

    def rule_for(self, span: ReadableSpan, attributes: Mapping[str, object]) -> Rule | None:
        """Return the first rule that takes the span as it is now.

        Args:
            attributes: The span's, from `live.attributes_of`.
        """
        if self._rules is None:
            return None
        scope = span.instrumentation_scope
        return self._rules.find(span.name, _KINDS[span.kind], scope.name if scope is not None else "", attributes)

    def may_match(self, name: str, kind: SpanKind) -> bool:
        """Say whether a rule may take a span that starts like this, once its attributes are there."""
        return self._rules is not None and self._rules.may_match(name, _KINDS[kind])

    def apply(self, rule: Rule, identifiers: Sequence[tuple[object, str]], facts: SpanFacts) -> None:
        """Add what a rule says to the facts of a span; what the application said itself goes before it.

        Args:
            identifiers: Of its subjects, as the rule found them in the span.
        """
        said = facts.attributes
        added: dict[str, object] = {}
        if rule.activity and not activity_of(said):
            added[PROCESSING_ACTIVITY_ID] = rule.activity
        if rule.read_api and not said.get(EXTERNAL_READ_API_ID):
            added[EXTERNAL_READ_API_ID] = rule.read_api
        if added:
            facts.attributes = {**said, **added}
        if rule.name:
            facts.name = rule.name
        if rule.subjects:
            found = [self._pseudonymise(identifier, type_) for identifier, type_ in identifiers]
            if not found and not facts.subjects and DATA_SUBJECT_ID not in said:
                # The rule says that this is about somebody: the record tells that nobody was found there.
                found = [self._pseudonymise("", rule.subjects[0].type)]
            facts.subjects = [*facts.subjects, *found]


def mapper_for(settings: Settings, pseudonymise: Callable[[object, object], DataSubject]) -> SpanMapper:
    """Return what applies the rules of `LDV_RULES`.

    Raises:
        ConfigurationError: The file cannot be used; with file, line and path.
    """
    if settings.rules is None:
        return SpanMapper(None, pseudonymise)
    from ldv_otel._internal.rules.rules import read_rules  # noqa: PLC0415  (only who has rules pays for them)

    return SpanMapper(read_rules(settings.rules), pseudonymise)
