"""Importing: files of spans, as other tools wrote them, into the Logboek."""
