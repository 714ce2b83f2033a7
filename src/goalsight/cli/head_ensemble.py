"""`goalsight head ensemble`: small predictors whose disagreement warns a planner."""

from __future__ import annotations

import json as jsonlib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from goalsight.cli.head import begin
from goalsight.errors import UserError

if TYPE_CHECKING:
    from goalsight.diagnostics import Subject
    from goalsight.progress import Progress
    from goalsight.training.moments import Experience

EPISODES = 600
"""Episodes learnt from at most."""
HELD_OUT = 100
"""Episodes judged on at most."""


def ensemble(
    *,
    checkpoint: str,
    data: Path,
    out: Path,
    members: int = 4,
    steps: int = 1500,
    seed: int = 0,
    device: str = "cpu",
    json: bool = False,
) -> None:
    """Train a few small predictors on a model's latents; where they disagree, it is on its own.

    A planner may then avoid such places: `--settings cost.disagreement_weight=1`.

    Args:
        checkpoint: Folder of a checkpoint or of a training run, or the name of a shipped one.
        data: Folder of the dataset.
        out: Folder of the new run: the same model, its other heads, and this one.
        members: Predictors.
        steps: Steps of training.
        seed: Of everything random.
        device: Torch device to encode on.
        json: Print the measures as JSON.

    Example:
        goalsight head ensemble --checkpoint runs/push --data runs/push-data --out runs/push-sure
    """
    from goalsight.progress import progress_bar
    from goalsight.training.ensemble import EnsembleConfig, fit_ensemble, judge_ensemble
    from goalsight.training.heads import save_with_head

    subject = begin(checkpoint, data, out, device)
    try:
        config = EnsembleConfig(members=members, steps=steps, seed=seed)
    except ValueError as error:
        raise UserError(str(error)) from error
    with progress_bar("Encoding", "frames") as report:
        seen, judged_on = experiences(subject, seed, report)
    with progress_bar("Training", "steps") as report:
        head = fit_ensemble(subject.model, seen, config, report)
    measures = judge_ensemble(subject.model, head, judged_on)
    options = {"members": config.members, "width": config.width}
    how = {**asdict(config), "data": subject.dataset.fingerprint()}
    folder = save_with_head(
        checkpoint, out, "ensemble", options, head.state_dict(), how=how,
        metrics={f"ensemble_{name}": value for name, value in measures.items()},
    )  # fmt: skip
    if json:
        print(jsonlib.dumps({"checkpoint": str(folder), **measures}))
        return
    print(f"judged on {subject.split.note}, one block ahead:")
    print(f"  rank      {measures['rank']:.2f} with the model's error")
    print(f"  shuffled  {measures['shuffled']:.1f} times as much with other moments' actions")
    print(f"checkpoint {folder}")


def experiences(subject: Subject, seed: int, progress: Progress) -> tuple[Experience, Experience]:
    """What a head learns from and what it is judged on, of episodes drawn by the seed."""
    from goalsight.training.moments import experience_of

    order = np.random.default_rng(seed).permutation(subject.split.fit)
    learnt, judged = np.sort(order[:EPISODES]), subject.split.held_out[:HELD_OUT]
    return (
        experience_of(subject.model, subject.dataset, learnt, progress),
        experience_of(subject.model, subject.dataset, judged, progress),
    )
