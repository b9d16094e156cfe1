"""Templates and what every page gets: its headers, and errors as pages instead of problem+json."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any, Final

from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ldv_otel._internal.api.pages.rendering import render
from ldv_otel._internal.api.problem import Problem, log_refusal, unavailable, unexpected
from ldv_otel._internal.api.services import services_of
from ldv_otel._internal.api.state import state_of
from ldv_otel.errors import LdvError, QueryError

#: The browser may load the one stylesheet and send forms back here; no script at all.
_POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
PAGE_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "Cache-Control": "no-store",
    # A browser that may not say where a form comes from would send `Origin: null`.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Robots-Tag": "noindex",
}


def rendered(request: Request, template: str, **context: Any) -> str:
    """Return the text of a page."""
    settings = services_of(request).settings
    route = request.scope.get("route")
    kind = type(route) if isinstance(route, PageRoute) else PageRoute
    common = {
        "organisation": settings.organisation or "deze organisatie",
        "contact": settings.inzage.contact,
        "own": services_of(request).house.texts,
        "has_logo": services_of(request).house.logo is not None,
        "logout": settings.inzage.logout,
        "timezone": settings.inzage.timezone,
        "demo": demonstration(request),
        "home": kind.home,
        "base": kind.base,
        "signed_in": True,
        "section": "",
    }
    return render(template, **(common | context))


def page(request: Request, template: str, code: int = HTTPStatus.OK, **context: Any) -> Response:
    """Return a page."""
    return Response(rendered(request, template, **context), code, PAGE_HEADERS, "text/html")


def demonstration(request: Request) -> bool:
    """Say whether this is a demonstration, in which people are who they say they are."""
    return getattr(state_of(request), "inzage_demo", False)


class PageRoute(APIRoute):
    """A route whose errors are pages.

    Attributes:
        home: Address of the page that people can always go back to.
        base: Template that its pages extend.
        no_access: Template of the page for people who are not signed in, or have no right to these pages.
    """

    home = "/inzage"
    base = "basis.html"
    no_access = "uitgelogd.html"

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the route's own handler, with an answer in HTML to whatever it raises."""
        inner = super().get_route_handler()

        # Inside the route, because the application's handlers of errors answer with problem+json.
        async def handler(request: Request) -> Response:
            try:
                return await inner(request)
            except Problem as problem:
                log_refusal(request, problem)
                return error_page(request, problem, self.no_access)
            except HTTPException as error:
                return error_page(request, Problem(HTTPStatus(error.status_code), ""))
            # A cursor or an id in the address that cannot be read: the page does not exist.
            except QueryError:
                return error_page(request, Problem(HTTPStatus.NOT_FOUND, ""))
            except LdvError as error:
                unexpected(error)
                return error_page(request, unavailable())
            except Exception as error:  # noqa: BLE001  (a citizen gets a page, whatever happened)
                return error_page(request, unexpected(error))

        return handler


def error_page(request: Request, problem: Problem, no_access: str = PageRoute.no_access) -> Response:
    """Return the page for an error: what it means for the reader, and what to do."""
    if problem.status == HTTPStatus.UNAUTHORIZED:
        # A demonstration has a form to sign in with; elsewhere the proxy in front has.
        return page(request, "aanmelden.html" if demonstration(request) else no_access, 401, signed_in=False)
    if problem.status == HTTPStatus.FORBIDDEN and no_access != PageRoute.no_access:
        return page(request, no_access, 403, signed_in=False)
    response = page(request, "fout.html", problem.status, status=problem.status.value, signed_in=False)
    for name, value in problem.headers.items():
        response.headers.setdefault(name, value)
    return response
