"""Hindsight pairs: here, a goal that the same episode reached later, and what was done first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from goalsight.clip import Clip
from goalsight.data import Dataset, Windows
from goalsight.data import format as layout
from goalsight.errors import DatasetError
from goalsight.models import WorldModel
from goalsight.progress import progress_bar
from goalsight.provenance import DEMONSTRATIONS
from goalsight.training.data import WindowData, WindowLoader, WindowsConfig
from goalsight.training.gripper import GRIPPER
from goalsight.training.latents import MEMORY_LIMIT, encode_all

DEMONSTRATORS = frozenset({"expert", "noisy-expert", "recover", "retry", "hold-goal", "correct"})
"""Policies that see the simulator's state and know how a goal is reached."""


def demonstrations(dataset: Dataset) -> list[str]:
    """What imitating a dataset uses besides pictures and actions, for `labels_used`.

    Play sees the state, too, but follows no goal: what it did is demonstrated in hindsight alone.
    """
    acted = {record.policy or dataset.provenance.policy for record in dataset.records}
    return [DEMONSTRATIONS] if acted & DEMONSTRATORS else []


@dataclass(frozen=True, kw_only=True)
class HindsightConfig:
    """Which goals a frame is paired with."""

    furthest: int = 110
    """Control steps to the furthest goal; the end of the episode where that is nearer."""
    stay: float = 0.12
    """Share of the pairs whose goal is the present: nothing is to move, whatever time is left."""
    batch: int = 256
    """Pairs in a batch."""
    validation: float = 0.05
    """Share of the episodes held out."""

    def __post_init__(self) -> None:
        if self.furthest < 2 or self.batch < 2:
            raise ValueError(
                f"furthest and batch must be at least 2, got {self.furthest} and {self.batch}"
            )
        for name in ("stay", "validation"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)}")


@dataclass(frozen=True)
class HindsightClip(Clip):
    """Frame 0 is now, frame 1 the goal, the block is what ran from now; encoded, no pictures."""

    latents: Tensor
    """(B, 2, P, D) float32."""
    time: Tensor
    """(B,) float32 control steps from now to the goal."""

    def to(self, device: torch.device | str, non_blocking: bool = False) -> HindsightClip:
        """The same clip on another device."""

        def moved(tensor: Tensor) -> Tensor:
            return tensor.to(device, non_blocking=non_blocking)

        return HindsightClip(
            self.frames,
            moved(self.actions),
            moved(self.proprio),
            moved(self.latents),
            moved(self.time),
        )


class HindsightPairs(torch.utils.data.Dataset[Clip]):
    """Every frame that has a block after it, each with a goal drawn anew at every look.

    The draw is a function of seed and of the batch alone: a resumed run draws what it would have.
    """

    def __init__(
        self,
        windows: Windows,
        latents: Tensor,
        config: HindsightConfig,
        *,
        kept: Sequence[int],
        seed: int,
    ) -> None:
        """Pair the frames of some episodes.

        Args:
            windows: of two frames, one block apart.
            latents: (rows, P, D) of all their frames.
            config: which goals.
            kept: action axes that a pair whose goal is the present keeps as they were recorded,
                such as a gripper's; the others are 0 there.
            seed: of the goals.
        """
        self._windows, self._config, self._seed = windows, config, seed
        self.latents = latents
        """(rows, P, D) of all frames."""
        episodes = windows.episodes.tolist()
        columns = windows.dataset.columns([layout.ACTION], episodes)
        self.actions = torch.from_numpy(columns[layout.ACTION])
        """(rows, A) of all control steps."""
        self._last = windows.last_rows
        first = windows.rows([0])[0]
        self._steps = np.arange(int(first[1] - first[0]))
        self._moves = torch.ones(self.actions.shape[1])
        self._moves[list(kept)] = 0.0

    def __len__(self) -> int:
        """Number of frames with a block after them."""
        return len(self._windows)

    def __getitems__(self, indices: Sequence[int]) -> HindsightClip:
        """Pairs as one clip (B, ...).

        Raises:
            IndexError: if there is no such frame.
        """
        now = self._windows.rows(indices)[:, 0]
        goal, time, stays = self._goals(now, np.random.default_rng([self._seed, *indices]))
        blocks = self.actions[now[:, None] + self._steps]
        still = torch.from_numpy(stays)[:, None, None]
        # Held at what it was when the goal was seen, not at what came later in the block.
        blocks = torch.where(still, blocks[:, :1] * (1 - self._moves), blocks)
        return HindsightClip(
            frames=torch.empty(len(now), 2, 3, 0, 0, dtype=torch.uint8),
            actions=blocks[:, None],
            proprio=torch.empty(len(now), 2, 0),
            latents=self.latents[torch.from_numpy(np.stack([now, goal], axis=1))],
            time=torch.from_numpy(time.astype(np.float32)),
        )

    def _goals(
        self, now: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Rows of the goals, control steps to them, and which pairs stay."""
        least = len(self._steps)
        room = np.minimum(self._last[now] - now, self._config.furthest)
        ahead = least + (rng.random(len(now)) * (room - least + 1)).astype(np.int64)
        stays = rng.random(len(now)) < self._config.stay
        anything = rng.integers(least, max(self._config.furthest, least) + 1, len(now))
        return np.where(stays, now, now + ahead), np.where(stays, anything, ahead), stays


class HindsightData(WindowData):
    """Hindsight pairs of a dataset's episodes, some of them held out, encoded once."""

    def __init__(
        self, dataset: Dataset, config: HindsightConfig, model: WorldModel, *, seed: int
    ) -> None:
        """Read and encode the dataset; what is wrong with it shows here.

        Args:
            dataset: where from.
            config: which goals, and how many episodes are held out.
            model: that encodes, in evaluation mode.
            seed: of split, order and goals.

        Raises:
            DatasetError: if it is damaged, too short, or its latents do not fit into memory.
        """
        size = 4 * dataset.total_frames * model.patches * model.latent_dim
        if size > MEMORY_LIMIT:
            raise DatasetError(
                f"latents of {dataset.path} take {size / 2**30:.1f} GiB, the limit is "
                f"{MEMORY_LIMIT / 2**30:.0f}; train the actor on a part of it"
            )
        with progress_bar("Decoding") as report:
            super().__init__(
                dataset,
                WindowsConfig(frames=2, batch=config.batch, validation=config.validation),
                frameskip=model.config.frameskip,
                image_size=model.config.image_size,
                seed=seed,
                progress=report,
            )
        names = dataset.provenance.action_names
        kept = [axis for axis, name in enumerate(names) if name == GRIPPER]

        def pair(windows: Windows) -> HindsightPairs:
            return HindsightPairs(windows, encode_all(windows, model), config, kept=kept, seed=seed)

        self.pairs = pair(self.training)
        """Of the training episodes."""
        self.held_out = None if self.validation is None else pair(self.validation)
        """Of the others; None if none is long enough."""

    def train_dataloader(self) -> WindowLoader:
        """Shuffled batches that go on where a resumed run had stopped."""
        return WindowLoader(self.pairs, self._batches(self.training), 0)

    def val_dataloader(self) -> list[DataLoader[Clip]]:
        """A fixed random order with fixed goals."""
        if self.held_out is None or self.validation is None or len(self.validation) < 2:
            return []
        return [
            DataLoader(
                self.held_out,
                batch_sampler=self._batches(self.validation),
                collate_fn=_whole,
                generator=torch.Generator(),
            )
        ]


def _whole(batch: Any) -> Any:  # noqa: ANN401  (torch types it as a list of samples)
    """`HindsightPairs` makes the whole batch."""
    return batch
