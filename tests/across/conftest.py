"""One Logboek for the package, and a rig on it for each test."""

from __future__ import annotations

from tests.processes.fixtures import logboek, rig

__all__ = ["logboek", "rig"]
