"""Batches of windows, in an order that is a function of seed and position."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from goalsight.clip import Clip
from goalsight.data import (
    Dataset,
    Windows,
    action_statistics,
    proprio_statistics,
    split_episodes,
)
from goalsight.errors import DatasetError, DataWarning, UserError
from goalsight.models import WorldModel
from goalsight.progress import Progress, progress_bar, silent

MEMORY_LIMIT = 4 * 2**30
"""Latents of up to this many bytes are kept in memory."""


CHUNK = 64
"""Frames encoded at a time."""


@dataclass(frozen=True, kw_only=True)
class WindowsConfig:
    """How a dataset is cut into batches."""

    frames: int = 4
    """T, frames of a window."""
    batch: int = 96
    """Windows in a batch of each process; all there are if the dataset has fewer."""
    validation: float = 0.05
    """Share of the episodes held out."""
    workers: int = 0
    """Loading processes; 0 loads in the training process, which suits frames held in memory."""
    furthest: int = 110
    """With a loss that is told a goal, `--objective.behaviour`: control steps from a window's first
    frame to the furthest goal; the end of the episode where that is nearer."""
    camera: str = ""
    """Whose frames are looked at, such as `wrist`; empty for the dataset's main camera."""

    def __post_init__(self) -> None:
        for name, least in (("frames", 2), ("batch", 2), ("workers", 0), ("furthest", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if not 0 <= self.validation < 1:
            raise ValueError(f"validation must be in [0, 1), got {self.validation}")


class WindowData(LightningDataModule):
    """Training and validation windows of one dataset, split by episode."""

    def __init__(
        self,
        dataset: Dataset,
        config: WindowsConfig,
        *,
        frameskip: int,
        image_size: int,
        seed: int,
        goals: bool = False,
        progress: Progress = silent,
    ) -> None:
        """Read the dataset; what is wrong with it shows here, before any training.

        Args:
            dataset: where from.
            config: how it is cut.
            frameskip: K, control steps between two frames.
            image_size: height and width the model sees [pixels].
            seed: of the split and of the order, and of the goals.
            goals: whether windows come with one; see `GoalWindows`.
            progress: told how many videos are decoded.

        Raises:
            DatasetError: if it is damaged, or too short for two windows.
        """
        super().__init__()
        dataset = dataset.seen_by(config.camera)
        self.dataset, self.config, self._seed = dataset, config, seed
        self._goals = goals
        self.training_episodes, self.validation_episodes = split_episodes(
            len(dataset.episodes), config.validation, seed
        )

        def cut(episodes: NDArray[np.int64]) -> Windows:
            return Windows(
                dataset, episodes, config.frames, frameskip, image_size, progress=progress
            )

        self.training = cut(self.training_episodes)
        if len(self.training) < 2:
            raise DatasetError(
                f"{dataset.path} has a single window of {config.frames} frames, {frameskip} "
                "control steps apart; collect more episodes, or longer ones"
            )
        span = (config.frames - 1) * frameskip + 1
        long_enough = dataset.episodes[self.validation_episodes] >= span
        self.validation_episodes = self.validation_episodes[long_enough]
        self.validation = cut(self.validation_episodes) if long_enough.any() else None
        self.action_statistics = action_statistics(dataset, self.training_episodes.tolist())
        """Of the training split: mean, std, min and max of each action axis."""
        _warn_of_constants(self.action_statistics, dataset)
        self._frozen: WorldModel | None = None
        self.proprio_statistics = proprio_statistics(dataset, self.training_episodes.tolist())
        """Likewise of each number of proprio [SI units]."""

    def remember_latents(self, model: WorldModel) -> None:
        """Encode every frame once instead of at every step; for an encoder that does not learn."""
        self._frozen = model

    def train_dataloader(self) -> WindowLoader:
        """Shuffled batches that go on where a resumed run had stopped."""
        self._move_to_device()
        windows: Windows | EncodedWindows | GoalWindows = self.training
        model, frames = self._frozen, self._frames_to_see()
        if model is not None and worth_remembering(model, self.training, frames):
            windows = EncodedWindows(self.training, model)
        elif self._goals:
            windows = GoalWindows(self.training, self.config.furthest, self._seed)
        return WindowLoader(windows, self._batches(self.training), self.config.workers)

    def _move_to_device(self) -> None:
        """Frames go to the accelerator once where they fit, instead of at every step."""
        device = None if self.trainer is None else self.trainer.strategy.root_device
        if device is not None and device.type == "cuda" and not self.config.workers:
            for windows in filter(None, (self.training, self.validation)):
                windows.move(device)

    def _frames_to_see(self) -> float:
        """Frames that the run will look at in all its steps."""
        trainer = self.trainer
        steps = float("inf") if trainer is None or trainer.max_steps < 0 else trainer.max_steps
        return steps * self.config.batch * self.config.frames

    def val_dataloader(self) -> list[DataLoader[Clip]]:
        """A fixed random order, so that a few batches stand for all held-out episodes."""
        if self.validation is None or len(self.validation) < 2 * self._ranks()[1]:
            return []
        return [
            DataLoader(
                GoalWindows(self.validation, self.config.furthest, self._seed)
                if self._goals
                else self.validation,
                batch_sampler=self._batches(self.validation),
                collate_fn=whole_batch,
                generator=torch.Generator(),
            )
        ]

    def _batches(self, windows: Windows) -> ShuffledBatches:
        rank, ranks = self._ranks()
        batch = min(self.config.batch, len(windows) // ranks)
        return ShuffledBatches(len(windows), batch, self._seed, rank=rank, ranks=ranks)

    def _ranks(self) -> tuple[int, int]:
        """Which process this is, of how many."""
        trainer = self.trainer
        return (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)


def _warn_of_constants(statistics: Mapping[str, Sequence[float]], dataset: Dataset) -> None:
    """Say so if no action ever changes: such a model knows nothing of actions, and cannot plan."""
    if statistics["min"] == statistics["max"]:
        warnings.warn(
            f"{dataset.path}: every action is the same in all rows, so that a model learns nothing "
            "of what actions do; was the right column imported (--action)?",
            DataWarning,
            stacklevel=3,
        )


class ShuffledBatches:
    """Batch p of an endless stream of epochs: a permutation per epoch, cut into whole batches.

    Ranks that train together share the stream: each takes its part of every batch, and all parts
    in the order of the ranks are what one process would take in a batch as large as all of them.
    """

    def __init__(self, items: int, batch: int, seed: int, *, rank: int = 0, ranks: int = 1) -> None:
        """Describe the stream.

        Args:
            items: windows there are.
            batch: of them in a batch of one rank.
            seed: of all permutations.
            rank: which process this is.
            ranks: processes that train together.
        """
        self._items, self._batch, self._seed = items, batch, seed
        self._rank, self._ranks = rank, ranks
        self.start = 0
        """Batches that were used before; the next iteration begins there."""

    def __len__(self) -> int:
        """Batches in an epoch; windows that fill no batch wait for the next permutation."""
        return self._items // (self._batch * self._ranks)

    def __iter__(self) -> Iterator[list[int]]:
        """As many batches as an epoch has, from `start` on."""
        order, shuffled = np.empty(0, np.int64), -1
        for position in range(self.start, self.start + len(self)):
            epoch, at = divmod(position, len(self))
            if epoch != shuffled:
                order = self._permutation(epoch)
                shuffled = epoch
            first = (at * self._ranks + self._rank) * self._batch
            yield order[first : first + self._batch].tolist()

    def _permutation(self, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng([self._seed, epoch]).permutation(self._items)


class WindowLoader(DataLoader[Clip]):
    """A loader that knows its place in the stream and how long it kept the model waiting."""

    def __init__(
        self, windows: torch.utils.data.Dataset[Clip], batches: ShuffledBatches, workers: int
    ) -> None:
        """Load batches of windows.

        Args:
            windows: to load from.
            batches: which, in which order.
            workers: loading processes.
        """
        super().__init__(
            windows,
            batch_sampler=batches,
            num_workers=workers,
            collate_fn=whole_batch,
            multiprocessing_context="spawn" if workers else None,
            generator=torch.Generator(),  # its own: a loader draws a seed whenever it starts
        )
        self._batches = batches
        self._used = 0
        self.waited_s = 0.0
        """Time spent waiting for batches so far [s]."""

    def __iter__(self) -> Iterator[Clip]:  # type: ignore[override]
        """One epoch's worth of batches from where the last iteration ended."""
        self._batches.start = self._used
        batches = super().__iter__()
        while True:
            began = time.perf_counter()
            try:
                clip = next(batches)
            except StopIteration:
                return
            except RuntimeError as error:
                if "exited unexpectedly" not in str(error):
                    raise
                raise UserError(
                    "a loading process ended at once: a program that trains with "
                    "--windows.workers must do so under if __name__ == '__main__':, since its "
                    f"workers import it ({error})"
                ) from error
            self.waited_s += time.perf_counter() - began
            self._used += 1
            yield clip

    def state_dict(self) -> dict[str, int]:
        """Place in the stream, kept in Lightning's checkpoint."""
        return {"used": self._used}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from a place in the stream."""
        self._used = state["used"]


def whole_batch(batch: Any) -> Any:  # noqa: ANN401  (torch types it as a list of samples)
    """Windows come as a whole batch; there is nothing left to collate."""
    return batch


@dataclass(frozen=True)
class GoalClip(Clip):
    """A window and a picture that the same episode reached after it."""

    goal: Tensor
    """(B, 1, C, H, W) uint8 RGB."""
    time: Tensor
    """(B,) float32 control steps from frame 0 to the goal, at least as many as the window has."""

    def to(self, device: torch.device | str, non_blocking: bool = False) -> GoalClip:
        """The same clip on another device."""
        clip = super().to(device, non_blocking=non_blocking)
        return GoalClip(
            clip.frames,
            clip.actions,
            clip.proprio,
            self.goal.to(device, non_blocking=non_blocking),
            self.time.to(device, non_blocking=non_blocking),
        )


class GoalWindows(torch.utils.data.Dataset[Clip]):
    """Windows with a goal each, drawn anew at every look.

    The draw is a function of seed and of the batch alone: a resumed run draws what it would have.
    """

    def __init__(self, windows: Windows, furthest: int, seed: int) -> None:
        """Give windows goals.

        Args:
            windows: of at least two frames.
            furthest: control steps from a window's first frame to the furthest goal; the end of
                the episode where that is nearer.
            seed: of the goals.
        """
        self._windows, self._furthest, self._seed = windows, furthest, seed
        self._last = windows.last_rows

    def __len__(self) -> int:
        """Number of windows."""
        return len(self._windows)

    def __getitems__(self, indices: Sequence[int]) -> GoalClip:
        """Windows as one clip (B, ...).

        Raises:
            IndexError: if there is no such window.
        """
        clip = self._windows.__getitems__(indices)
        rows = self._windows.rows(indices)
        first, least = rows[:, 0], rows[:, -1] - rows[:, 0]
        room = np.maximum(least, np.minimum(self._last[first] - first, self._furthest))
        draw = np.random.default_rng([self._seed, *indices]).random(len(first))
        ahead = least + (draw * (room - least + 1)).astype(np.int64)
        return GoalClip(
            clip.frames,
            clip.actions,
            clip.proprio,
            self._windows.pictures((first + ahead)[:, None]),
            torch.from_numpy(ahead.astype(np.float32)).to(clip.actions.device),
        )


@dataclass(frozen=True)
class EncodedClip(Clip):
    """A clip whose frames were encoded before."""

    latents: Tensor
    """(*B, T, P, D) float32."""

    def to(self, device: torch.device | str, non_blocking: bool = False) -> EncodedClip:
        """The same clip on another device; its frames stay, nobody looks at them any more."""
        return EncodedClip(
            self.frames,
            self.actions.to(device, non_blocking=non_blocking),
            self.proprio.to(device, non_blocking=non_blocking),
            self.latents.to(device, non_blocking=non_blocking),
        )


def latents_of(model: WorldModel, clip: Clip) -> Tensor:
    """Latents (*B, T, P, D) of a clip, encoded now unless they were before."""
    return clip.latents if isinstance(clip, EncodedClip) else model.encode(clip.frames)


def worth_remembering(model: WorldModel, windows: Windows, frames: float) -> bool:
    """Whether encoding every frame once is less work, and its result fits into memory.

    Args:
        model: with a frozen encoder.
        windows: to train on.
        frames: that the run will look at, all its steps together.
    """
    size = 4 * windows.total_rows * model.patches * model.latent_dim
    has_weights = any(True for _ in model.encoder.parameters())  # pixels as they are have none
    return has_weights and windows.total_rows < frames and size <= MEMORY_LIMIT


@torch.no_grad()
def latent_variance(model: WorldModel, windows: Windows, frames: int = 512) -> float:
    """Variance over frames of the latents, averaged over patches and dimensions.

    What an energy is measured in: 1 for latents that a batch norm made, far less for layer-normed
    patches of which most show an empty table.

    Args:
        model: in any mode; its batch statistics are left alone.
        windows: of the training data.
        frames: to look at, evenly spread; all there are if fewer.
    """
    rows = np.linspace(0, windows.total_rows - 1, min(frames, windows.total_rows)).astype(np.int64)
    device, training = next(model.parameters()).device, model.training
    model.eval()
    chunks = [rows[at : at + CHUNK][None] for at in range(0, len(rows), CHUNK)]
    z = torch.cat([model.encode(windows.pictures(chunk).to(device))[0] for chunk in chunks])
    model.train(training)
    return float(z.float().var(0).mean()) if len(z) > 1 else 1.0


class EncodedWindows(torch.utils.data.Dataset[Clip]):
    """Windows whose clips carry their latents."""

    def __init__(self, windows: Windows, model: WorldModel) -> None:
        """Encode all frames, in float32 whatever the run's precision is.

        Args:
            windows: of frames.
            model: whose encoder stays as it is, on any device.
        """
        self._windows = windows
        self._latents = encode_all(windows, model)

    def __len__(self) -> int:
        """Number of windows."""
        return len(self._windows)

    def __getitems__(self, indices: Sequence[int]) -> EncodedClip:
        """Windows as one clip (B, ...).

        Raises:
            IndexError: if there is no such window.
        """
        clip = self._windows.__getitems__(indices)
        latents = self._latents[torch.from_numpy(self._windows.rows(indices))]
        return EncodedClip(clip.frames, clip.actions, clip.proprio, latents)


@torch.no_grad()
def encode_all(windows: Windows, model: WorldModel, progress: Progress | None = None) -> Tensor:
    """Latents of all frames of some episodes.

    Args:
        windows: of those episodes, one after another.
        model: whose encoder stays as it is, on any device, in evaluation mode.
        progress: told how many frames are encoded; without it a bar shows if it takes long.

    Returns:
        (rows, P, D) float32 on the CPU.
    """
    if progress is None:
        with progress_bar("Encoding", "frames") as bar:
            return encode_all(windows, model, bar)
    device, total = next(model.buffers()).device, windows.total_rows
    latents = torch.empty(total, model.patches, model.latent_dim)
    for at in range(0, total, CHUNK):
        rows = np.arange(at, min(at + CHUNK, total))[None]
        latents[at : at + CHUNK] = model.encode(windows.pictures(rows).to(device))[0]
        progress(min(at + CHUNK, total), total)
    return latents
