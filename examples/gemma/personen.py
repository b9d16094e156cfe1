"""The data register (gegevensregister): it knows where people live, and tells other applications."""

from __future__ import annotations

from component import component, serve
from fastapi import HTTPException
from pydantic import BaseModel

import ldv_otel as ldv

ACTIVITY = "https://var.example/api/v1/verwerkingsactiviteiten/9f1f6a57-6e0f-4c5a-8f3b-0f6f5f1c2d3e"
ADDRESSES = {"123456782": "Dorpsstraat 1, Voorbeeld"}

app = component("personen")


class Question(BaseModel):
    """Whose address is asked for."""

    bsn: str


@app.post("/adressen")
def address_of(question: Question) -> str:
    """Tell where somebody lives. Who asks, and for which Verwerking, its headers say: ldv_otel copies them."""
    said = {"gemma.gegevensbron": "BRP", "gemma.soorten_gegevens": ["Adres"]}
    # The answer leaves this block only when the register has confirmed the entry (IR-04).
    with ldv.processing(ACTIVITY, name="Verstrekken adres", attributes=said):
        ldv.data_subject(question.bsn, type="BSN")
        if question.bsn not in ADDRESSES:
            raise HTTPException(404)
        return ADDRESSES[question.bsn]


if __name__ == "__main__":
    serve(app)
