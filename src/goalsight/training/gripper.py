"""Which action axis of a dataset opens and closes: an actor gives it a distribution of its own."""

from __future__ import annotations

import torch

from goalsight.data import Dataset
from goalsight.data import format as layout
from goalsight.errors import UserError

GRIPPER = "gripper"
"""Name of the action axis that opens and closes."""
ANYWHERE = (-1.0, 1.0)


def find_gripper(
    dataset: Dataset, episodes: list[int], wanted: str
) -> tuple[int | None, tuple[float, float]]:
    """The axis that is one of two values, and the values.

    Args:
        dataset: to look at.
        episodes: of it, indices.
        wanted: its name, `none`, or `auto`; see `goalsight.training.actor.ActorConfig.gripper`.

    Raises:
        UserError: if there is no axis of that name; lists those that exist.
    """
    names = dataset.provenance.action_names
    if wanted == "none" or (wanted == "auto" and GRIPPER not in names):
        return None, ANYWHERE
    name = GRIPPER if wanted == "auto" else wanted
    if name not in names:
        raise UserError(
            f"--actor.gripper: no action axis {name!r}; there are: {', '.join(names)}, or none"
        )
    axis = names.index(name)
    seen = torch.from_numpy(dataset.columns([layout.ACTION], episodes)[layout.ACTION][:, axis])
    low, high = float(seen.min()), float(seen.max())
    near = 0.1 * (high - low)
    shares = [float((seen - value).abs().le(near).float().mean()) for value in (low, high)]
    if wanted == "auto" and (sum(shares) < 0.95 or min(shares) < 0.01):
        return None, ANYWHERE
    return axis, (low, high) if low < high else ANYWHERE
