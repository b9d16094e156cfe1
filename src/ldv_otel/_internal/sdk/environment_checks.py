"""Checks of what OpenTelemetry will do with this environment: who reads it, what it exports, what it instruments."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution, entry_points
from typing import Final
from urllib.parse import urlsplit

from ldv_otel._internal.config.checks import CheckOutcome
from ldv_otel._internal.sdk.uninstrumented_parts import left_out
from ldv_otel_start import is_named

_GRPC_PORT: Final = 4317
_HTTP_PORT: Final = 4318
#: Each protocol of OTLP: the exporter that speaks it, its package, and the port that it is not spoken on.
_PROTOCOLS: Final = {
    "grpc": ("otlp_proto_grpc", "opentelemetry-exporter-otlp-proto-grpc", _HTTP_PORT),
    "http/protobuf": ("otlp_proto_http", "opentelemetry-exporter-otlp-proto-http", _GRPC_PORT),
}
_OPT_IN: Final = "OTEL_SEMCONV_STABILITY_OPT_IN"
_OPT_IN_WORDS: Final = re.compile(r"(?:http|database|rpc|messaging|code|gen_ai)(?:/dup)?|gen_ai_latest_experimental")
#: Libraries through which work comes in or goes out. OpenTelemetry has instrumentations for many more.
_CARRIERS: Final = frozenset(
    {
        *("aio-pika", "aiohttp", "aiokafka", "celery", "confluent-kafka", "django", "falcon", "fastapi", "flask"),
        *("grpcio", "kafka-python", "pika", "pyramid", "remoulade", "requests", "tornado"),
    }
)


def check_reader(environ: Mapping[str, str]) -> CheckOutcome:
    """Check that something will read OpenTelemetry's variables where the name `ldv` stands in one of them."""
    name = "started by environment"
    if not is_named(environ):
        return CheckOutcome(name, "ok", "No variable of OpenTelemetry names `ldv`, so nothing has to read them.")
    if not importlib.util.find_spec("opentelemetry.instrumentation"):
        return CheckOutcome(
            name,
            "wrong",
            "OTEL_TRACES_EXPORTER, OTEL_TRACES_SAMPLER or OTEL_PROPAGATORS names `ldv`, and nothing here reads them.",
            "pip install opentelemetry-distro, and start the service with `ldv run` or `opentelemetry-instrument`; or "
            "call ldv_otel.install() in it.",
        )
    if not list(entry_points(group="opentelemetry_configurator")):
        return CheckOutcome(
            name,
            "wrong",
            "OpenTelemetry's auto-instrumentation is here without a distribution, so that it reads no OTEL_ variable.",
            "pip install opentelemetry-distro.",
        )
    return CheckOutcome(
        name,
        "ok",
        "OTEL_ variables name `ldv`. `ldv run` and `opentelemetry-instrument` read them; a plain `python app.py` does "
        "not.",
    )


def check_exporter(environ: Mapping[str, str]) -> CheckOutcome:
    """Check that the exporter of traces is installed, and speaks the protocol of its port."""
    name = "trace exporter"
    exporters = {word.strip() for word in environ.get("OTEL_TRACES_EXPORTER", "").split(",") if word.strip()}
    endpoint = environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    installed = {point.name for point in entry_points(group="opentelemetry_traces_exporter")}
    if missing := sorted(exporters - installed - {"none", "otlp"}):
        return CheckOutcome(
            name,
            "wrong",
            f"OTEL_TRACES_EXPORTER names {missing[0]!r}, and no such exporter is installed.",
            f"Installed are: {', '.join(sorted(installed))}.",
        )
    if "otlp" not in exporters and not (endpoint and not exporters):
        return CheckOutcome(name, "ok", f"OTEL_TRACES_EXPORTER is {', '.join(sorted(exporters)) or 'not set'}.")
    for variable in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if protocol := environ.get(variable, "").strip():
            break
    else:
        variable, protocol = "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"
    if protocol not in _PROTOCOLS:
        return CheckOutcome(
            name,
            "wrong",
            f"{variable} names a protocol that OpenTelemetry for Python does not have.",
            f"It has: {', '.join(_PROTOCOLS)}.",
        )
    exporter, package, wrong_port = _PROTOCOLS[protocol]
    said = protocol if environ.get(variable) else f"{protocol}, as {variable} is not set"
    if exporter not in installed:
        others = [other for other, (point, *_) in _PROTOCOLS.items() if point in installed]
        return CheckOutcome(
            name,
            "wrong",
            f"Traces go out by {said}, and {package} is not installed.",
            f"pip install {package}" + (f", or set {variable}={others[0]}." if others else "."),
        )
    if _port(endpoint) == wrong_port:
        other = next(each for each in _PROTOCOLS if each != protocol)
        return CheckOutcome(
            name,
            "wrong",
            f"Traces go out by {said}, to port {wrong_port}, where by custom {other} is spoken.",
            f"Set {variable}={other}, or the port to {_GRPC_PORT + _HTTP_PORT - wrong_port}.",
        )
    return CheckOutcome(name, "ok", f"Traces go out by {said}.")


def check_conventions(environ: Mapping[str, str]) -> CheckOutcome:
    """Say which names instrumentations write; a rule finds both."""
    name = "semantic conventions"
    words = [word.strip() for word in environ.get(_OPT_IN, "").split(",") if word.strip()]
    if not all(_OPT_IN_WORDS.fullmatch(word) for word in words):
        return CheckOutcome(
            name,
            "look",
            f"{_OPT_IN} has a word that instrumentations do not have.",
            "For HTTP it is http or http/dup, for databases database or database/dup.",
        )
    writes = f"{_OPT_IN} is {', '.join(words)}" if words else f"{_OPT_IN} is not set: most write the former names"
    return CheckOutcome(name, "ok", f"{writes}. Mapping rules find both.")


def check_instrumentations(environ: Mapping[str, str]) -> CheckOutcome:
    """Check that what carries work in and out of this environment is instrumented."""
    name = "instrumentations"
    if not importlib.util.find_spec("opentelemetry.instrumentation"):
        return CheckOutcome(
            name, "ok", "OpenTelemetry's auto-instrumentation is not installed; spans are made in code."
        )
    sentences = left_out(environ)
    packages = not_instrumented()
    if packages:
        sentences.append(f"These have no instrumentation, and make no spans: {', '.join(packages)}.")
    if sentences:
        advice = f"pip install {' '.join(packages.values())}, where mapping rules need them." if packages else ""
        return CheckOutcome(
            name, "look", " ".join(sentences), advice or "Make sure that none of it processes personal data."
        )
    return CheckOutcome(name, "ok", "What carries work in and out is instrumented, and nothing is left out.")


def not_instrumented() -> dict[str, str]:
    """Return libraries here that OpenTelemetry has an instrumentation for, which is not here; with its package."""
    from opentelemetry.instrumentation.bootstrap_gen import libraries  # another package

    packages = {}
    for entry in libraries:
        library = re.split(r"[ <>=~!\[]", entry["library"], maxsplit=1)[0]
        package = entry["instrumentation"].partition("==")[0]
        if library.lower() in _CARRIERS and is_installed(library) and not is_installed(package):
            packages[library] = package
    return packages


def is_installed(package: str) -> bool:
    """Return whether a package is in this environment."""
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True


def _port(endpoint: str) -> int | None:
    try:
        return urlsplit(endpoint if "://" in endpoint else f"//{endpoint}").port
    except ValueError:
        return None
