"""The file of `LDV_RULES`: mapping rules as they are written.

    rules:
      - rule: Vergunningen van een inwoner        # its name in `ldv rules test`
        match:
          kind: server
          attributes: {http.route: "/inwoners/{bsn}/vergunningen", http.request.method: [GET, HEAD]}
        activity: https://register.example/activiteiten/vergunningen-inzien
        name: Vergunningen inzien
        subject: {path: bsn, type: BSN}
        read_api: https://rdw.example/logboek

Everything under `match` has to hold; rules are tried in the order of the file, and the first that matches wins. A rule
that can match nothing, or that would log nothing, is refused when the file is read: later nobody would notice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from ldv_otel._internal.record.logregel import NAME_MAX_CHARACTERS, is_uri
from ldv_otel._internal.rules.conventions import names_of_attribute
from ldv_otel._internal.rules.http_fields import captured_headers, path_parameters, query_parameters, read_template
from ldv_otel._internal.rules.patterns import Pattern, TextPattern, compiled
from ldv_otel.attributes import NAMESPACE

Kind = Literal["internal", "server", "client", "producer", "consumer"]

#: What instrumentations write in place of a header that they hide, and of one that is empty.
_HIDDEN: Final = frozenset({"", "[REDACTED]", "REDACTED"})


class SubjectSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The part of a span that has the data subject's identifier, and the identifier's type.

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
        """Return the identifiers in a span: usually one, of a repeated parameter or a list all, else none."""
        if self.attribute:
            names = names_of_attribute(self.attribute)
            value = next((attributes[name] for name in names if attributes.get(name) is not None), None)
            values: Sequence[object] = value if isinstance(value, list | tuple) else (value,)
        elif self.path:
            values = path_parameters(self.path, attributes)
        elif self.query:
            values = query_parameters(self.query, attributes)
        else:
            values = captured_headers(self.header, attributes)
        # Only a text is compared: a mapping has no hash, and what else there may be has an equality of its own.
        return [value for value in values if value is not None and not (isinstance(value, str) and value in _HIDDEN)]


class Match(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The conditions of a rule; a span has to fulfil all of them."""

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
    """One rule, as it is in the file.

    Attributes:
        rule: Its name, for people.
        match: Which spans it takes.
        activity: URI of the Verwerkingsactiviteit. Without one a subject is logged under the enclosing Actie's.
        name: Name of the Logregel; by default that of the span.
        subject: Which part of the span has the data subject's identifier; a list for several.
        read_api: URI where the called party's Logregels can be read (`dpl.read.nextLogbookId`).
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
        """The sources of data subjects."""
        if self.subject is None:
            return ()
        return self.subject if isinstance(self.subject, list) else (self.subject,)

    def identifiers(self, attributes: Mapping[str, object]) -> Sequence[tuple[object, str]]:
        """Return the identifiers of a span's data subjects, with their types."""
        return [(value, source.type) for source in self.subjects for value in source.identifiers(attributes)]


class RuleFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of rules."""

    rules: list[Rule]
