"""The routes of an application of FastAPI, Starlette, Flask or Django, as instrumentations write `http.route`."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from ldv_otel.errors import ConfigurationError

_PARAMETER: Final = re.compile(r"[{<](?:\w+:)?(\w+)(?::\w+)?[}>]")
_DEPTH: Final = 20
_METHODS_LEFT_OUT: Final = frozenset({"HEAD", "OPTIONS"})


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """A route of an application.

    Attributes:
        path: As the instrumentation writes it into `http.route`.
        methods: Without HEAD and OPTIONS; empty where the framework does not say.
        name: Of the function behind it.
        path_parameters: Names of the parameters in the path.
        query_parameters: Names, where the framework says them.
        headers: Names of request headers, where the framework says them.
        body_fields: Names of fields of the body, where the framework says them.
    """

    path: str
    methods: tuple[str, ...] = ()
    name: str = ""
    path_parameters: tuple[str, ...] = ()
    query_parameters: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    body_fields: tuple[str, ...] = ()


class Application(msgspec.Struct, frozen=True):
    """What was seen of an application.

    Attributes:
        framework: `fastapi`, `starlette`, `flask` or `django`.
        routes: In the order of the application.
        says_all: Whether the framework knows the parameters of queries, headers and bodies.
    """

    framework: str
    routes: tuple[Route, ...]
    says_all: bool


def look_at(target: str) -> Application:
    """Import an application and return its routes.

    Args:
        target: `module:application`, as uvicorn and gunicorn have it; empty for the Django project of
            `DJANGO_SETTINGS_MODULE`.

    Raises:
        ConfigurationError: It cannot be imported, or is of no framework that can be looked at.
    """
    sys.path.insert(0, str(Path.cwd()))
    if not target:
        if not os.environ.get("DJANGO_SETTINGS_MODULE"):
            raise ConfigurationError(
                "Nothing says which application it is. Nothing was written. Name it as uvicorn and gunicorn do: "
                "`ldv init module:app`; or set DJANGO_SETTINGS_MODULE, as manage.py does."
            )
        return _of_django()
    application = _imported(target)
    kinds = {kind.__module__.partition(".")[0] for kind in type(application).__mro__}
    if "fastapi" in kinds:
        return Application("fastapi", tuple(_of_starlette(application.routes)), says_all=True)
    if "starlette" in kinds:
        return Application("starlette", tuple(_of_starlette(application.routes)), says_all=False)
    if "flask" in kinds:
        return Application("flask", tuple(_of_flask(application)), says_all=False)
    if "django" in kinds:
        return _of_django()
    raise ConfigurationError(
        f"{target} is a {type(application).__name__}, and no application of FastAPI, Starlette, Flask or Django. "
        "Nothing was written. Rules for anything else that OpenTelemetry instruments: docs/rules.md."
    )


def _imported(target: str) -> Any:
    module, _, name = target.partition(":")
    try:
        application: Any = importlib.import_module(module)
        for part in (name or "app").split("."):
            application = getattr(application, part)
    except Exception as error:  # whatever the application does when it is imported
        raise ConfigurationError(
            f"{target} cannot be imported ({type(error).__name__}: {error}). Nothing was written. Run this where the "
            "service starts, in its environment, with the name as uvicorn and gunicorn have it: module:app."
        ) from error
    if inspect.isfunction(application) and name.startswith(("create_", "make_")):
        return application()
    return application


def _of_starlette(routes: Any) -> Iterator[Route]:
    """Give the routes of the application itself: of one that is mounted, instrumentations write the mount alone."""
    for route in _flat(routes):
        path = str(getattr(route, "path", None) or "")
        dependant = getattr(route, "dependant", None)
        if getattr(route, "methods", None):
            yield Route(
                path=path,
                methods=_methods(route.methods),
                name=str(getattr(route, "name", "")),
                path_parameters=tuple(_PARAMETER.findall(path)),
                query_parameters=_aliases(dependant, "query_params"),
                headers=_aliases(dependant, "header_params"),
                body_fields=_body_fields(dependant),
            )
        elif path and not isinstance(getattr(route, "app", None), _static_files()):
            yield Route(path=path, name=str(getattr(route, "name", None) or ""))


def _flat(routes: Any) -> Iterator[Any]:
    """Give routes with their whole paths, also where routers are included; FastAPI has those apart since 0.137."""
    contexts = getattr(sys.modules.get("fastapi.routing"), "iter_route_contexts", None)
    yield from contexts(routes) if contexts is not None else routes


def _static_files() -> tuple[type, ...]:
    kind = getattr(sys.modules.get("starlette.staticfiles"), "StaticFiles", None)
    return (kind,) if isinstance(kind, type) else ()


def _aliases(dependant: Any, kind: str) -> tuple[str, ...]:
    """Return the names of the parameters of a function and of what it depends on."""
    names: dict[str, None] = {}
    waiting = [dependant] if dependant is not None else []
    for each in waiting:
        names.update(dict.fromkeys(str(parameter.alias) for parameter in getattr(each, kind, ())))
        if len(waiting) < _DEPTH:
            waiting.extend(getattr(each, "dependencies", ()))
    return tuple(names)


def _body_fields(dependant: Any) -> tuple[str, ...]:
    names: list[str] = []
    for parameter in getattr(dependant, "body_params", ()):
        annotation = getattr(getattr(parameter, "field_info", None), "annotation", None)
        names += list(getattr(annotation, "model_fields", {})) or [str(parameter.alias)]
    return tuple(names)


def _of_flask(application: Any) -> Iterator[Route]:
    for rule in application.url_map.iter_rules():
        yield Route(
            path=str(rule.rule),
            methods=_methods(rule.methods or ()),
            name=str(rule.endpoint),
            path_parameters=tuple(_PARAMETER.findall(rule.rule)),
        )


def _of_django() -> Application:
    try:
        import django
        from django.urls import get_resolver

        django.setup()
        patterns = get_resolver().url_patterns
    except Exception as error:  # settings and urls are the application's code
        raise ConfigurationError(
            f"The Django project cannot be set up ({type(error).__name__}: {error}). Nothing was written. Set "
            "DJANGO_SETTINGS_MODULE, and run this where manage.py is."
        ) from error
    return Application("django", tuple(_of_patterns(patterns, "", 0)), says_all=False)


def _of_patterns(patterns: Any, prefix: str, depth: int) -> Iterator[Route]:
    for pattern in patterns:
        text = str(pattern.pattern)
        # As Django's resolver joins them.
        path = prefix + text.removeprefix("^") if prefix else text
        if (inner := getattr(pattern, "url_patterns", None)) is not None:
            if depth < _DEPTH:
                yield from _of_patterns(inner, path, depth + 1)
            continue
        parameters = re.findall(r"\(\?P<(\w+)>", path) or _PARAMETER.findall(path)
        yield Route(path=path, name=str(pattern.name or _name_of_view(pattern)), path_parameters=tuple(parameters))


def _name_of_view(pattern: Any) -> str:
    """Return the name of the class or function that answers a route without a name of its own."""
    view = getattr(pattern, "callback", None)
    return str(getattr(getattr(view, "view_class", view), "__name__", ""))


def _methods(methods: Any) -> tuple[str, ...]:
    return tuple(sorted(set(methods) - _METHODS_LEFT_OUT))
