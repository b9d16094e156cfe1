"""The application with every command: for what looks at all of them."""

from __future__ import annotations

from ldv_otel._internal.cli.application import application

app = application()
