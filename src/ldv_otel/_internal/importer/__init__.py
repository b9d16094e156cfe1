"""Importing: files of spans, as other tools wrote them, into the Logboek."""

from ldv_otel._internal.importer.plain_spans import PlainSpan, read_plain_spans
from ldv_otel._internal.importer.run import Existing, ImportReport, import_files, patience
from ldv_otel._internal.importer.spans import Problem

__all__ = ["Existing", "ImportReport", "PlainSpan", "Problem", "import_files", "patience", "read_plain_spans"]
