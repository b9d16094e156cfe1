"""What `ldv init` proposes for an application: a rule for each route, its activity, and where its data subject is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from ldv_otel._internal.cli.beginning.routes import Application, Route

#: Names of parameters that say whose number they are; letters only, in small ones.
_TYPES: Final = {
    "bsn": "BSN",
    "burgerservicenummer": "BSN",
    "kvk": "KVK",
    "kvknummer": "KVK",
    "rsin": "RSIN",
    "oin": "OIN",
    "personeelsnummer": "personeelsnummer",
    "anummer": "A-nummer",
    "vestigingsnummer": "vestigingsnummer",
}
#: Names that may well be of a person, though not of which register.
_PERSONS: Final = re.compile(
    r"persoon|person|inwoner|burger|citizen|klant|client|customer|user|gebruiker|patient|leerling|student|medewerker|employee",
    re.IGNORECASE,
)
#: Routes that serve the machine, and process nobody's data.
_TECHNICAL: Final = re.compile(
    r"^[\^/]*(?:health\w*|healthz|livez?|readyz?|ready|ping|metrics|status|version|favicon\.ico|robots\.txt|docs(?:/.*)?|redoc"
    r"|openapi\.(?:json|yaml)|static(?:/.*)?|\.well-known/.*|schema|swagger.*)/?\$?$",
    re.IGNORECASE,
)
_PARAMETER: Final = re.compile(r"\(\?P<\w+>[^)]*\)|[{<][^{}<>]*[}>]")


class ProposedSource(msgspec.Struct, frozen=True):
    """Where a data subject's identifier is: kind `path`, `query` or `header`, its name, and its type."""

    kind: str
    name: str
    type: str


class ProposedRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule for a route.

    Attributes:
        slug: The end of the activity's URI.
        maybe: Parameters that may be of a person, as far as their names tell.
        in_body: Fields of the body that are of a person: no rule can read them.
    """

    route: Route
    slug: str
    name: str
    sources: tuple[ProposedSource, ...] = ()
    maybe: tuple[ProposedSource, ...] = ()
    in_body: tuple[str, ...] = ()


class Proposal(msgspec.Struct, frozen=True):
    """All rules, and the routes that were left out."""

    rules: tuple[ProposedRule, ...]
    left_out: tuple[Route, ...]


def propose(application: Application) -> Proposal:
    """Return a rule for each route that is not there for machines alone."""
    routes = [route for route in application.routes if not _TECHNICAL.match(route.path)]
    left_out = tuple(route for route in application.routes if route not in routes)
    return Proposal(tuple(_rule(route) for route in dict.fromkeys(routes)), left_out)


def _rule(route: Route) -> ProposedRule:
    candidates = [
        *(("path", name) for name in route.path_parameters),
        *(("query", name) for name in route.query_parameters),
        *(("header", name) for name in route.headers),
    ]
    sources = [ProposedSource(kind, name, type_) for kind, name in candidates if (type_ := _type_of(name))]
    maybe = [
        ProposedSource(kind, name, "")
        for kind, name in candidates
        if not _type_of(name) and (_PERSONS.search(name) or _is_of_person(route, name))
    ]
    return ProposedRule(
        route=route,
        slug=_slug(route.path),
        name=_title(route.name) or f"{'/'.join(route.methods)} {route.path}".strip(),
        sources=tuple(sources),
        maybe=tuple(maybe),
        in_body=tuple(name for name in route.body_fields if _type_of(name)),
    )


def _type_of(name: str) -> str:
    letters = re.sub(r"[^a-z]", "", name.lower().removeprefix("x-").removeprefix("x_"))
    return _TYPES.get(letters, "")


def _is_of_person(route: Route, name: str) -> bool:
    """Return whether a parameter called `id` or the like follows a segment that is about persons."""
    if not name.lower().endswith(("id", "nummer", "number", "pk")):
        return False
    before = re.split(rf"[{{<(][^/]*\b{re.escape(name)}\b", route.path, maxsplit=1)[0]
    segments = [segment for segment in before.split("/") if segment]
    return bool(segments) and bool(_PERSONS.search(segments[-1]))


def _slug(path: str) -> str:
    words = re.findall(r"[A-Za-z0-9-]+", _PARAMETER.sub(" ", path))
    return "-".join(word.lower() for word in words if word not in {"api", "v1", "v2", "Z"}) or "begin"


def _title(name: str) -> str:
    words = re.sub(r"[_\W]+", " ", name.rpartition(".")[2]).strip()
    return words[:1].upper() + words[1:]


def activities_of(rules: Sequence[ProposedRule]) -> dict[str, str]:
    """Return each activity by its slug, with a name for people."""
    return {rule.slug: _title(rule.slug.replace("-", " ")) for rule in rules}
