"""Pseudonyms, their keys, and the redaction of identifiers."""
