"""`goalsight head`: train a small network on a model's latents, beside the model.

Every member reads a checkpoint and a dataset and writes a NEW run folder: the whole checkpoint,
its other heads, and the new one.
"""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from goalsight.diagnostics import EvalContext


def probe(
    *,
    checkpoint: str,
    data: Path,
    out: Path,
    variables: str = "",
    kind: Literal["linear", "mlp"] = "mlp",
    blocks: int = 5,
    windows: int = 2000,
    seed: int = 0,
    device: str = "auto",
    json: bool = False,
) -> int:
    """Teach a model to read state variables off its latents, for a decoded-state cost.

    Fitted on encoded frames and on what the model imagines 1 to BLOCKS ahead. Writes
    OUT/checkpoint (the model as it was, and the head), OUT/probe.json and OUT/probe.png. Variables
    named state.* are simulator labels: the card and every report of a benchmark say so.

    Args:
        checkpoint: Folder of a checkpoint or of a training run, or the name of a shipped one.
        data: Folder of the dataset.
        out: Folder of the new run; it must be empty or missing.
        variables: What to read, names joined by +, such as state.cube_pos+proprio.ee_x; by default
            all simulator truth that moves, without rotations.
        kind: One linear map, or an MLP with one hidden layer.
        blocks: Action blocks to imagine ahead.
        windows: Windows to fit on, and as many held-out ones to judge on; all there are if fewer.
        seed: Of the choice of windows and of the MLP.
        device: PyTorch device the model runs on; auto is a GPU where there is one.
        json: Print JSON for a machine to read.

    Returns:
        Exit status 0.

    Example:
        goalsight head probe --checkpoint runs/push --data runs/push-data --out runs/push-probe
        goalsight plan --checkpoint runs/push-probe --settings cost.decoded_weight=1 ...
    """
    from goalsight.cli.inspect import about
    from goalsight.diagnostics import draw_probe, report_values, write_report
    from goalsight.training.heads import TrainedHead, train_head

    names = tuple(name.strip() for name in variables.split("+") if name.strip())
    done = train_head(
        checkpoint,
        data,
        out,
        "probe",
        variables=names,
        kind=kind,
        blocks=blocks,
        windows=windows,
        seed=seed,
        device=device,
    )
    assert isinstance(done, TrainedHead)
    assert done.report is not None
    values = about(done.subject) | report_values(done.report)
    write_report(out, "probe", values, draw_probe(done.report))
    used = ", ".join(done.labels_used) or "none"
    note = f"{out}: simulator labels used: {used}; judged on {done.subject.split.note}"
    print(jsonlib.dumps(values, indent=2) if json else f"{done.report.summary()}\n{note}")
    return 0


def ensemble(
    *,
    checkpoint: str,
    data: Path,
    out: Path,
    members: int = 4,
    steps: int = 1500,
    seed: int = 0,
    device: str = "auto",
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
        device: PyTorch device to encode on; auto is a GPU where there is one.
        json: Print the measures as JSON.

    Example:
        goalsight head ensemble --checkpoint runs/push --data runs/push-data --out runs/push-sure
    """
    from goalsight.training.heads import TrainedHead, train_head

    done = train_head(
        checkpoint, data, out, "ensemble", members=members, steps=steps, seed=seed, device=device
    )
    assert isinstance(done, TrainedHead)
    if json:
        print(jsonlib.dumps({"checkpoint": str(done.checkpoint), **done.metrics}))
        return
    print(f"judged on {done.subject.split.note}, one block ahead:")
    print(f"  rank      {done.metrics['rank']:.2f} with the model's error")
    print(f"  shuffled  {done.metrics['shuffled']:.1f} times as much with other moments' actions")
    print(f"checkpoint {done.checkpoint}")


def begin(checkpoint: str, data: Path, out: Path, device: str = "auto") -> EvalContext:
    """What every member does first: refuse a bad --out, then open checkpoint and dataset.

    Args:
        checkpoint: as `goalsight.checkpoint.find_checkpoint` takes it.
        data: folder of the dataset.
        out: folder of the new run.
        device: where the model goes.

    Raises:
        OutputError: if `out` holds something.
        CheckpointError: if there is no such checkpoint.
        DatasetError: if there is no such dataset, or it is of another robot.
    """
    from goalsight.diagnostics import open_subject
    from goalsight.training.heads import check_new_run

    check_new_run(out)
    return open_subject(checkpoint, data, device)
