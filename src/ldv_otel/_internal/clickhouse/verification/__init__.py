"""Checking the Logboek against its manifests."""
