"""Settings for all tests."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

# Machines here are noisy: a slow example is no failure.
settings.register_profile("noisy", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("noisy")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell lets its background jobs ignore it, and so would every service that a test starts and stops with it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
