"""Windows: what a model trains on. T frames, K control steps apart, and the actions between.

Their frames are kept in memory, on a device, or in the files of the cache.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data._utils.collate import default_collate_fn_map

from goalsight.clip import Clip
from goalsight.data import format as layout
from goalsight.data.dataset import Dataset
from goalsight.data.frames import FrameCache
from goalsight.errors import DatasetError
from goalsight.pictures import resize
from goalsight.progress import Progress, silent

MEMORY_LIMIT = 4 * 2**30
"""Frames of up to this many bytes are kept in memory, more are mapped from the cache."""


class Windows(torch.utils.data.Dataset[Clip]):
    """Every window of some episodes; window i never crosses an episode.

    `DataLoader(windows, batch_size=...)` gives batches as `Clip`s: `__getitems__` makes a whole one
    with one gather, and there is nothing left to collate.
    """

    def __init__(
        self,
        dataset: Dataset,
        episodes: Sequence[int] | NDArray[np.int64],
        frames: int,
        frameskip: int,
        size: int | None = None,
        *,
        memory_limit: int = MEMORY_LIMIT,
        progress: Progress = silent,
    ) -> None:
        """Read actions and proprio, decode frames that the cache does not have yet.

        Args:
            dataset: where from.
            episodes: indices, each once.
            frames: T, frames of a window.
            frameskip: K, control steps between two frames.
            size: height and width to resize to [pixels]; None keeps the dataset's.
            memory_limit: see `MEMORY_LIMIT` [bytes].
            progress: told how many videos are decoded.

        Raises:
            ValueError: if T or K is below 1.
            DatasetError: if no episode is long enough, or a file is damaged.
        """
        if frames < 1 or frameskip < 1:
            raise ValueError(f"frames and frameskip must be >= 1, got {frames} and {frameskip}")
        self.dataset = dataset
        self.episodes = np.asarray(episodes, np.int64)
        """Indices of the episodes."""
        self._offsets = np.arange(frames) * frameskip
        self._blocks = np.arange((frames - 1) * frameskip).reshape(frames - 1, frameskip)
        self._starts = self._window_starts(dataset.episodes[self.episodes])
        if not len(self._starts):
            raise DatasetError(
                f"no window of {frames} frames, {frameskip} control steps apart, fits into the "
                f"{len(self.episodes)} episodes chosen of {dataset.path} (longest: "
                f"{dataset.episodes[self.episodes].max(initial=0)} steps)"
            )
        names = [layout.ACTION, layout.PROPRIO] if dataset.proprio_dim else [layout.ACTION]
        columns = dataset.columns(names, self.episodes.tolist())
        self._actions = torch.from_numpy(columns[layout.ACTION])
        measured = columns.get(layout.PROPRIO, np.empty((len(self._actions), 0), np.float32))
        self._proprio = torch.from_numpy(measured)
        cache = FrameCache(dataset)
        cache.build(self.episodes.tolist(), progress)
        self.size = size or dataset.size
        """Height and width of the frames [pixels]."""
        self._store: Memory | OnDevice | Mapped = make_store(
            cache, dataset, self.episodes, self.size, memory_limit
        )
        self._truth: dict[str, Tensor] | None = None

    def __len__(self) -> int:
        """Number of windows."""
        return len(self._starts)

    def __getitem__(self, index: int) -> Clip:
        """Window `index` as a clip without batch axes.

        Raises:
            IndexError: if there is no such window.
        """
        batch = self.__getitems__([index])
        return Clip(batch.frames[0], batch.actions[0], batch.proprio[0])

    def __getitems__(self, indices: Sequence[int]) -> Clip:
        """Windows as one clip (B, ...); frames are (B, T, C, H, W) with channels-last strides.

        Raises:
            IndexError: if there is no such window.
        """
        rows = self.rows(indices)
        return Clip(
            frames=self.pictures(rows),
            actions=self._actions[self._blocks + rows[:, :1, None]],
            proprio=self._proprio[rows],
        )

    def move(self, device: torch.device) -> bool:
        """Keep everything on a device and make batches there, if the frames are in memory.

        Args:
            device: where to; a copy of all frames must fit into half of its free memory.

        Returns:
            Whether that was done. If not, batches come from the processor's memory as before.
        """
        if not isinstance(self._store, Memory) or not self._store.fits(device):
            return False
        self._store = OnDevice(self._store, device)
        self._actions, self._proprio = self._actions.to(device), self._proprio.to(device)
        return True

    def truth(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Simulator truth at the frames of some windows; for probes, never a model input.

        Returns:
            name -> (B, T, d) float32.
        """
        if self._truth is None:
            names = [layout.TRUTH_PREFIX + name for name in self.dataset.truth_names]
            columns = self.dataset.columns(names, self.episodes.tolist())
            self._truth = {
                name.removeprefix(layout.TRUTH_PREFIX): torch.from_numpy(values)
                for name, values in columns.items()
            }
        rows = self.rows(indices)
        return {name: values[rows] for name, values in self._truth.items()}

    def locate(self, index: int) -> tuple[int, int]:
        """Episode of a window and the control step of its first frame."""
        ends = np.cumsum(self.dataset.episodes[self.episodes])
        start = int(self._starts[index])
        which = int(np.searchsorted(ends, start, side="right"))
        return int(self.episodes[which]), start - int(ends[which - 1] if which else 0)

    def _window_starts(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """First row of every window, counted over the chosen episodes one after another."""
        span = int(self._offsets[-1]) + 1
        firsts = np.cumsum(lengths) - lengths
        parts = [
            first + np.arange(max(0, length - span + 1))
            for first, length in zip(firsts, lengths, strict=True)
        ]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    @property
    def total_rows(self) -> int:
        """Frames of all the chosen episodes; windows overlap, these are counted once."""
        return len(self._actions)

    @property
    def last_rows(self) -> NDArray[np.int64]:
        """(rows,) the last row of the episode that each row is of."""
        lengths = self.dataset.episodes[self.episodes]
        return np.repeat(np.cumsum(lengths) - 1, lengths)

    def pictures(self, rows: NDArray[np.int64]) -> Tensor:
        """Frames by row, (B, T) to (B, T, C, H, W) with channels-last strides."""
        return self._store.gather(rows).permute(0, 1, 4, 2, 3)

    def rows(self, indices: Sequence[int]) -> NDArray[np.int64]:
        """(B, T) rows of the frames of some windows, counted over the chosen episodes.

        Raises:
            IndexError: if there is no such window.
        """
        rows: NDArray[np.int64] = self._starts[np.asarray(indices, np.int64)][:, None]
        return rows + self._offsets


def _collate(clips: Clip | Sequence[Clip], **_: object) -> Clip:
    """What PyTorch's default collate function does with clips; one that has a batch stays."""
    return clips if isinstance(clips, Clip) else Clip.stack(clips)


default_collate_fn_map[Clip] = _collate


class Memory:
    """All frames in one tensor."""

    def __init__(self, frames: Tensor) -> None:
        """Take (rows, H, W, C) frames."""
        self.shape = frames.shape[1:]
        self.flat = frames.reshape(len(frames), -1)

    def gather(self, rows: NDArray[np.int64]) -> Tensor:
        """(B, T) rows to (B, T, H, W, C) frames."""
        # NumPy copies whole rows; PyTorch goes byte by byte here and is three times slower.
        taken = np.take(self.flat.numpy(), rows.reshape(-1), axis=0)
        return torch.from_numpy(taken).reshape(*rows.shape, *self.shape)

    def fits(self, device: torch.device) -> bool:
        """Whether a copy takes at most half of what is free on a device."""
        if device.type != "cuda":
            return device.type == "cpu"
        return 2 * self.flat.nbytes <= torch.cuda.mem_get_info(device)[0]


class OnDevice:
    """All frames on a device: nothing but row numbers travels there at a step."""

    def __init__(self, memory: Memory, device: torch.device) -> None:
        """Copy frames to a device."""
        self._shape, self._device = memory.shape, device
        self._flat = memory.flat.to(device)

    def gather(self, rows: NDArray[np.int64]) -> Tensor:
        """(B, T) rows to (B, T, H, W, C) frames on the device."""
        index = torch.from_numpy(rows.reshape(-1)).to(self._device, non_blocking=True)
        return self._flat.index_select(0, index).reshape(*rows.shape, *self._shape)


class Mapped:
    """Frames left in the cache files; maps are opened when used and not pickled."""

    def __init__(
        self, cache: FrameCache, episodes: NDArray[np.int64], lengths: NDArray[np.int64], size: int
    ) -> None:
        """Remember where each row is.

        Args:
            cache: of the frames; what is not in it is decoded when it is read.
            episodes: (E,) indices.
            lengths: (E,) rows of each.
            size: height and width to resize to [pixels].
        """
        self._cache, self._episodes, self._size = cache, episodes, size
        self._ends = np.cumsum(lengths)
        self._firsts = self._ends - lengths
        self._maps: dict[int, NDArray[np.uint8] | None] = {}

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_maps": {}}

    def gather(self, rows: NDArray[np.int64]) -> Tensor:
        """(B, T) rows to (B, T, H, W, C) frames."""
        flat = rows.reshape(-1)
        which = np.searchsorted(self._ends, flat, side="right")
        runs = np.flatnonzero(np.diff(which)) + 1
        found: NDArray[np.uint8] | None = None
        for first, end in zip([0, *runs.tolist()], [*runs.tolist(), len(flat)], strict=True):
            episode = int(which[first])
            local = flat[first:end] - self._firsts[episode]
            frames = self._open(episode)
            if frames is None:
                picked = self._cache.pick(int(self._episodes[episode]), local)
            else:
                picked = frames
            if found is None:
                found = np.empty((len(flat), *picked.shape[1:]), np.uint8)
            if frames is None:
                found[first:end] = picked
            else:  # `clip` because the default makes a copy first; no row is out of range here
                np.take(frames, local, axis=0, out=found[first:end], mode="clip")
        assert found is not None, "there are rows to gather"
        resized = resize(torch.from_numpy(found), self._size)
        return resized.reshape(*rows.shape, *resized.shape[1:])

    def _open(self, which: int) -> NDArray[np.uint8] | None:
        """Frames of an episode as a plain array, or None if the cache does not have them."""
        if which not in self._maps:
            episode = int(self._episodes[which])
            # A plain view: indexing a memmap costs more than the copy of a small frame.
            mapped = np.asarray(self._cache.open(episode)) if self._cache.has(episode) else None
            self._maps[which] = mapped
        return self._maps[which]


def make_store(
    cache: FrameCache, dataset: Dataset, episodes: NDArray[np.int64], size: int, limit: int
) -> Memory | Mapped:
    """Frames in memory if they take at most so many bytes, else left in their files.

    Args:
        cache: built as far as it goes.
        dataset: whose frames.
        episodes: (E,) indices.
        size: height and width to resize to [pixels].
        limit: bytes that may be kept in memory.
    """
    lengths = dataset.episodes[episodes]
    total = int(lengths.sum())
    if total * size * size * 3 > limit:
        return Mapped(cache, episodes, lengths, size)
    frames = torch.empty((total, size, size, 3), dtype=torch.uint8)
    at = 0
    for episode, length in zip(episodes.tolist(), lengths.tolist(), strict=True):
        mapped = np.array(cache.open(episode))  # a copy: the map is read-only
        frames[at : at + length] = resize(torch.from_numpy(mapped), size)
        at += length
    return Memory(frames)
