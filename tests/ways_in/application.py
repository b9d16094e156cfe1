"""An application that knows nothing of this package: plain OpenTelemetry, and one span that says what it processes.

Run as a script. It prints whether the span was sampled, which is what the tracing backend gets.
"""

from __future__ import annotations

from opentelemetry import trace


def main() -> None:
    """Do one thing with somebody's data, below a technical span."""
    tracer = trace.get_tracer("application")
    with tracer.start_as_current_span("technical"), tracer.start_as_current_span("the-id") as span:
        span.set_attribute("dpl.core.processing_activity_id", "https://register.example/ways-in")
    print("ran", "sampled" if span.get_span_context().trace_flags.sampled else "unsampled")


if __name__ == "__main__":
    main()
