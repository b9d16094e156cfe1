"""Moments and lengths of time."""
