"""Logging to somebody else's register of GEMMA Verwerkingenlogging."""
