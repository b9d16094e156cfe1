"""Importing: files of spans, as other tools wrote them, into the Logboek."""

from ldv_otel.importer.importing import Existing, ImportReport, import_files, patience
from ldv_otel.importer.otlp_json import Problem

__all__ = ["Existing", "ImportReport", "Problem", "import_files", "patience"]
