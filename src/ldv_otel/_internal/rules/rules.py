"""Mapping rules: which spans of existing instrumentation are Acties, and what is logged of them.

    rules:
      - rule: Vergunningen van een inwoner        # what `ldv rules test` calls it
        match:
          kind: server
          attributes: {http.route: "/inwoners/{bsn}/vergunningen", http.request.method: [GET, HEAD]}
        activity: https://register.example/activiteiten/vergunningen-inzien
        name: Vergunningen inzien
        subject: {path: bsn, type: BSN}
        read_api: https://rdw.example/logboek

Everything under `match` has to hold; rules are tried in the order of the file, and the first that matches wins. A span
is looked at as it is at that moment: its record by what it is at its end, when a framework has set `http.route` too.

Finding the rule for a span costs the look-up of (name, kind, scope), and one for each attribute that the rules left
tell apart, however many rules there are. What is remembered for that is bounded, because callers choose some names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from ldv_otel._internal.record.logregel import NAME_MAX_CHARACTERS, is_uri
from ldv_otel._internal.rules.http_fields import (
    captured_headers,
    path_of,
    path_parameters,
    query_of,
    query_parameters,
    read_template,
)
from ldv_otel._internal.rules.patterns import Matcher, Pattern, TextPattern, compiled, texts_of
from ldv_otel.attributes import NAMESPACE

Kind = Literal["internal", "server", "client", "producer", "consumer"]

#: What the stable semantic conventions call an attribute, and what instrumentations wrote before.
_FORMER_NAMES: Final = {
    "http.request.method": "http.method",
    "http.response.status_code": "http.status_code",
    "url.full": "http.url",
    "url.scheme": "http.scheme",
    "user_agent.original": "http.user_agent",
    "server.address": "net.host.name",
    "server.port": "net.host.port",
    "messaging.destination.name": "messaging.destination",
    "db.system.name": "db.system",
    "db.query.text": "db.statement",
}
#: Instrumentations that do not write these write a whole URL.
_DERIVED: Final[Mapping[str, Callable[[Mapping[str, object]], str]]] = {"url.path": path_of, "url.query": query_of}
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
_REMEMBERED: Final = 4_096
_REMEMBERED_CHARACTERS: Final = 256
#: What instrumentations write in place of a header that they hide.
_HIDDEN: Final = frozenset({"[REDACTED]", "REDACTED"})


class SubjectSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the data subject is found: one place, and the type of what stands there.

    Attributes:
        type: As for `ldv_otel.data_subject`.
        attribute: Name of a span attribute.
        path: Name of a parameter in `http.route`; or a template such as `/inwoners/{bsn}/*` for the path itself.
        query: Name of a query parameter.
        header: Name of a request header (or gRPC metadata) that the instrumentation captures.
    """

    type: str
    attribute: str = ""
    path: str = ""
    query: str = ""
    header: str = ""

    def __post_init__(self) -> None:
        """Refuse a source that can give nothing."""
        if not self.type.strip():
            raise ValueError("`type` says what kind of number it is, such as BSN; it may not be empty")
        if sum(map(bool, (self.attribute, self.path, self.query, self.header))) != 1:
            raise ValueError("it has to name one of `attribute`, `path`, `query` and `header`")
        if self.attribute.startswith(NAMESPACE):
            raise ValueError("an attribute of the standard is read without a rule; name another")
        if self.path.startswith("/"):
            read_template(self.path)

    def identifiers(self, attributes: Mapping[str, object]) -> Sequence[object]:
        """Return what stands there in a span: usually one, of a repeated parameter or a list all, else none."""
        if self.attribute:
            value = attributes.get(self.attribute)
            found: Sequence[object] = value if isinstance(value, list | tuple) else (value,)
        elif self.path:
            found = path_parameters(self.path, attributes)
        elif self.query:
            found = query_parameters(self.query, attributes)
        else:
            found = captured_headers(self.header, attributes)
        return [one for one in found if one is not None and one != "" and one not in _HIDDEN]


class Match(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a span has to be like."""

    name: TextPattern | None = None
    kind: Kind | list[Kind] | None = None
    scope: TextPattern | None = None
    attributes: dict[str, Pattern] = {}

    def __post_init__(self) -> None:
        """Refuse a rule that would take every span, and patterns that cannot be used."""
        if self.name is None and self.kind is None and self.scope is None and not self.attributes:
            raise ValueError("it is empty, and would match every span; name a `name`, `kind`, `scope` or `attributes`")
        if self.kind == []:
            raise ValueError("`kind` is an empty list, and would match no span")
        for pattern in (self.name, self.scope, *self.attributes.values()):
            if pattern == []:
                raise ValueError("a pattern is an empty list, and would match no span")
            if pattern is not None:
                compiled(pattern)


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One rule, as it stands in the file.

    Attributes:
        rule: What it is called, for people.
        match: Which spans it takes.
        activity: URI of the Verwerkingsactiviteit. Without one a subject is logged under the enclosing Actie's.
        name: Name of the Logregel; by default that of the span.
        subject: Where the data subject is found; a list for several.
        read_api: URI where the called party's Logregels can be read (`dpl.read.externalReadAPI_id`).
    """

    match: Match
    rule: str = ""
    activity: str = ""
    name: str = ""
    subject: SubjectSource | list[SubjectSource] | None = None
    read_api: str = ""

    def __post_init__(self) -> None:
        """Refuse a rule that says nothing, or something that is no URI."""
        if not self.activity and not self.subject:
            raise ValueError("it names neither an `activity` nor a `subject`, so there is nothing to log")
        for field, uri in (("activity", self.activity), ("read_api", self.read_api)):
            if uri and not is_uri(uri):
                raise ValueError(
                    f"`{field}` is no URI; it has to begin with a scheme such as https: and hold no spaces"
                )
        if len(self.name) > NAME_MAX_CHARACTERS:
            raise ValueError(f"`name` is longer than {NAME_MAX_CHARACTERS} characters")

    @property
    def subjects(self) -> Sequence[SubjectSource]:
        """Where data subjects are found."""
        if self.subject is None:
            return ()
        return self.subject if isinstance(self.subject, list) else (self.subject,)

    def identifiers(self, attributes: Mapping[str, object]) -> Sequence[tuple[object, str]]:
        """Return whom a span is about, as identifiers with their types."""
        return [(one, source.type) for source in self.subjects for one in source.identifiers(attributes)]


class RuleFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of a file."""

    rules: list[Rule]


class Rules:
    """Rules, ready to be asked. Threads may ask at the same time."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        self._compiled = tuple(_CompiledRule(index, rule) for index, rule in enumerate(self.rules))
        #: By kind and scope: the rules that this leaves whatever the name, and those that depend on the name.
        self._frames: dict[tuple[str, str | None], _Frame] = {}
        self._choices: dict[tuple[str, str, str | None], _Choice] = {}

    def find(self, name: str, kind: str, scope: str | None, attributes: Mapping[str, object]) -> Rule | None:
        """Return the first rule that takes a span like this.

        Args:
            kind: In small letters: `server`.
            scope: Name of the instrumentation scope; None when that is not known, and any will do.
        """
        choice = self._choices.get((name, kind, scope))
        if choice is None:
            choice = self._choice(name, kind, scope)
        return choice.find(attributes) if choice.possible else None

    def may_match(self, name: str, kind: str) -> bool:
        """Say whether a span that starts like this could be taken once its attributes are there."""
        choice = self._choices.get((name, kind, None)) or self._choice(name, kind, None)
        return choice.possible

    def _choice(self, name: str, kind: str, scope: str | None) -> _Choice:
        frame = self._frames.get((kind, scope))
        if frame is None:
            frame = _Frame([rule for rule in self._compiled if rule.allows_scope(kind, scope)])
            if len(self._frames) < _REMEMBERED:
                self._frames[kind, scope] = frame
        choice = frame.choice(name)
        if len(name) <= _REMEMBERED_CHARACTERS:
            if len(self._choices) >= _REMEMBERED:
                # Names that hold a path of each caller's choosing: forgetting them all costs less than an order of use.
                self._choices.clear()
            self._choices[name, kind, scope] = choice
        return choice


class _Condition(msgspec.Struct, frozen=True):
    """What an attribute has to be."""

    names: tuple[str, ...]
    matcher: Matcher

    def holds(self, attributes: Mapping[str, object]) -> bool:
        # Loops: this is asked for each span that may be an Actie, and a generator costs more than what it does here.
        for text in _texts(self.names, attributes):  # noqa: SIM110
            if self.matcher.matches(text):
                return True
        return False


class _CompiledRule:
    """A rule with its patterns compiled."""

    def __init__(self, index: int, rule: Rule) -> None:
        match = rule.match
        self.index = index
        self.rule = rule
        self.name = compiled(match.name) if match.name is not None else None
        self._kinds = frozenset([match.kind] if isinstance(match.kind, str) else match.kind or ())
        self._scope = compiled(match.scope) if match.scope is not None else None
        conditions = [_Condition(_names(name), compiled(pattern)) for name, pattern in match.attributes.items()]
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


class _Table:
    """Rules that are told apart by one attribute."""

    def __init__(self, names: tuple[str, ...], rules: Sequence[_CompiledRule]) -> None:
        self.names = names
        self._exact: dict[str, Sequence[_CompiledRule]] = {}
        self._tested: list[_CompiledRule] = []
        self._few_values = names[0] in _FEW_VALUES
        self._remembered: dict[str, Sequence[_CompiledRule]] = {}
        for rule in rules:
            exact = rule.conditions[0].matcher.exact
            if exact is None:
                self._tested.append(rule)
            for text in exact or ():
                self._exact[text] = [*self._exact.get(text, ()), rule]

    def rules(self, text: str) -> Sequence[_CompiledRule]:
        """Return the rules that this value leaves."""
        known = self._remembered.get(text)
        if known is not None:
            return known
        found = self._exact.get(text, ())
        if self._tested:
            found = [*found, *(rule for rule in self._tested if rule.conditions[0].matcher.matches(text))]
            if self._few_values and len(text) <= _REMEMBERED_CHARACTERS:
                if len(self._remembered) >= _REMEMBERED:
                    self._remembered.clear()
                self._remembered[text] = found
        return found


class _Choice:
    """The rules that are left for one name, kind and scope."""

    def __init__(self, rules: Sequence[_CompiledRule]) -> None:
        self.possible = bool(rules)
        self._always = [rule for rule in rules if not rule.conditions][:1]
        by_names: dict[tuple[str, ...], list[_CompiledRule]] = {}
        for rule in rules:
            if rule.conditions:
                by_names.setdefault(rule.conditions[0].names, []).append(rule)
        self._tables = [_Table(names, found) for names, found in by_names.items()]

    def find(self, attributes: Mapping[str, object]) -> Rule | None:
        """Return the first rule of the file that takes these attributes."""
        left = list(self._always)
        for table in self._tables:
            for text in _texts(table.names, attributes):
                left.extend(table.rules(text))
        if len(left) > 1:
            left.sort(key=_index)
        for found in left:
            if found.takes(attributes):
                return found.rule
        return None


class _Frame:
    """The rules that are left for one kind and scope."""

    def __init__(self, rules: Sequence[_CompiledRule]) -> None:
        self._rules = rules
        self._named = [(rule, rule.name.matches) for rule in rules if rule.name is not None]
        self._choices: dict[tuple[int, ...], _Choice] = {}

    def choice(self, name: str) -> _Choice:
        """Return what is left for a name; names of which the same is left share it."""
        out = tuple([rule.index for rule, matches in self._named if not matches(name)])
        choice = self._choices.get(out)
        if choice is None:
            choice = _Choice([rule for rule in self._rules if rule.index not in out])
            if len(self._choices) < _REMEMBERED:
                self._choices[out] = choice
        return choice


def _index(rule: _CompiledRule) -> int:
    return rule.index


def _names(name: str) -> tuple[str, ...]:
    former = _FORMER_NAMES.get(name)
    return (name, former) if former is not None else (name,)


def _rank(condition: _Condition) -> tuple[bool, int]:
    """Order conditions by how well and how cheaply they tell spans apart."""
    name = condition.names[0]
    place = _FEW_VALUES.index(name) if name in _FEW_VALUES else len(_FEW_VALUES)
    return condition.matcher.exact is None, place


def _texts(names: tuple[str, ...], attributes: Mapping[str, object]) -> Sequence[str]:
    for name in names:
        value = attributes.get(name)
        if value is not None:
            return (value,) if isinstance(value, str) else texts_of(value)
    derive = _DERIVED.get(names[0])
    return (found,) if derive is not None and (found := derive(attributes)) else ()
