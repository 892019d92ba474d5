"""Reports: one self-contained HTML page and its charts, and lines for a terminal. From results alone."""

from assay.report.page import write_report
from assay.report.selection import selection_lines, write_selection_report
from assay.report.terminal import summary_lines, verdict_table
from assay.report.validation import validation_lines, write_validation_report

__all__ = [
    "selection_lines",
    "summary_lines",
    "validation_lines",
    "verdict_table",
    "write_report",
    "write_selection_report",
    "write_validation_report",
]
