"""The named queries of a Logboek, and their SQL."""
