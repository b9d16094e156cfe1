"""Mapping rules: which spans of existing instrumentation are Acties."""
