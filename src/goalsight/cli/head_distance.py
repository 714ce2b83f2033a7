"""`goalsight head distance`: learn how many blocks it is from one latent to another."""

from __future__ import annotations

import json as jsonlib
from dataclasses import asdict
from pathlib import Path

from goalsight.cli.head import begin
from goalsight.errors import UserError


def distance(
    *,
    checkpoint: str,
    data: Path,
    out: Path,
    on_policy: Path | None = None,
    blocks: int = 20,
    steps: int = 2000,
    seed: int = 0,
    device: str = "cpu",
    json: bool = False,
) -> None:
    """Learn how many action blocks recorded behaviour takes from one latent to another.

    A planner may then count the blocks that a plan leaves to go: `--settings distance=0.05`.

    Args:
        checkpoint: Folder of a checkpoint or of a training run, or the name of a shipped one.
        data: Folder of the dataset.
        out: Folder of the new run: the same model, its other heads, and this one.
        on_policy: Dataset of `goalsight collect --policy agent`; where it failed is never.
        blocks: Distances told apart; what is farther counts as never.
        steps: Steps of training.
        seed: Of everything random.
        device: Torch device to encode on.
        json: Print the measures as JSON.

    Example:
        goalsight head distance --checkpoint runs/push --data runs/push-data --out runs/push-far
    """
    from goalsight.data import open_dataset
    from goalsight.progress import progress_bar
    from goalsight.training.distance import DistanceConfig, fit_distance, judge_distance
    from goalsight.training.heads import experiences, save_with_head, sought_by

    subject = begin(checkpoint, data, out, device)
    try:
        config = DistanceConfig(blocks=blocks, steps=steps, seed=seed)
    except ValueError as error:
        raise UserError(str(error)) from error
    failed = None if on_policy is None else open_dataset(on_policy)
    with progress_bar("Encoding", "frames") as report:
        seen, judged_on = experiences(subject, seed, report)
        sought = [] if failed is None else [sought_by(subject.model, failed, report)]
    with progress_bar("Training", "steps") as report:
        head = fit_distance(subject.model, seen, config, sought, report)
    measures = judge_distance(head, judged_on)
    how = {**asdict(config), "data": subject.dataset.fingerprint()}
    if failed is not None:
        how["on_policy"] = failed.fingerprint()
    options = {"blocks": config.blocks, "width": config.width}
    folder = save_with_head(
        checkpoint, out, "temporal_distance", options, head.state_dict(), how=how,
        metrics={f"temporal_distance_{name}": value for name, value in measures.items()},
    )  # fmt: skip
    if json:
        print(jsonlib.dumps({"checkpoint": str(folder), **measures}))
        return
    print(f"judged on {subject.split.note}, at most {blocks} blocks apart:")
    print(f"  error    {measures['error_blocks']:.2f} blocks from encoded latents, ", end="")
    print(f"{measures['error_imagined_blocks']:.2f} from imagined ones")
    print(f"  rank     {measures['rank']:.2f} (the latent distance: {measures['rank_energy']:.2f})")
    print(f"  never    {100 * measures['never']:.0f} % of other episodes' latents called farther")
    print(f"checkpoint {folder}")
