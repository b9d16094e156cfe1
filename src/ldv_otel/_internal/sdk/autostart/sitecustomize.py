"""Sets OpenTelemetry and the Logboek up before the program that `ldv run` starts, or ends it."""

from ldv_otel._internal.sdk.entry_points import start

start()
