"""The accounts of a server, one for each role: statements with the hash of a password, and the password beside them."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

import msgspec

from ldv_otel._internal.clickhouse.schema.cluster import Cluster

#: Who gets which role.
USERS: Final = {
    "ldv_service": "ldv_writer",
    "ldv_audit": "ldv_auditor",
    "ldv_serve": "ldv_inzage",
    "ldv_manage": "ldv_beheer",
}
_PASSWORD_BYTES: Final = 32


class NewUser(msgspec.Struct, frozen=True):
    """An account that is to be made.

    Attributes:
        password: Never in the statements.
    """

    name: str
    password: str
    statements: tuple[str, ...]

    def __repr__(self) -> str:
        """Leave the password out."""
        return f"NewUser({self.name!r})"


def new_users(cluster: str = "") -> list[NewUser]:
    """Return an account for each role, with a password of its own from the system's chance.

    Args:
        cluster: Name of the cluster; empty for a single server.
    """
    everywhere = f" {Cluster(cluster).everywhere}" if cluster else ""
    users = []
    for name, role in USERS.items():
        password = secrets.token_urlsafe(_PASSWORD_BYTES)
        # A hash, so that neither the server's log of queries nor a terminal has the password.
        digest = hashlib.sha256(password.encode()).hexdigest()
        statements = (
            f"CREATE USER IF NOT EXISTS {name}{everywhere} IDENTIFIED WITH sha256_hash BY '{digest}' HOST ANY",
            f"GRANT{everywhere} {role} TO {name}",
            f"ALTER USER {name}{everywhere} DEFAULT ROLE {role}",
        )
        users.append(NewUser(name, password, statements))
    return users
