"""Starts the server without the CLI and its extras, for tests and process managers."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ldv_otel._internal.clickhouse.embedded.server import Listening, serve
from ldv_otel.errors import ConfigurationError


def main() -> int:
    """Serve until a signal to stop; print the address, on one line, once requests are answered."""
    parser = argparse.ArgumentParser(prog="ldv-logboek", description="Share an embedded Logboek with other processes.")
    parser.add_argument("--path", type=Path, required=True, help="directory of the embedded engine")
    parser.add_argument("--listen", default="127.0.0.1:8123", help="address and port; port 0 for any")
    parser.add_argument("--certificate", type=Path, help="PEM file of the server's certificate, for TLS")
    parser.add_argument("--private-key", type=Path, help="PEM file of its key, where it is another")
    arguments = parser.parse_args()
    host, _, port = arguments.listen.rpartition(":")
    if not port.isdigit():
        parser.error(f"--listen {arguments.listen} is not HOST:PORT")
    try:
        certificate = (arguments.certificate, arguments.private_key) if arguments.certificate else None
        serve(arguments.path, Listening(host, int(port), certificate), ready=_announce)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _announce(address: str) -> None:
    sys.stdout.write(f"{address}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
