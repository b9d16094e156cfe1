"""Applications for `ldv init`, as people have them: some with the number of a person in the path, some elsewhere."""

from __future__ import annotations

from typing import Final

FASTAPI: Final = '''
from typing import Annotated
from fastapi import APIRouter, FastAPI, Header
from pydantic import BaseModel
import ldv_otel
ldv_otel.install()

class Aanvraag(BaseModel):
    bsn: str
    kenteken: str

router = APIRouter(prefix="/api/v1")

@router.get("/inwoners/{bsn}/vergunningen")
def vergunningen(bsn: str) -> list[str]:
    return []

@router.delete("/inwoners/{bsn}/vergunningen")
def verwijder(bsn: str) -> None:
    """Remove it."""

@router.get("/zoek")
def zoek(bsn: str, plaats: str = "") -> list[str]:
    return []

@router.get("/dossiers")
def dossiers(x_bsn: Annotated[str, Header()]) -> list[str]:
    return []

@router.post("/aanvragen")
def aanvragen(aanvraag: Aanvraag) -> None:
    """Ask."""

@router.get("/klanten/{id}")
async def klant(id: int) -> int:
    return id

app = FastAPI()
app.include_router(router)

@app.get("/health")
def health() -> None:
    """Say that it runs."""
'''
FLASK: Final = """
from flask import Blueprint, Flask

app = Flask(__name__)
blueprint = Blueprint("inwoners", __name__, url_prefix="/inwoners")

@blueprint.route("/<bsn>/vergunningen", methods=["GET", "POST"])
def vergunningen(bsn):
    return []

@app.get("/kentekens/<path:kenteken>")
def kenteken(kenteken):
    return kenteken

@app.get("/health")
def health():
    return "ok"

app.register_blueprint(blueprint)
"""
DJANGO_SETTINGS: Final = """
ROOT_URLCONF = "urls"
ALLOWED_HOSTS = ["*"]
MIDDLEWARE = []
SECRET_KEY = "no secret"
"""
DJANGO_URLS: Final = """
from django.http import JsonResponse
from django.urls import include, path, re_path

def inwoner(request, bsn):
    return JsonResponse([], safe=False)

def health(request):
    return JsonResponse([], safe=False)

inner = [
    path("<str:bsn>/vergunningen/", inwoner, name="vergunningen"),
    re_path(r"^(?P<bsn>[0-9]{9})/adres/$", inwoner),
]
urlpatterns = [
    path("inwoners/", include(inner)),
    path("health/", health),
    re_path(r"^oud/(?P<bsn>[0-9]{9})/$", inwoner),
]
"""
#: Makes requests of an application under its real instrumentation, and prints the status and the records of each.
REQUESTS: Final = """
import importlib, json, sys
from pathlib import Path
from ldv_otel import testing

kind, requests = sys.argv[1], json.loads(sys.argv[2])
with testing.logboek(rules=Path("rules.yaml")) as logboek:
    if kind == "fastapi":
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
        from fastapi.testclient import TestClient
        app = importlib.import_module("application").app
        FastAPIInstrumentor.instrument_app(app)
        client = TestClient(app)
        call = lambda method, url, headers, body: client.request(method, url, headers=headers, json=body)
    elif kind == "flask":
        from opentelemetry.instrumentation.flask import FlaskInstrumentor
        app = importlib.import_module("application").app
        FlaskInstrumentor().instrument_app(app)
        client = app.test_client()
        call = lambda method, url, headers, body: client.open(url, method=method, headers=headers, json=body)
    else:
        import django
        from opentelemetry.instrumentation.django import DjangoInstrumentor
        DjangoInstrumentor().instrument()
        django.setup()
        from django.test import Client
        client = Client()
        call = lambda method, url, headers, body: client.generic(method, url, headers=headers)
    told = []
    for method, url, headers, body in requests:
        before = len(logboek.logregels)
        status = call(method, url, headers, body).status_code
        new = logboek.logregels[before:]
        about = logboek.about("123456782")
        told.append([status, [[each.processing_activity_id, each.name, each in about] for each in new]])
print(json.dumps(told))
"""
