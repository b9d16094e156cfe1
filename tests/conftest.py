"""Settings for all tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Machines here are noisy: a slow example is no failure.
settings.register_profile("noisy", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("noisy")
