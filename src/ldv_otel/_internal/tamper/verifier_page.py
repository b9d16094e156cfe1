"""The page with which anybody checks a proof: one file, for a browser, that needs nothing else."""

from __future__ import annotations

from importlib.resources import files


def verifier_page() -> bytes:
    """Return the page: HTML with its script in it, to be kept as a file."""
    return (files(__package__ or "") / "verifier.html").read_bytes()
