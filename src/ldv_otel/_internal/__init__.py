"""Nothing below here is promised; the public modules are `ldv_otel` and its `attributes`, `errors` and `testing`."""

from ldv_otel_start import refuse_subinterpreter

# Before anything of ours, and of what it needs: half of it works there.
refuse_subinterpreter()
