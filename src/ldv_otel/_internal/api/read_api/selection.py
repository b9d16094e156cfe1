"""Which records a request selects, as far as its client may see them."""

from __future__ import annotations

from http import HTTPStatus

import msgspec

from ldv_otel._internal.api.auth.clients import Client, Scope
from ldv_otel._internal.api.problem import Problem
from ldv_otel._internal.api.read_api.request import PSEUDONYM, LezenRequest
from ldv_otel._internal.clickhouse.queries.models import RecordQuery
from ldv_otel._internal.privacy.pseudonyms import KNOWN_TYPES, Pseudonymiser


def record_query(asked: LezenRequest, client: Client, pseudonymiser: Pseudonymiser) -> RecordQuery | None:
    """Return the query for a request, whoever makes it; None when no record can meet it.

    An identifier that nobody can have must not become a query without a subject, which all records meet.
    """
    subjects = subjects_of(asked, client, pseudonymiser)
    subject_type = pseudonymiser.normal_type(asked.subject_type)
    if (asked.subject and not subjects) or (asked.subject_type and not subject_type):
        return None
    return RecordQuery(
        trace_id=asked.trace_id,
        subjects=subjects,
        subject_type=subject_type,
        activity=asked.activity,
        processor=asked.processor,
        read_api=asked.read_api,
        transaction_id=asked.transaction_id,
        since_ms=asked.since_ms,
        ended_by_ms=asked.ended_by_ms,
    )


def seen_by(client: Client, query: RecordQuery) -> RecordQuery:
    """Return what is left of a query for a client: its activities, and its trace when its token opens one only.

    Raises:
        Problem: 403, it asks for another trace than that one; whether there is such a trace, it is not told.
    """
    query = msgspec.structs.replace(query, visible=client.activities)
    if not client.trace_id:
        return query
    if query.trace_id not in (b"", client.trace_id):
        raise Problem(
            HTTPStatus.FORBIDDEN,
            "Dit toegangstoken opent één trace, en de vraag noemt een andere.",
            headers={"WWW-Authenticate": 'Bearer realm="ldv", error="insufficient_scope"'},
        )
    return msgspec.structs.replace(query, trace_id=client.trace_id)


def subjects_of(asked: LezenRequest, client: Client, pseudonymiser: Pseudonymiser) -> tuple[bytes, ...]:
    """Return the pseudonyms of the person that a client asks about; the identifier goes no further (LDV-R7).

    Raises:
        Problem: 403, this client may ask with pseudonyms only.
    """
    if not asked.subject:
        return ()
    is_pseudonym = PSEUDONYM.fullmatch(asked.subject)
    pseudonyms = [bytes.fromhex(asked.subject)] if is_pseudonym else []
    if Scope.IDENTIFY in client.scopes:
        # A pseudonym is one of type and identifier, so without a type each one is tried.
        for type_ in (asked.subject_type,) if asked.subject_type else ("", *KNOWN_TYPES):
            pseudonyms += pseudonymiser.candidates(asked.subject, type_)
    elif not is_pseudonym:
        raise Problem(
            HTTPStatus.FORBIDDEN,
            f"Deze client mag alleen met een pseudoniem (32 hexadecimale cijfers) vragen: het recht {Scope.IDENTIFY} "
            "ontbreekt.",
        )
    # In the table zeros stand for no data subject at all, so that as a pseudonym they would find all such records.
    return tuple(dict.fromkeys(pseudonym for pseudonym in pseudonyms if any(pseudonym)))
