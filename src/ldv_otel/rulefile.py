"""The file of `LDV_RULES`: the one place that reads it."""

from __future__ import annotations

from pathlib import Path

from ldv_otel.rules import RuleFile, Rules
from ldv_otel.yamlfile import read_yaml


def read_rule_file(path: Path) -> Rules:
    """Read mapping rules from a file.

    Raises:
        ConfigurationError: It cannot be read, or holds something else; with line and place.
    """
    return Rules(read_yaml(path, "LDV_RULES", RuleFile).rules)
