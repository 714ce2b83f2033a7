"""Where the frames of windows are kept: in memory, on a device, or in the files of the cache."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from goalsight.data.cache import FrameCache
from goalsight.data.dataset import Dataset
from goalsight.pictures import resize


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
