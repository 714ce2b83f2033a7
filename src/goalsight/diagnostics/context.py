"""A model beside the episodes to look at it with: those it trained on and those it never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goalsight.checkpoint import find_checkpoint, load_checkpoint
from goalsight.data import Dataset, Windows, open_dataset, split_episodes
from goalsight.diagnostics.latents import Latents, imagine
from goalsight.errors import DatasetError
from goalsight.models import WorldModel
from goalsight.progress import progress_bar

FIT_EPISODES = 200
"""Training episodes read at most to fit probes: enough, and they fit into memory."""
FIT_FRAMES = 4000
"""Their frames that a probe is fitted on."""


@dataclass(frozen=True)
class Split:
    """Which episodes are for fitting and which for judging."""

    fit: NDArray[np.int64]
    """Episodes a probe may be fitted on."""
    held_out: NDArray[np.int64]
    """Episodes every number is measured on."""
    note: str
    """What the held-out episodes are, in words."""


def split_for(card: Mapping[str, Any], dataset: Dataset) -> Split:
    """Episodes that a model did not train on, as far as its card tells.

    Args:
        card: of the checkpoint.
        dataset: to look at.

    Raises:
        DatasetError: if the dataset has a single episode: nothing can be held out.
    """
    episodes = len(dataset.episodes)
    if episodes < 2:
        raise DatasetError(
            f"{dataset.path} has a single episode; a diagnosis needs one to fit and one to judge"
        )
    trained_on = card.get("dataset", {}).get("fingerprint")
    split = card.get("split")
    if trained_on == dataset.fingerprint() and split and split["validation"] > 0:
        fit, held_out = split_episodes(episodes, split["validation"], split["seed"])
        return Split(fit, held_out, "the training run's validation episodes")
    fit, held_out = split_episodes(episodes, 0.2, 0)
    if trained_on is not None and trained_on != dataset.fingerprint():
        return Split(fit, held_out, "episodes of another dataset than the model's own")
    return Split(fit, held_out, "episodes the model may have trained on: its card names no split")


@dataclass(frozen=True)
class EvalContext:
    """What is looked at."""

    model: WorldModel
    """In evaluation mode, on its device."""
    dataset: Dataset
    """What it is shown."""
    split: Split
    """Of the dataset's episodes."""
    checkpoint: Mapping[str, Any]
    """Name and checksum of the checkpoint, for the report."""

    def windows(self, episodes: Sequence[int] | NDArray[np.int64], blocks: int) -> Windows:
        """Windows that reach `blocks` action blocks ahead and as far back as the model looks.

        Raises:
            DatasetError: if no episode is long enough.
        """
        config = self.model.config
        frames = blocks + (config.context if blocks else 1)
        with progress_bar("Decoding") as report:
            return Windows(
                self.dataset,
                episodes,
                frames,
                config.frameskip,
                config.image_size,
                progress=report,
            )

    def held_out(self, blocks: int, count: int, seed: int) -> Latents:
        """Latents of held-out windows, imagined so many blocks ahead; see `imagine`."""
        windows = self.windows(self.split.held_out, blocks)
        return self._imagine(windows, blocks, count, seed)

    def to_fit(self, seed: int, blocks: int = 0, count: int = FIT_FRAMES) -> Latents:
        """Latents to fit probes on, of single frames or imagined further ahead; see `imagine`.

        More frames than usual come from as many more episodes.
        """
        order = np.random.default_rng(seed).permutation(self.split.fit)
        episodes = FIT_EPISODES * max(1, -(-count // FIT_FRAMES))
        windows = self.windows(np.sort(order[:episodes]), blocks)
        return self._imagine(windows, blocks, count, seed)

    def _imagine(self, windows: Windows, blocks: int, count: int, seed: int) -> Latents:
        with progress_bar("Imagining", "windows") as report:
            return imagine(
                self.model, windows, blocks=blocks, count=count, seed=seed, progress=report
            )


def open_subject(
    checkpoint: str | Path, data: str | Path | Dataset, device: str = "auto"
) -> EvalContext:
    """Load a checkpoint and open a dataset that it can be shown.

    Args:
        checkpoint: folder of a checkpoint or of a training run, or the name of a shipped one.
        data: dataset, or its folder.
        device: where the model runs; `auto` for a GPU where there is one.

    Raises:
        CheckpointError: if there is no such checkpoint or it is damaged.
        DatasetError: if there is no such dataset, or it is of another robot than the model.
    """
    dataset = data if isinstance(data, Dataset) else open_dataset(data)
    folder = find_checkpoint(checkpoint)
    loaded = load_checkpoint(folder, device)
    config = loaded.config
    if config.action_dim != dataset.action_dim or config.proprio_dim not in {
        0,
        dataset.proprio_dim,
    }:
        raise DatasetError(
            f"{dataset.path} has actions of {dataset.action_dim} and proprio of "
            f"{dataset.proprio_dim} numbers, the model takes {config.action_dim} and "
            f"{config.proprio_dim or 'no'}; give a dataset of the robot it was trained for"
        )
    return EvalContext(
        model=loaded.model,
        dataset=dataset,
        split=split_for(loaded.card, dataset),
        checkpoint={"path": str(folder), "sha256": loaded.sha256},
    )
