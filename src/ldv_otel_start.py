"""What `opentelemetry-instrument` loads of this package, outside of `ldv_otel`, whose import may be what fails.

OpenTelemetry logs whatever fails while it starts, and lets the service go on. A service that is to keep a Logboek must
not: so where the package cannot be imported, and the environment asks for a Logboek, this ends the process.
"""

import importlib
import os
import sys
import traceback
from collections.abc import Mapping

#: OpenTelemetry's variables in which the name `ldv` asks for a Logboek.
_NAMED_IN = ("OTEL_TRACES_EXPORTER", "OTEL_TRACES_SAMPLER", "OTEL_PROPAGATORS")


#: CPython's module of sub-interpreters, by its names since 3.13 and before.
_INTERPRETERS = ("_interpreters", "_xxsubinterpreters")


def refuse_subinterpreter() -> None:
    """Refuse to be imported where not all of the package can be: in a sub-interpreter, as mod_wsgi has by default.

    The libraries beneath it, and threads that outlive a request, do not work there; half of it would lose records.

    Raises:
        ImportError: This is a sub-interpreter; the message says how to do without.
    """
    if in_subinterpreter():
        raise ImportError(
            "ldv_otel does not work in a sub-interpreter of Python, so nothing is logged from here. Let the service "
            "run in the main interpreter: `WSGIApplicationGroup %{GLOBAL}` for mod_wsgi, `single-interpreter = true` "
            "for uWSGI, threads or processes instead of InterpreterPoolExecutor."
        )


def in_subinterpreter() -> bool:
    """Return whether this is another interpreter than the main one of the process."""
    for name in _INTERPRETERS:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        ids = [value[0] if isinstance(value, tuple) else value for value in (module.get_current(), module.get_main())]
        return bool(ids[0] != ids[1])
    return False


def pre_instrument() -> None:
    """Call `install()` when the environment asks for a Logboek; entry point of `opentelemetry-instrument`.

    Raises:
        SystemExit: The Logboek cannot be kept; the message says why.
    """
    try:
        from ldv_otel._internal.sdk.entry_points import pre_instrument as set_up
    except Exception as error:
        if not _asks():
            return
        if in_subinterpreter():
            # The service is the main interpreter's, and goes on with its Logboek.
            sys.stderr.write(f"ldv_otel: {error}\n")
            return
        sentence = (
            f"ldv_otel: The package cannot be imported ({type(error).__name__}: {error}), so the service did not "
            "start. Install ldv-otel anew, with what it needs."
        )
        if any(frame.f_globals.get("__name__") == "sitecustomize" for frame, _ in traceback.walk_stack(None)):
            # Python is still starting, and would bury the sentence in a "Fatal Python error" of two screens.
            sys.stderr.write(f"{sentence}\n")
            sys.stderr.flush()
            os._exit(1)
        raise SystemExit(sentence) from None
    set_up()


def is_named(environ: Mapping[str, str]) -> bool:
    """Return whether the name `ldv` in one of OpenTelemetry's variables asks for a Logboek."""
    return any(word.strip() == "ldv" for name in _NAMED_IN for word in environ.get(name, "").split(","))


def _asks() -> bool:
    return is_named(os.environ) or any(name.startswith("LDV_") and value for name, value in os.environ.items())
