"""The vehicle authority: tells who holds a number plate."""

from __future__ import annotations

from flask import Flask, abort
from service import serve

import ldv_otel as ldv

VERSTREKKEN = "https://register.rdw.example/activiteiten/kentekenhoudergegevens-verstrekken"

app = Flask("rdw")
houders = {"KL-901-M": "123456782", "XX-99-YY": "111222333"}


@app.get("/kentekens/<kenteken>/houder")
def houder(kenteken: str) -> dict[str, str]:
    """Who holds this plate."""
    with ldv.processing(VERSTREKKEN, name="Verstrek houdergegevens") as actie:
        if kenteken not in houders:
            actie.reject()
            abort(404)
        ldv.data_subject(houders[kenteken], type="BSN")
        return {"houder": houders[kenteken]}


if __name__ == "__main__":
    serve(app, name="kentekenregister")
