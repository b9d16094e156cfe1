"""`python -m ldv_otel._internal.cli`, where the command is not on the path."""

from ldv_otel._internal.cli import main

main()
