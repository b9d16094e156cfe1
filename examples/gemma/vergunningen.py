"""The process application (procesondersteunende component): it handles applications for parking permits."""

from __future__ import annotations

import os

import httpx
from component import component, serve
from pydantic import BaseModel

import ldv_otel as ldv

ACTIVITY = "https://var.example/api/v1/verwerkingsactiviteiten/5f0bef4c-f66f-4311-84a5-19e8bf359eaf"

app = component("vergunningen")


class Application(BaseModel):
    """An application for a permit; its case is the Verwerking (IR-09)."""

    bsn: str
    zaak: str


@app.post("/aanvragen")
def decide(application: Application) -> str:
    """Grant a permit to whoever lives here."""
    verwerking = {
        "gemma.verwerking_id": application.zaak,
        "gemma.verwerking_naam": "Aanvraag parkeervergunning",
        "gemma.bewaartermijn": "P5Y",
    }
    with ldv.processing(ACTIVITY, name="Beoordelen aanvraag", attributes=verwerking):
        ldv.data_subject(application.bsn, type="BSN")
        # The person is known, so this is on record before it is done (IR-02); if that fails, it is not done (IR-03).
        with ldv.processing(ACTIVITY, name="Opvragen adres", attributes={"gemma.betrokkenheid": "Aanvrager"}):
            ldv.data_subject(application.bsn, type="BSN")
        answer = httpx.post(f"{os.environ['PERSONEN']}/adressen", json={"bsn": application.bsn}, timeout=30)
        answer.raise_for_status()
        return f"Verleend voor {answer.json()}"


if __name__ == "__main__":
    serve(app)
