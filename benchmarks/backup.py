"""What a backup costs: time and size of `ldv backup` and `ldv restore`, beside the table that is backed up.

python -m benchmarks.backup --records 1000000
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.config.settings import read_settings
from ldv_otel._internal.privacy.key_file import add_key

#: Ids are chance and everything else repeats, as in a Logboek; 500 records a second.
FILL = Sql("""
INSERT INTO logregel (trace_id, span_id, parent_span_id, start_time, duration_ms, status, name, processing_activity_id,
                      data_subject_id, data_subject_id_type, key_id, attributes, resource, writer_id, seq)
SELECT reinterpretAsFixedString(generateUUIDv4(number)), toFixedString(randomString(8, number), 8), '',
       toDateTime64('2026-11-01 00:00:00', 3, 'UTC') + toIntervalMillisecond(number * 2), number % 50, 'Unset',
       'Wijzig kenteken', concat('https://register.example/activiteiten/', toString(number % 20)),
       reinterpretAsFixedString(generateUUIDv4(number + 1)), 'BSN', '2026',
       map('dpl.core.user', concat('m', toString(number % 100))), '{"service.name":"parkeren"}', 'w', number
FROM numbers({records:UInt64})
""")
SIZE = Sql("SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND table = 'logregel'")


def main() -> None:
    """Fill a Logboek, and do both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    records = parser.parse_args().records
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        environ = {name: value for name, value in os.environ.items() if not name.startswith("LDV_")}
        environ |= {"LDV_LOGBOEK": f"chdb://{home}/logboek", "LDV_KEYS": f"{home}/keys", "LDV_STATE": f"{home}/state"}
        add_key(home / "keys")
        settings = read_settings(environ)
        apply_schema(settings)
        with LogboekClient(settings) as client:
            client.rows(FILL, {"records": records})
            ((size,),) = client.rows(SIZE)
        print(f"{records} records, {size / records:.1f} bytes each in the table")
        seconds = timed(environ, "backup", f"{home}/copy")
        packed = sum(path.stat().st_size for path in (home / "copy").iterdir())
        print(f"backup   {seconds:.1f} s, {packed / records:.1f} bytes a record ({packed / size:.2f}x)")
        seconds = timed(environ | {"LDV_LOGBOEK": f"chdb://{home}/restored"}, "restore", f"{home}/copy")
        print(f"restore  {seconds:.1f} s")


def timed(environ: dict[str, str], *arguments: str) -> float:
    """Run a command; return its seconds."""
    began = time.monotonic()
    command = [sys.executable, "-m", "ldv_otel._internal.cli", *arguments]
    subprocess.run(command, env=environ, check=True, capture_output=True)
    return time.monotonic() - began


if __name__ == "__main__":
    main()
