"""What a dataset covers, as one page: measures, a verdict with reasons, figures, sample strips."""

from goalsight.data.report.measures import Measures, measure
from goalsight.data.report.page import write_page
from goalsight.data.report.verdict import Finding, judge

__all__ = ["Finding", "Measures", "judge", "measure", "write_page"]
