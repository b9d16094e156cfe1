"""An example of a package that extends ldv_otel: see docs/plugins.md."""
