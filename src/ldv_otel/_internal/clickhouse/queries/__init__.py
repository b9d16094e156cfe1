"""The named questions to a Logboek, and their SQL."""
