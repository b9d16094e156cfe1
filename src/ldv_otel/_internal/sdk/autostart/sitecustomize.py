"""Sets OpenTelemetry and the Logboek up before the program that `ldv run` starts, or ends it.

Python loads one `sitecustomize`, the first on its path, and goes on when that fails. So whatever fails here ends the
process, and the application's own one, which this stands before, is loaded afterwards.

Nothing but the standard library is imported before it is known that there is more: the program's Python may be another
than that of `ldv run`.
"""

import importlib.machinery
import importlib.util
import os
import sys
from pathlib import Path

_NAME = "sitecustomize"
#: Set for processes that the service starts: one that lacks the package is no service, and runs as it would without us.
_STARTED = "_LDV_OTEL_STARTED"
#: Set where `ldv run` only asks whether a Python would load this; whoever sets it gets no service without a Logboek.
_PROBE = "_LDV_OTEL_PROBE"


def _start() -> None:
    try:
        from ldv_otel._internal.sdk.entry_points import start
    except Exception as error:
        reason = f"{sys.executable} cannot import ldv_otel ({type(error).__name__}: {error})"
        if _STARTED in os.environ:
            sys.stderr.write(f"ldv_otel: {reason}, so this process of the service keeps no Logboek.\n")
            return
        sys.stderr.write(
            f"ldv_otel: {reason}, so the service did not start. Install ldv-otel in the environment of that Python, "
            "and start the service with the `ldv run` of that environment.\n"
        )
        _end(1)
    if _PROBE in os.environ:
        sys.stdout.write(f"{_PROBE}\n")
        _end(0)
    start()
    os.environ[_STARTED] = "1"


def _end(status: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _load_the_next() -> None:
    """Load the `sitecustomize` that Python would have loaded without this one."""
    directory = Path(__file__).parent
    path = [entry for entry in sys.path if Path(entry or ".").absolute() != directory]
    spec = importlib.machinery.PathFinder.find_spec(_NAME, path)
    if spec is None or spec.loader is None or "auto_instrumentation" in (spec.origin or ""):
        # OpenTelemetry's own does what was done above.
        return
    module = importlib.util.module_from_spec(spec)
    sys.modules[_NAME] = module
    spec.loader.exec_module(module)


_start()
_load_the_next()
