"""The stylesheet and the icon of the pages, which are the same for everybody.

The stylesheet has the components first, then the layout. The components are those of the NL Design System where
`make assets` put them into the package, and the project's own otherwise.
"""

from __future__ import annotations

from http import HTTPStatus
from importlib import resources
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ldv_otel._internal.api.app import Api
from ldv_otel._internal.api.pages.page import PAGE_HEADERS
from ldv_otel._internal.api.problem import Problem
from ldv_otel._internal.api.services import services_of

_STATIC: Final = resources.files("ldv_otel._internal.api.pages").joinpath("static")
_ICON: Final = _STATIC.joinpath("icoon.svg").read_bytes()
OWN: Final = "eigen.css"
NL_DESIGN_SYSTEM: Final = "nlds.css"
LOOKS: Final = tuple(name for name in (NL_DESIGN_SYSTEM, OWN) if _STATIC.joinpath(name).is_file())
_HEADERS: Final = {**PAGE_HEADERS, "Cache-Control": "max-age=3600"}


def stylesheet_of(look: str) -> bytes:
    """Return a whole stylesheet, with one of `LOOKS`."""
    return b"\n".join(_STATIC.joinpath(name).read_bytes() for name in (look, "inzage.css"))


#: Once for the process: the files are in the package and do not change while it runs.
_STYLESHEET: Final = stylesheet_of(LOOKS[0])

router: Final = APIRouter(prefix="/opmaak")
OPMAAK: Final = Api(router)


@router.get("/stijl.css")
async def stylesheet(request: Request) -> Response:
    """Return the stylesheet, with the organisation's own colours last."""
    return Response(_STYLESHEET + b"\n" + services_of(request).house.css, headers=_HEADERS, media_type="text/css")


@router.get("/icoon.svg")
async def icon() -> Response:
    """Return the icon."""
    return Response(_ICON, headers=_HEADERS, media_type="image/svg+xml")


@router.get("/logo")
async def logo(request: Request) -> Response:
    """Return the organisation's logo."""
    house = services_of(request).house
    if house.logo is None:
        raise Problem(HTTPStatus.NOT_FOUND, "")
    return Response(house.logo.content, headers=_HEADERS, media_type=house.logo.media_type)
