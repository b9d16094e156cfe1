"""Where this user's state is kept, unless settings say otherwise."""

from __future__ import annotations

from pathlib import Path


def state_directory() -> Path:
    """Return the platform's directory for state of this package."""
    import platformdirs  # noqa: PLC0415  (5 ms that the import of the package need not cost)

    return Path(platformdirs.user_state_dir("ldv_otel", appauthor=False))
