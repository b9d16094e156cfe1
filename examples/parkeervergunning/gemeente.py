"""The municipality: keeps parking permits, and asks the RDW who holds a number plate."""

from __future__ import annotations

import os
from typing import Any

import requests
from flask import Flask, abort, request
from service import serve

import ldv_otel as ldv

REGISTER = "https://register.gemeente.example/activiteiten"
ADMINISTRATIE = f"{REGISTER}/parkeervergunningadministratie-voeren"
TENAAMSTELLING = f"{REGISTER}/tenaamstelling-controleren"

app = Flask("gemeente")
vergunningen = {
    "P-1": {"houder": "123456782", "kenteken": "AB-123-C"},
    "P-2": {"houder": "123456782", "kenteken": "G-001-BB"},
}


@app.post("/vergunningen/<nummer>/kenteken")
def wijzig(nummer: str) -> dict[str, Any]:
    """The desk's dialogue in one request: show the person's permits, then change the plate on one of them."""
    bsn, kenteken = request.json["bsn"], request.json["kenteken"]
    return {"vergunningen": toon_alle_vergunningen(bsn), "gewijzigd": wijzig_kenteken(nummer, bsn, kenteken)}


@ldv.processing(ADMINISTRATIE)
def toon_alle_vergunningen(bsn: str) -> list[str]:
    ldv.data_subject(bsn, type="BSN")
    return [nummer for nummer, vergunning in vergunningen.items() if vergunning["houder"] == bsn]


def wijzig_kenteken(nummer: str, bsn: str, kenteken: str) -> str:
    with ldv.processing(ADMINISTRATIE, name="Wijzig kenteken") as actie:
        ldv.data_subject(bsn, type="BSN")
        if not controleer_tenaamstelling(kenteken, bsn):
            actie.reject()  # what was asked for cannot be; nothing failed here, so the status stays Unset
            abort(409, "Dit kenteken staat op naam van iemand anders.")
        vergunningen[nummer]["kenteken"] = kenteken
    return nummer


@ldv.processing(TENAAMSTELLING)
def controleer_tenaamstelling(kenteken: str, bsn: str) -> bool:
    ldv.data_subject(bsn, type="BSN")
    answer = requests.get(f"{os.environ['RDW']}/kentekens/{kenteken}/houder", timeout=10)
    answer.raise_for_status()
    return bool(answer.json()["houder"] == bsn)


if __name__ == "__main__":
    serve(app, name="parkeervergunningen")
