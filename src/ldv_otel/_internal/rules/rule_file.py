"""The file of `LDV_RULES`: the one place that reads it."""

from __future__ import annotations

from pathlib import Path

from ldv_otel._internal.config.yaml_file import read_yaml
from ldv_otel._internal.rules.rules import RuleFile, Rules


def read_rule_file(path: Path) -> Rules:
    """Read mapping rules from a file.

    Raises:
        ConfigurationError: It cannot be read, or holds something else; with line and place.
    """
    return Rules(read_yaml(path, "LDV_RULES", RuleFile).rules)
