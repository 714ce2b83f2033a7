"""`goalsight eval-offline`: the numbers one can have of a model without a robot."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path

from goalsight.cli.inspect import about, check_counts, finish
from goalsight.errors import UserError


def eval_offline(
    *,
    checkpoint: str,
    data: Path,
    out: Path | None = None,
    blocks: int = 10,
    windows: int = 1000,
    goal_blocks: int = 3,
    moments: int = 200,
    plans: int = 300,
    seed: int = 0,
    device: str = "auto",
    json: bool = False,
) -> None:
    """Judge a model by held-out logs: no robot, no simulator.

    Open-loop error by blocks ahead beside copy-last; action recovery by the inverse head and by
    planning to the next recorded frame; goal ranking, whether the plan that was recorded is among
    the best of PLANS by the model's own cost. All with 95 % intervals over held-out episodes.

    Args:
        checkpoint: Folder of a checkpoint or of a training run, or the name of a shipped one.
        data: Folder of the dataset.
        out: Folder for offline.json and offline.png; without it they are not written.
        blocks: Action blocks of the open-loop error.
        windows: Held-out windows of it; all there are if fewer.
        goal_blocks: Action blocks from a moment to its goal, for the ranking.
        moments: Held-out moments to plan from and to rank; all there are if fewer.
        plans: Plans that the recorded one is ranked among, itself included.
        seed: Of everything random.
        device: PyTorch device the model runs on; auto is a GPU where there is one.
        json: Print JSON for a machine to read.

    Raises:
        UserError: if a number is out of its range.

    Example:
        goalsight eval-offline --checkpoint runs/mine --data runs/mine-data --out runs/mine-offline
    """
    from goalsight.diagnostics import open_subject, report_values
    from goalsight.diagnostics.offline import draw_offline, evaluate_offline

    check_counts(blocks=blocks, windows=windows, goal_blocks=goal_blocks)
    if moments < 2 or plans < 2:
        raise UserError(f"--moments and --plans must be at least 2, got {moments} and {plans}")
    subject = open_subject(checkpoint, data, device)
    report = evaluate_offline(
        subject,
        blocks=blocks,
        windows=windows,
        goal_blocks=goal_blocks,
        moments=moments,
        plans=plans,
        seed=seed,
    )
    if out is not None:
        finish(subject, out, "offline", report, draw_offline(report), json=json)
    elif json:
        print(jsonlib.dumps(about(subject) | report_values(report), indent=2))
    else:
        print(report.summary())
        print(f"judged on {len(subject.split.held_out)} episodes: {subject.split.note}")
