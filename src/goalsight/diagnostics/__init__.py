"""Diagnostics: questions to a world model, each answered with a report and a figure.

`imagine` makes the latents; `probe`, `collapse` and `drift` are functions of them.
`similarity`, `energy_landscape` and `surprise` ask the model itself;
`goalsight.diagnostics.voe_scenes`, which needs the simulator, makes what `surprise` shows it.
"""

from goalsight.diagnostics.collapse import CollapseReport, collapse, draw_collapse
from goalsight.diagnostics.context import (
    EvalContext,
    Latents,
    Split,
    imagine,
    open_subject,
    report_values,
    split_for,
    write_report,
)
from goalsight.diagnostics.drift import DriftReport, draw_drift, drift
from goalsight.diagnostics.energy import LandscapeReport, draw_landscape, energy_landscape
from goalsight.diagnostics.probe import ProbeReport, draw_probe, probe
from goalsight.diagnostics.similarity import SimilarityReport, draw_similarity, similarity
from goalsight.diagnostics.surprise import SurpriseReport, draw_surprise, surprise

__all__ = [
    "CollapseReport",
    "DriftReport",
    "EvalContext",
    "LandscapeReport",
    "Latents",
    "ProbeReport",
    "SimilarityReport",
    "Split",
    "SurpriseReport",
    "collapse",
    "draw_collapse",
    "draw_drift",
    "draw_landscape",
    "draw_probe",
    "draw_similarity",
    "draw_surprise",
    "drift",
    "energy_landscape",
    "imagine",
    "open_subject",
    "probe",
    "report_values",
    "similarity",
    "split_for",
    "surprise",
    "write_report",
]
