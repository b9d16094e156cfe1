"""`ldv serve` as a process, and an issuer of access tokens for it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

_START_SECONDS: Final = 120
_STOP_SECONDS: Final = 60
_SAY_SECONDS: Final = 30


class ServeProcess:
    """`ldv serve` on a free port of loopback, or another command that serves.

    Args:
        environ: Its `LDV_*` variables.
        arguments: More of the command line.
        log: File for its standard error.
        command: `serve` or `witness`.

    Attributes:
        address: `https://127.0.0.1:PORT`, or with `http`.
    """

    def __init__(self, environ: Mapping[str, str], *arguments: str, log: Path, command: str = "serve") -> None:
        self._log = log
        variables = {name: value for name, value in os.environ.items() if not name.startswith("LDV_")}
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ldv_otel._internal.cli", command, "--listen", "127.0.0.1:0", *arguments],
                env={**variables, **environ},
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                start_new_session=True,
            )
        stdout = self._process.stdout
        assert stdout
        line = stdout.readline() if select.select([stdout], [], [], _START_SECONDS)[0] else ""
        parts = urlsplit(line.removeprefix("Ready: ").strip())
        self.address = f"{parts.scheme}://{parts.netloc}"
        if not parts.port:
            self.stop()
            raise RuntimeError(f"ldv {command} did not start: {self.log}")

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def base(self) -> str:
        """Where the lezen API is."""
        return f"{self.address}/lezenapi/v1"

    def says(self, text: str) -> bool:
        """Wait until it has said something on standard error: a line of the access log may come after its answer."""
        deadline = time.monotonic() + _SAY_SECONDS
        while text not in self.log:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    @property
    def log(self) -> str:
        """What it has said on standard error so far; see `says`."""
        return self._log.read_text(encoding="utf-8")

    def stop(self) -> int:
        """Stop it as a service manager does, and return its exit status."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        finally:
            if self._process.stdout:
                self._process.stdout.close()

    def __enter__(self) -> Self:
        """Return the process itself, running."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()


class Issuer:
    """Gives out access tokens; its public keys are in a JWKS file."""

    issuer: Final = "https://login.example"
    audience: Final = "https://logboek.example"

    def __init__(self, directory: Path) -> None:
        self.key = ECKey.generate_key("P-256", {"kid": "one", "use": "sig"})
        self.jwks = directory / "jwks.json"
        self.publish(self.key)

    def publish(self, *keys: ECKey) -> None:
        """Write the JWKS."""
        self.jwks.write_text(json.dumps(KeySet(list(keys)).as_dict(private=False)), encoding="utf-8")

    @property
    def environ(self) -> dict[str, str]:
        """The variables of a server that takes its tokens."""
        return {
            "LDV_SERVE_ISSUER": self.issuer,
            "LDV_SERVE_AUDIENCE": self.audience,
            "LDV_SERVE_JWKS": str(self.jwks),
        }

    def token(
        self,
        scope: str | None = "ldv:read",
        *,
        key: ECKey | RSAKey | None = None,
        header: dict[str, Any] | None = None,
        without_kid: bool = False,
        **claims: Any,
    ) -> str:
        """Return a token; `claims` of None are left out."""
        now = int(time.time())
        given = {
            "iss": self.issuer,
            "aud": self.audience,
            "iat": now,
            "exp": now + 600,
            "client_id": "auditor",
            "scope": scope,
        } | claims
        head = {"alg": "ES256", "kid": "one", "typ": "at+jwt"} | (header or {})
        if without_kid:
            del head["kid"]
        return jwt.encode(
            head,
            {name: value for name, value in given.items() if value is not None},
            key or self.key,
            algorithms=[head["alg"]],
        )


def environ_of(settings: Any) -> dict[str, str]:
    """Return the variables that name the Logboek of some settings, and what answers of its read API say of it."""
    return {
        "LDV_ORGANISATION": settings.organisation or "Gemeente Voorbeeld",
        "LDV_LOGBOEK_ID": "https://logboek.example/lezenapi/v1",
        "LDV_LOGBOEK": str(settings.logboek),
        "LDV_KEYS": str(settings.keys),
    }
