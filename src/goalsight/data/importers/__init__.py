"""Logs people have: LeRobot, robomimic, Minari, OGBench and folders of video become a dataset.

`import_log` reads any of them and writes a dataset of ours; `export_dataset` writes one back as
LeRobot v3 with its episode and feature names and its actions in their own units. Neither knows of
a simulator.
"""

from goalsight.data.importers.exporting import ExportSummary, export_dataset
from goalsight.data.importers.importing import ImportConfig, ImportSummary, import_log
from goalsight.data.importers.opening import FORMATS, open_log
from goalsight.data.importers.record import ActionScale, ImportRecord, read_record
from goalsight.data.importers.source import Keys

__all__ = [
    "FORMATS",
    "ActionScale",
    "ExportSummary",
    "ImportConfig",
    "ImportRecord",
    "ImportSummary",
    "Keys",
    "export_dataset",
    "import_log",
    "open_log",
    "read_record",
]
