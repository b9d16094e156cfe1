"""Removing records that are past their term."""
