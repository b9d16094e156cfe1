"""Importing: files of spans, as other tools wrote them, into the Logboek."""

from ldv_otel.importer.importing import Existing, ImportReport, import_files, patience
from ldv_otel.importer.otlp_json import Problem
from ldv_otel.importer.plain_spans import PlainSpan, read_plain_spans

__all__ = ["Existing", "ImportReport", "PlainSpan", "Problem", "import_files", "patience", "read_plain_spans"]
