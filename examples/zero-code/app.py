"""A service as it was before anybody heard of a Logboek: nothing in it knows of one."""

from __future__ import annotations

from flask import Flask, abort

app = Flask(__name__)

PERMITS = {"123456782": ["AB-123-C", "G-001-BB"]}


@app.get("/inwoners/<bsn>/vergunningen")
def permits_of(bsn: str) -> list[str]:
    """Return the number plates that a resident has a parking permit for."""
    return PERMITS.get(bsn) or abort(404)


@app.get("/health")
def health() -> dict[str, bool]:
    """Say that the service runs; no processing of personal data, so no rule wants it."""
    return {"ok": True}
