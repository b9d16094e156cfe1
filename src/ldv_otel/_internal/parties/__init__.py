"""Parties: applications of other organisations that call this one or are called, and the proofs of callers."""
