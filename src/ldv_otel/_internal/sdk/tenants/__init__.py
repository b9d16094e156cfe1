"""Tenants: which of several Logboeken an Actie belongs to (`LDV_LOGBOEKEN`).

The choice is made once, in `choice.py`, when a span begins; from there on the span has the processor of its tenant,
with that tenant's keys, spool and Logboek. A service without the file imports nothing of this.
"""
