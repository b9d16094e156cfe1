"""What pages look like: the stylesheet and the icon, which are the same for everybody."""

from __future__ import annotations

from importlib import resources
from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

from ldv_otel.api.app import Api
from ldv_otel.api.inzage.pages import PAGE_HEADERS

_STATIC: Final = resources.files("ldv_otel.api.inzage").joinpath("static")
_STYLESHEET: Final = _STATIC.joinpath("inzage.css").read_bytes()
_ICON: Final = _STATIC.joinpath("icoon.svg").read_bytes()
_HEADERS: Final = {**PAGE_HEADERS, "Cache-Control": "max-age=3600"}

router: Final = APIRouter(prefix="/opmaak")
OPMAAK: Final = Api(router)


@router.get("/stijl.css")
async def stylesheet() -> Response:
    """Return the stylesheet."""
    return Response(_STYLESHEET, headers=_HEADERS, media_type="text/css")


@router.get("/icoon.svg")
async def icon() -> Response:
    """Return the icon."""
    return Response(_ICON, headers=_HEADERS, media_type="image/svg+xml")
