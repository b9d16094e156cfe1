"""Statements that no value can get into: texts of this package, put together from texts of this package.

The driver sends values beside a statement, as parameters: `{trace_id:String}`. What is put into its text instead has
to be an `Sql` itself, which mypy holds callers to, and comes into being in one of these ways only:

- `Sql(...)` from a literal in our source; a test reads the source for that;
- `literal`, `identifier` or `number` from a value, quoted or checked, where ClickHouse takes no parameter: in the text
  of a mutation, the name of a table, a setting;
- `Sql.verbatim`, from this package's *.sql files; the same test names the modules that may.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from string import Template
from typing import Final, LiteralString

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class Sql:
    """A statement, or a part of one, without any value in it.

    Args:
        template: A literal. `$name` stands for a part; ClickHouse's own braces stay as they are.
        parts: What goes in, by name.

    Raises:
        ValueError: The template has no such part, or one that is not given.
    """

    __slots__ = ("text",)

    text: str

    def __init__(self, template: LiteralString, /, **parts: Sql) -> None:
        pattern = Template(template)
        if set(pattern.get_identifiers()) != set(parts):
            raise ValueError(f"the parts {sorted(parts)} are not those of the template")
        self.text = pattern.substitute({name: part.text for name, part in parts.items()})

    @classmethod
    def verbatim(cls, text: str) -> Sql:
        """Return a statement of one of this package's files as it is."""
        statement = cls("")
        statement.text = text
        return statement

    def __str__(self) -> str:
        """The text."""
        return self.text

    def __repr__(self) -> str:
        """The text, as a call."""
        return f"Sql({self.text!r})"


#: No text at all: a part that is not wanted.
NOTHING: Final = Sql("")


def literal(value: str) -> Sql:
    """Return a text in quotes, whatever is in it."""
    quoted = value.replace("\\", "\\\\").replace("'", "\\'")
    return Sql.verbatim(f"'{quoted}'")


def identifier(name: str) -> Sql:
    """Return a name of a table or column.

    Raises:
        ValueError: It has anything in it but letters, digits and `_`.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of a table or column")
    return Sql.verbatim(name)


def number(value: int) -> Sql:
    """Return a whole number."""
    return Sql.verbatim(str(int(value)))


def attribute(name: str) -> Sql:
    """Return the expression for an attribute of a Logregel; one that it has not is empty."""
    return Sql("attributes[$name]", name=literal(name))


def listed(parts: Iterable[Sql]) -> Sql:
    """Return parts with commas between them."""
    return Sql.verbatim(", ".join(part.text for part in parts))


def all_of(conditions: Iterable[Sql]) -> Sql:
    """Return the condition that all of these hold.

    Args:
        conditions: One at least; each is put in brackets.
    """
    return Sql.verbatim(" AND ".join(f"({condition.text})" for condition in conditions))
