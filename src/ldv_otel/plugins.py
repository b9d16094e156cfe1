"""What an entry point of another package implements and uses: sinks and extensions.

A sink is an entry point of the group `ldv_otel_sink`, named by the scheme of `LDV_LOGBOEK` that it serves: a function
that takes the `Settings` and returns a `Sink`. An extension is an entry point of the group `ldv_otel_extension`, named
as in the file of `LDV_PARTIES`: a function that takes its options and returns an `Extension`. Errors are those of
`ldv_otel.errors`; `ldv_otel.testing.check_sink` checks a sink.
"""

from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.secrets import logboek_client_certificate, logboek_password
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import Batch
from ldv_otel._internal.delivery.sink import Sink, SinkTraits
from ldv_otel._internal.doors import publish as _publish
from ldv_otel._internal.parties.evidence import Certificate
from ldv_otel._internal.record.logregel import Logregel, Status
from ldv_otel._internal.record.span_facts import ForeignOperation
from ldv_otel._internal.sdk.extension_contract import Extension, OutboundCall, ReadHeader

__all__ = [
    "Batch",
    "Certificate",
    "Extension",
    "ForeignOperation",
    "LogboekAddress",
    "Logregel",
    "OutboundCall",
    "ReadHeader",
    "Settings",
    "Sink",
    "SinkTraits",
    "Status",
    "logboek_client_certificate",
    "logboek_password",
]

_publish(__name__, __all__, globals())
