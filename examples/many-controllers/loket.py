"""A counter that several municipalities use: what it does for one of them is in that one's Logboek alone."""

from __future__ import annotations

import sys

import ldv_otel as ldv

ACTIVITY = "https://register.example/activiteiten/parkeervergunning"


def verleng(gemeente: str, bsn: str) -> None:
    """Renew a parking permit for a municipality."""
    with ldv.tenant(gemeente), ldv.processing(ACTIVITY, name="Verleng vergunning") as actie:
        actie.data_subject(bsn, type="BSN")


def main() -> None:
    """Work for two municipalities, and refuse a third, which is no customer."""
    ldv.install()
    # The same person lives in one municipality and parks in the other.
    verleng("0363", "123456782")
    verleng("0344", "123456782")
    verleng("0363", "999990019")
    try:
        verleng("0599", "123456782")
    except ldv.UnknownTenant:
        print("0599: geen klant; niets gedaan, niets vastgelegd")
    delivered = ldv.force_flush(10)
    for gemeente, health in sorted(ldv.health().tenants.items()):
        print(f"{gemeente}: {health.confirmed} in het Logboek")
    sys.exit(not delivered)


if __name__ == "__main__":
    main()
