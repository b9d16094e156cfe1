"""The roles of `ldv schema roles` on the real engine: its one user, `default`, gets a role's grants and row policies.

An embedded engine makes no users by SQL, but reads the same grants and policies from a `users.xml`, and keeps to them.

Run as a module it is one of two programs. `statements DIR ROLE` runs the statements that standard input has as JSON,
and prints their error codes (0 for none); `logboek ROLE ...` is `ldv logboek`, where everybody has that role.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple
from xml.sax.saxutils import escape

from ldv_otel._internal.clickhouse.schema.roles import role_statements
from tests.support.logboek import LogboekProcess

ACCESS_DENIED: Final = 497
DATABASE: Final = "ldv"
_COMMENT: Final = re.compile(r"--[^\n]*")
_GRANT: Final = re.compile(r"(GRANT .*) TO (\w+)", re.DOTALL)
_POLICY: Final = re.compile(
    r"CREATE ROW POLICY OR REPLACE \w+ +ON (\w+)\.(\w+) FOR SELECT\s+USING (.*)\s+TO (.*)", re.DOTALL
)
_ROLE: Final = re.compile(r"CREATE ROLE IF NOT EXISTS \w+")
_CODE: Final = re.compile(r"Code: (\d+)")


class Rights(NamedTuple):
    """What a role may do.

    Attributes:
        grants: As statements without the name of who gets them.
        policies: Which rows it sees: database, table and condition.
    """

    grants: list[str]
    policies: list[tuple[str, str, str]]


def rights_of(role: str) -> Rights:
    """Return what the statements of `ldv schema roles` give to a role; each of them has to be understood."""
    rights = Rights([], [])
    for text in role_statements(DATABASE):
        statement = _COMMENT.sub("", text).strip()
        if grant := _GRANT.fullmatch(statement):
            if grant[2] == role:
                rights.grants.append(grant[1])
        elif policy := _POLICY.fullmatch(statement):
            if role in policy[4].replace(",", " ").split():
                rights.policies.append((policy[1], policy[2], policy[3]))
        elif not _ROLE.fullmatch(statement):
            raise ValueError(f"neither a role, a grant nor a policy: {statement}")
    return rights


def _grants_xml(rights: Rights) -> str:
    return "".join(f"<query>{escape(grant)}</query>" for grant in rights.grants)


def _policies_xml(rights: Rights) -> str:
    filters = "".join(
        f"<{database}><{table}><filter>{escape(condition)}</filter></{table}></{database}>"
        for database, table, condition in rights.policies
    )
    return f"<databases>{filters}</databases>"


def codes_of(directory: Path, role: str, statements: Sequence[str]) -> list[int]:
    """Return the error code of each statement, 0 for none, when somebody with a role runs them on a directory."""
    command = [sys.executable, "-m", __name__, "statements", os.fspath(directory), role]
    done = subprocess.run(
        command, input=json.dumps(list(statements)), capture_output=True, text=True, check=True, timeout=300
    )
    codes: list[int] = json.loads(done.stdout)
    return codes


class RoleLogboek(LogboekProcess):
    """`ldv logboek` on the directory of another that was stopped, in which everybody has one role.

    Args:
        path: The directory, with its tables.
        role: One of those of `ldv schema roles`.
    """

    def __init__(self, path: Path, role: str) -> None:
        self._role = role
        super().__init__(path)

    @property
    def program(self) -> list[str]:
        """Python's arguments that start it."""
        return ["-m", __name__, "logboek", self._role]


def _run_statements(directory: Path, role: str) -> None:
    from chdb.state.sqlitelike import Connection  # of the process that opens the engine only

    rights = rights_of(role)
    users, config = (directory.with_name(f"{directory.name}-{role}.{name}.xml") for name in ("users", "config"))
    users.write_text(
        "<clickhouse><profiles><default></default></profiles><quotas><default></default></quotas><users><default>"
        "<password></password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>"
        f"<grants>{_grants_xml(rights)}</grants>{_policies_xml(rights)}</default></users></clickhouse>"
    )
    config.write_text(f"<clickhouse><users_config>{escape(str(users))}</users_config></clickhouse>")
    engine = Connection(f"file:{directory}?config-file={config}")
    codes = []
    for statement in json.load(sys.stdin):
        try:
            engine.query(statement, "TabSeparated")
        except RuntimeError as error:
            code = _CODE.search(str(error))
            codes.append(int(code[1]) if code else -1)
        else:
            codes.append(0)
    sys.stdout.write(json.dumps(codes))


def _serve(role: str) -> int:
    from ldv_otel._internal.clickhouse.embedded import __main__, access  # only where the engine is

    rights, module = rights_of(role), vars(access)
    usual = module["_users_xml"]

    def users_xml(fixed: Any) -> str:
        text, count = re.subn(r"<grants>.*</grants>", lambda _: "", usual(fixed), flags=re.DOTALL)
        if count != 1:
            raise RuntimeError("the grants of `ldv logboek` are written otherwise")
        own = f"<grants>{_grants_xml(rights)}</grants>{_policies_xml(rights)}"
        return text.replace("</default></users>", f"{own}</default></users>")

    module["_users_xml"] = users_xml
    return __main__.main()


if __name__ == "__main__":
    kind = sys.argv.pop(1)
    if kind == "statements":
        _run_statements(Path(sys.argv[1]), sys.argv[2])
    else:
        sys.exit(_serve(sys.argv.pop(1)))
