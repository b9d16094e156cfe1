"""The tables and views of a Logboek by name; `schema/*.sql` make them and say what is in each.

SQL names them as they are. A test holds these lists against what the schema makes, and against every query.
"""

from __future__ import annotations

from enum import StrEnum


class Table(StrEnum):
    """What holds rows, or takes them."""

    LOGREGEL = "logregel"
    LOGREGEL_LOCAL = "logregel_local"
    LDV_SCHEMA = "ldv_schema"
    LDV_REGISTER = "ldv_register"
    LDV_TERM = "ldv_term"
    LDV_REMOVAL = "ldv_removal"
    LDV_SUBJECT_LINK = "ldv_subject_link"
    LDV_MANIFEST = "ldv_manifest"
    LDV_REMOVAL_NOTE = "ldv_removal_note"
    LDV_CHECKPOINT = "ldv_checkpoint"
    LDV_VERIFICATION = "ldv_verification"
    LDV_TERM_DATE = "ldv_term_date"
    TECHNICAL_SPAN = "technical_span"
    COLLECTOR_SPAN = "collector_span"
    COLLECTOR_REFUSED = "collector_refused"


class View(StrEnum):
    """What shows rows, or carries them from one table to another."""

    LOGREGEL_SHOWN = "logregel_shown"
    LOGREGELS = "logregels"
    LOGREGELS_VAN = "logregels_van"
    LOGREGELS_TRACE = "logregels_trace"
    LOGREGELS_ACTIVITEIT = "logregels_activiteit"
    LOGREGELS_AANROEPER = "logregels_aanroeper"
    LOGREGELS_AANGEROEPEN = "logregels_aangeroepen"
    TECHNICAL_ABOVE = "technical_above"
    VERWERKINGSACTIVITEITEN = "verwerkingsactiviteiten"
    VERWERKINGSACTIVITEIT_VERSIES = "verwerkingsactiviteit_versies"
    VERWIJDERINGEN = "verwijderingen"
    KOPPELINGEN = "koppelingen"
    SCHRIJVERS = "schrijvers"
    GATEN = "gaten"
    CONTROLES = "controles"
    COLLECTOR_TO_LOGREGEL = "collector_to_logregel"
    COLLECTOR_TO_TECHNICAL_SPAN = "collector_to_technical_span"
    COLLECTOR_TO_REFUSED = "collector_to_refused"
