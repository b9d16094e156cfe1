"""A directory for PYTHONPATH: what Python loads first in every program that `ldv run` starts."""
