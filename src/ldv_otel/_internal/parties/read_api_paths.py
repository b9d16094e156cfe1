"""How the address of a read API is spelled: its base, with or without the path of one of its two forms."""

from __future__ import annotations

from typing import Final

#: That of the form of 2025, and that of 2026.
EARLIER_PATH: Final = "/processing-activities"
PATH: Final = "/data-processing-operations"


def api_base(url: str) -> str:
    """Return the base of a read API for an address that Logregels may spell in several ways."""
    for ending in ("/", "/openapi.json", EARLIER_PATH, PATH, "/"):
        url = url.removesuffix(ending)
    return url
