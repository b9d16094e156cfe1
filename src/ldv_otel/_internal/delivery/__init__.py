"""Delivery: how a Logregel gets from the caller to the Logboek, and what its `end()` promises."""
