"""Pictures and pages about results; imports the benchmark's results and nothing else of ours."""

from goalsight.report.filmstrip import filmstrip, write_filmstrip
from goalsight.report.page import write_report
from goalsight.report.table import write_suite
from goalsight.report.video import encode_video, write_video

__all__ = [
    "encode_video",
    "filmstrip",
    "write_filmstrip",
    "write_report",
    "write_suite",
    "write_video",
]
