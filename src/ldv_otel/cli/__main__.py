"""`python -m ldv_otel.cli`, where the command is not on the path."""

from ldv_otel.cli import main

main()
