"""Names of the standard, each written once.

Source: Logboek Dataverwerkingen 1.0 with the extensions *lezen*, *objecten* and *NEN 7513*; OpenTelemetry semantic
conventions for `exception.*`. The `ldv.` names are this package's own.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

__all__ = [
    "ACTIE_MARKS",
    "ACTIE_PREFIXES",
    "BARE_FOREIGN_OPERATION",
    "CONFIDENTIAL",
    "DATA_SUBJECT_ID",
    "DATA_SUBJECT_ID_TYPE",
    "EXCEPTION_MESSAGE",
    "EXCEPTION_STACKTRACE",
    "EXCEPTION_TYPE",
    "FIELDS",
    "FLAGS",
    "FOREIGN_OPERATION_PROCESSOR",
    "FOREIGN_OPERATION_SPAN_ID",
    "FOREIGN_OPERATION_TRACE_ID",
    "FSC_TRANSACTION_ID",
    "INTERRUPTED",
    "JSON_VALUES",
    "KEPT_UNTIL",
    "LEFT_OUT",
    "LINK",
    "MOVED_TO",
    "NAMESPACE",
    "NEXT_LOGBOOK_ID",
    "NEXT_LOGBOOK_NAMES",
    "OBJECTS_PROCESSING_ACTIVITY_ID",
    "OBJECTS_PROCESSING_ACTIVITY_NAMES",
    "OFFICER",
    "ORIGINAL_PREFIX",
    "OUTCOME_OF",
    "PARENT_PROCESSING_ACTIVITY_ID",
    "PROCESSING_ACTIVITY_ID",
    "REASON",
    "ROLLED_BACK",
    "VERSION",
    "VERSION_OF",
    "WITHDRAWN",
    "Flag",
]

PROCESSING_ACTIVITY_ID: Final = "dpl.core.processing_activity_id"
PARENT_PROCESSING_ACTIVITY_ID: Final = "dpl.core.parent_processing_activity_id"
DATA_SUBJECT_ID: Final = "dpl.core.data_subject_id"
DATA_SUBJECT_ID_TYPE: Final = "dpl.core.data_subject_id_type"
FOREIGN_OPERATION_TRACE_ID: Final = "dpl.core.foreign_operation.trace_id"
FOREIGN_OPERATION_SPAN_ID: Final = "dpl.core.foreign_operation.span_id"
FOREIGN_OPERATION_PROCESSOR: Final = "dpl.core.foreign_operation.processor"
#: The id that the transport of FSC gave an inbound call, a UUID (LDV-N16): Logboek, transaction log and the log of
#: authorisation decisions can be joined by it.
FSC_TRANSACTION_ID: Final = "dpl.fsc.transaction_id"
#: The read API of the called party (LDV-N4).
NEXT_LOGBOOK_ID: Final = "dpl.read.nextLogbookId"
#: That name, which is written, and those of earlier versions of the standard, which are read like it.
NEXT_LOGBOOK_NAMES: Final = (NEXT_LOGBOOK_ID, "dpl.read.externalReadAPI_id", "dpl.read.nextLogbook")

OBJECTS_PROCESSING_ACTIVITY_ID: Final = "dpl.objects.processing_activity_id"
#: That name, and the singular, in which implementers write it too (LDV-N9).
OBJECTS_PROCESSING_ACTIVITY_NAMES: Final = (OBJECTS_PROCESSING_ACTIVITY_ID, "dpl.object.processing_activity_id")

#: Attributes that make a span an Actie, present even when empty (LDV-A3).
ACTIE_MARKS: Final = (PROCESSING_ACTIVITY_ID, DATA_SUBJECT_ID)
#: Any attribute of the extension *objecten* does too, such as a dataset alone, and in the singular (LDV-N9).
ACTIE_PREFIXES: Final = ("dpl.objects.", "dpl.object.")

#: The caller as it is written beside the marks of an Actie without `dpl.core.`, and the name it is read as (LDV-N9).
BARE_FOREIGN_OPERATION: Final = {
    name.removeprefix("dpl.core."): name
    for name in (FOREIGN_OPERATION_TRACE_ID, FOREIGN_OPERATION_SPAN_ID, FOREIGN_OPERATION_PROCESSOR)
}

EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"
EXCEPTION_STACKTRACE: Final = "exception.stacktrace"

#: Everything of the standard lives in this namespace; other span attributes are not part of a Logregel (LDV-A9).
NAMESPACE: Final = "dpl."

#: Comma separated, sorted flags: what was normalised to make the record storable (LDV-A8).
FLAGS: Final = "ldv.flags"
#: `true` where an Actie began and never ended: its process was killed, or its end refused (level `write-ahead`).
INTERRUPTED: Final = "ldv.interrupted"
#: A record that is put right later is a new version beside the old (LDV-L3). All versions share a UUID. It begins with
#: the first four bytes of the trace id that the first version had: so it is found as a trace is.
VERSION_OF: Final = "ldv.version_of"
#: When this version was registered, in us since 1970-01-01 UTC; the highest of a record counts.
VERSION: Final = "ldv.version"
#: `true` in a version with which the record went; readers see none of its versions any more.
WITHDRAWN: Final = "ldv.withdrawn"
#: In such a version: the trace that the record went to, in hex.
MOVED_TO: Final = "ldv.moved_to"
#: `true` in a record that is confidential whatever the Register says of its activity.
CONFIDENTIAL: Final = "ldv.confidential"
#: The end of a record's own term, in ms since 1970-01-01 UTC; it goes before the term of its activity.
KEPT_UNTIL: Final = "ldv.kept_until"
#: The names of the attributes whose text is the JSON of a number, a boolean, a list or an object, with commas: so an
#: answer has them as they were set.
JSON_VALUES: Final = "ldv.json"
#: In the record of an outcome that came later: the span id of the Actie that it is the outcome of (LDV-N18).
OUTCOME_OF: Final = "ldv.outcome_of"
#: `true` where an Actie ended well and its database transaction was rolled back afterwards: what it did was undone.
ROLLED_BACK: Final = "ldv.rolled_back"
#: In a resource: the names of its attributes that the record does not keep, with commas (LDV-N8).
LEFT_OUT: Final = "ldv.left_out"
#: Where a value that had to be cut or replaced is kept whole: `ldv.original.<field>`.
ORIGINAL_PREFIX: Final = "ldv.original."

#: In a bare record, made because its own could not be: the type of the error that was the reason.
RECORD_ERROR: Final = "ldv.record_error"

#: Why somebody looked into the records about a person, in their own words.
REASON: Final = "ldv.reason"
#: In the records that numbers were linked as one person's, or no longer are: the link's UUID.
LINK: Final = "ldv.link"
#: Who looked: the pseudonym of their identifier, of the type `personeelsnummer`.
OFFICER: Final = "ldv.officer"

#: Attributes with a field of their own in the Logregel.
FIELDS: Final = frozenset(
    {
        PROCESSING_ACTIVITY_ID,
        PARENT_PROCESSING_ACTIVITY_ID,
        DATA_SUBJECT_ID,
        DATA_SUBJECT_ID_TYPE,
        FOREIGN_OPERATION_TRACE_ID,
        FOREIGN_OPERATION_SPAN_ID,
        FOREIGN_OPERATION_PROCESSOR,
        *NEXT_LOGBOOK_NAMES,
    }
)


class Flag(StrEnum):
    """Names what was normalised to make a record storable; the words found in `ldv.flags` (LDV-A8).

    The comment of each says what happened and, after the arrow, what to do: `make pages` makes docs/flags.md of it.
    """

    #: The span had no name; the record is called `(naamloos)`. -> Give the Actie a name: `processing(...,
    #: name=...)`, or `name` of the rule.
    NAME_MISSING = "name_missing"
    #: The name is over 1,024 characters; whole in `ldv.original.name`. -> Name the step, and put the rest
    #: into an attribute.
    NAME_CUT = "name_cut"
    #: It has no processing activity, such as a number that was named outside of any Actie. -> Put a block of
    #: `processing` around the work, or add a rule.
    ACTIVITY_MISSING = "activity_missing"
    #: The activity is kept, and is no URI. -> Use the URI that the Register has for it.
    ACTIVITY_NOT_URI = "activity_not_uri"
    #: The activity is over 2,048 characters; whole in `ldv.original.*`. -> Use the URI that the Register has
    #: for it.
    ACTIVITY_CUT = "activity_cut"
    #: A data subject was named without a number. -> Name nobody where there is nobody, or pass the number.
    SUBJECT_EMPTY = "subject_empty"
    #: The number cannot be one of its type, or had to be guessed from what was passed. -> Pass the number
    #: itself, as text.
    SUBJECT_FORM = "subject_form"
    #: A data subject was named without a type. -> Say which: `type="BSN"`.
    SUBJECT_TYPE_MISSING = "subject_type_missing"
    #: The type is none of the standard and no URI; one that looks like a number is not kept. -> Use a type of
    #: the standard, or a URI.
    SUBJECT_TYPE_UNKNOWN = "subject_type_unknown"
    #: A text quoted the number of a data subject of its trace; `REDACTED` takes its place. -> Nothing, but
    #: the code writes numbers into names or attributes.
    SUBJECT_REDACTED = "subject_redacted"
    #: The id of a foreign operation is no trace or span id; whole in `ldv.original.*`. -> Ask the other party
    #: for W3C Trace Context.
    FOREIGN_ID_MALFORMED = "foreign_id_malformed"
    #: A trace or span id of an imported span cannot be one; a new one was made of it. -> Look at what
    #: exported the file.
    ID_REPLACED = "id_replaced"
    #: An imported span has the ids of a record with other content; both are kept. -> Look whether two systems
    #: share ids.
    IDENTITY_TAKEN = "identity_taken"
    #: Two spans of the process have the same ids. -> Look at the id generator of the tracer provider.
    SPAN_ID_REPEATED = "span_id_repeated"
    #: The end counts as the start; whole in `ldv.original.end_time`. -> Look at the clock, or at code that
    #: sets the times of spans.
    END_BEFORE_START = "end_before_start"
    #: The Actie never ended: the process was killed, or the file has no end. -> Look at why the process
    #: stopped.
    END_MISSING = "end_missing"
    #: A time before 1970 or after 2261; whole in `ldv.original.*`. -> Look at the unit: OpenTelemetry has
    #: nanoseconds.
    TIME_OUT_OF_RANGE = "time_out_of_range"
    #: A character that no text may have became U+FFFD. -> Nothing, unless names of people come out wrong.
    TEXT_REPAIRED = "text_repaired"
    #: A value that is no text, number or list became one. -> Pass text.
    VALUE_CONVERTED = "value_converted"
    #: A text is over 16 Mi characters, and is cut there. -> Put a reference into the attribute, not the
    #: document.
    VALUE_CUT = "value_cut"
    #: The span had more attributes than its limit lets it keep. -> Raise `OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT`.
    ATTRIBUTES_DROPPED = "attributes_dropped"
    #: An error of ours: the bare record takes the place of the whole one. -> Report it, with the line that
    #: the service logged.
    RECORD_FAILED = "record_failed"
    #: A text has the BSN of somebody whom no Actie names (`LDV_STRAY_BSN`). -> Name that person as data
    #: subject, or take the number out of the text.
    STRAY_BSN = "stray_bsn"
    #: The Register did not have the activity when it was logged (`LDV_REGISTER_CHECK`). -> Add it to the
    #: Register, or correct the rule.
    ACTIVITY_UNKNOWN = "activity_unknown"
    #: Its block ended after the transaction had committed the record. -> Nothing: the outcome follows as a
    #: version of the record.
    AFTER_COMMIT = "after_commit"
    #: Nothing said whose it is, so it is in the quarantine. -> Say so where the work begins: `ldv_otel.tenant(...)`.
    TENANT_UNKNOWN = "tenant_unknown"
