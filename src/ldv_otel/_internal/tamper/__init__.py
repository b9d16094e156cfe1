"""Tamper evidence: what a signed manifest says about records, and the proofs that follow from it (docs/tamper.md)."""
