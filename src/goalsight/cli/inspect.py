"""`goalsight inspect`: look into a world model, with a figure and JSON for every question.

Each command shows a checkpoint episodes that it did not train on and writes OUT/NAME.json and
OUT/NAME.png.
"""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from goalsight.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from goalsight.diagnostics import EvalContext


def probe(
    *,
    checkpoint: str,
    data: Path,
    out: Path,
    blocks: int = 5,
    windows: int = 1000,
    frames: int = 4000,
    seed: int = 0,
    device: str = "auto",
    json: bool = False,
) -> None:
    """Read simulator truth and proprio out of latents, encoded and imagined.

    Linear and MLP probes are fitted on encoded frames of training episodes and judged on held-out
    ones: R2 and error in SI units for every variable, from the encoder and from predictions 1 to
    BLOCKS ahead. Labels are used by the probes alone; the model stays as it is.

    Args:
        checkpoint: Folder of a checkpoint or of a training run, or the name of a shipped one.
        data: Folder of the dataset.
        out: Folder for probe.json and probe.png.
        blocks: Action blocks to imagine ahead.
        windows: Held-out windows to look at; all there are if fewer.
        frames: Training frames to fit the probes on; an error that shrinks with more of them was
            the probe's, not the model's.
        seed: Of the choice of windows and of the MLP probe.
        device: PyTorch device the model runs on; auto is a GPU where there is one.
        json: Print JSON for a machine to read.

    Example:
        goalsight inspect probe --checkpoint runs/push --data runs/push-data --out runs/look
    """
    from goalsight.diagnostics import draw_probe, open_subject
    from goalsight.diagnostics import probe as run

    check_counts(blocks=blocks, windows=windows, frames=frames)
    subject = open_subject(checkpoint, data, device)
    fit, held_out = subject.to_fit(seed, count=frames), subject.held_out(blocks, windows, seed)
    report = run(fit, held_out, seed=seed)
    finish(subject, out, "probe", report, draw_probe(report), json=json)


def collapse(
    *,
    checkpoint: str,
    data: Path,
    out: Path,
    blocks: int = 5,
    windows: int = 1000,
    seed: int = 0,
    device: str = "auto",
    json: bool = False,
) -> None:
    """Say how much of the latent space is used: std per dimension, spectrum, effective rank.

    Args:
        checkpoint: Folder of a checkpoint or of a training run, or the name of a shipped one.
        data: Folder of the dataset.
        out: Folder for collapse.json and collapse.png.
        blocks: Action blocks to imagine ahead; imagined latents are measured at the last.
        windows: Held-out windows to look at; all there are if fewer.
        seed: Of the choice of windows.
        device: PyTorch device the model runs on; auto is a GPU where there is one.
        json: Print JSON for a machine to read.

    Example:
        goalsight inspect collapse --checkpoint runs/push --data runs/push-data --out runs/look
    """
    from goalsight.diagnostics import collapse as run
    from goalsight.diagnostics import draw_collapse, open_subject

    check_counts(blocks=blocks, windows=windows)
    subject = open_subject(checkpoint, data, device)
    report = run(subject.held_out(blocks, windows, seed))
    finish(subject, out, "collapse", report, draw_collapse(report), json=json)


def drift(
    *,
    checkpoint: str,
    data: Path,
    out: Path,
    blocks: int = 10,
    windows: int = 1000,
    seed: int = 0,
    device: str = "auto",
    json: bool = False,
) -> None:
    """Measure how far imagination strays, 1 to BLOCKS action blocks ahead, open loop.

    The error is in units of the latents' variance and stands beside two that need no model: the
    present frame again (copy-last) and the mean latent.

    Args:
        checkpoint: Folder of a checkpoint or of a training run, or the name of a shipped one.
        data: Folder of the dataset.
        out: Folder for drift.json and drift.png.
        blocks: Action blocks to imagine ahead.
        windows: Held-out windows to look at; all there are if fewer.
        seed: Of the choice of windows.
        device: PyTorch device the model runs on; auto is a GPU where there is one.
        json: Print JSON for a machine to read.

    Example:
        goalsight inspect drift --checkpoint runs/push --data runs/push-data --out runs/look
    """
    from goalsight.diagnostics import draw_drift, open_subject
    from goalsight.diagnostics import drift as run

    check_counts(blocks=blocks, windows=windows)
    subject = open_subject(checkpoint, data, device)
    report = run(subject.held_out(blocks, windows, seed))
    finish(subject, out, "drift", report, draw_drift(report), json=json)


class Report(Protocol):
    """What every diagnostic gives back: a dataclass of plain values."""

    def summary(self) -> str:
        """A few lines for a person."""


def check_counts(**counts: int) -> None:
    """Refuse what must be at least 1, by the name of its flag.

    Raises:
        UserError: for the first that is not.
    """
    for name, value in counts.items():
        if value < 1:
            raise UserError(f"--{name.replace('_', '-')} must be at least 1, got {value}")


def finish(
    subject: EvalContext, out: Path, name: str, report: Report, figure: Figure, *, json: bool
) -> None:
    """Write the two files of a diagnostic and print one of them.

    Args:
        subject: what was looked at.
        out: folder for the files.
        name: of the diagnostic.
        report: dataclass with the numbers.
        figure: of them.
        json: print the numbers instead of the summary.
    """
    from goalsight.diagnostics import report_values, write_report

    values = about(subject) | report_values(report)
    numbers, picture = write_report(out, name, values, figure)
    if json:
        print(jsonlib.dumps(values, indent=2))
        return
    print(report.summary())
    print(f"judged on {len(subject.split.held_out)} episodes: {subject.split.note}")
    print(f"{numbers}  {picture}")


def about(subject: EvalContext) -> dict[str, Any]:
    """What was looked at, as JSON values that head every report."""
    return {
        "checkpoint": dict(subject.checkpoint),
        "dataset": {
            "path": str(subject.dataset.path),
            "fingerprint": subject.dataset.fingerprint(),
            "held_out_episodes": len(subject.split.held_out),
            "held_out": subject.split.note,
        },
    }
