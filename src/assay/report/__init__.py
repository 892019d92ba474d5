"""The report: one self-contained HTML page and its charts, the verdicts in a terminal. From results alone."""

from assay.report.page import write_report
from assay.report.terminal import summary_lines, verdict_table

__all__ = ["summary_lines", "verdict_table", "write_report"]
