"""A service whose changes and Logregels commit together: in SQLite, or PostgreSQL by one variable."""

from __future__ import annotations

import os
import sys

from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import ldv_otel as ldv

ACTIVITY = "https://register.example/activiteiten/tenaamstelling"


class Base(DeclarativeBase):
    """The tables of the service."""


class Kenteken(Base):
    """Who a number plate is registered to; the service keeps the number of the person, the Logboek a pseudonym."""

    __tablename__ = "kenteken"
    nummer: Mapped[str] = mapped_column(primary_key=True)
    bsn: Mapped[str]


class Betwist(Exception):
    """Somebody else says that the vehicle is theirs."""


engine = create_engine(os.environ.get("DATABASE_URL", "sqlite:///kentekens.db"))


def stel_te_naam(nummer: str, bsn: str, *, betwist: bool = False) -> None:
    """Register a number plate to a person: the change and its Logregel, or neither."""
    with Session(engine) as session, session.begin():
        with ldv.processing(ACTIVITY, name="Stel te naam") as actie:
            actie.data_subject(bsn, type="BSN")
            session.merge(Kenteken(nummer=nummer, bsn=bsn))
        if betwist:
            # After the block, and before the commit: with a spool this would leave a record of what did not happen.
            raise Betwist


def main() -> None:
    """Register one number plate, and fail to register another."""
    Base.metadata.create_all(engine)
    ldv.install(outbox=ldv.outbox.sqlalchemy(engine))
    stel_te_naam("AB-123-C", "123456782")
    try:
        stel_te_naam("XY-987-Z", "999990019", betwist=True)
    except Betwist:
        print("XY-987-Z is betwist: niets gewijzigd, niets vastgelegd")
    with Session(engine) as session:
        kentekens = [kenteken.nummer for kenteken in session.query(Kenteken)]
    delivered = ldv.force_flush(30)
    print(f"kentekens: {', '.join(kentekens)}; alles in het Logboek: {'ja' if delivered else 'nee'}")
    sys.exit(not delivered)


if __name__ == "__main__":
    main()
