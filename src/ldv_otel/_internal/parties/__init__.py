"""Organisations that call or are called, and how they prove who they are."""
