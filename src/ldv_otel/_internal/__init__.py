"""Nothing below here is promised; the public modules are `ldv_otel` and its `attributes`, `errors` and `testing`."""
