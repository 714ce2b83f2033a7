"""Encode a recorded dataset once; the only part of a memory that knows datasets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from goalsight.data import Dataset, Windows
from goalsight.errors import OutputError, UserError
from goalsight.io import replace_file
from goalsight.memory.links import find_links
from goalsight.memory.search import IndexKind, build_index
from goalsight.memory.store import Memory, encoder_digest, to_bytes
from goalsight.models import WorldModel
from goalsight.progress import Progress, silent

FRAMES_AT_ONCE = 256
"""Frames encoded in one call."""
SIZE_LIMIT = 8 * 2**30
"""Latents of more bytes than this are refused: an agent holds them in memory."""


def build_memory(
    model: WorldModel,
    dataset: Dataset,
    *,
    checkpoint_sha256: str,
    episodes: Sequence[int] | NDArray[np.int64] | None = None,
    every: int = 1,
    index: IndexKind = "auto",
    links: bool = False,
    progress: Progress = silent,
) -> Memory:
    """Encode a dataset's frames.

    Args:
        model: in evaluation mode, on any device.
        dataset: whose frames; decoded where its cache lacks them.
        checkpoint_sha256: the model's checkpoint, noted in the memory.
        episodes: which, each once; None takes all.
        every: control steps between two frames that are kept; divides the model's block.
        index: see `build_index`.
        links: whether to look for where episodes come near each other; takes time that grows with
            the square of the frames.
        progress: told how many frames are encoded, then how many are linked.

    Raises:
        UserError: if `every` does not fit, the latents are not numbers or do not fit into memory,
            or the index's library is not installed.
        DatasetError: if a file is damaged.
    """
    frameskip = model.config.frameskip
    if every < 1 or frameskip % every:
        raise UserError(
            f"--every must divide the model's block of {frameskip} control steps, got {every}"
        )
    chosen = np.arange(len(dataset.episodes)) if episodes is None else np.asarray(episodes)
    firsts, lengths = _rows(dataset.episodes[chosen], every)
    needed = 4 * len(firsts) * model.patches * model.latent_dim
    if needed > SIZE_LIMIT:
        raise UserError(
            f"the latents of {len(firsts)} frames take {needed / 2**30:.0f} GB, a memory "
            f"{SIZE_LIMIT >> 30} at most; keep fewer with --every {frameskip} or --episodes"
        )
    windows = Windows(dataset, chosen, 1, 1, model.config.image_size)
    latents = encode_rows(model, windows, firsts, progress)
    if not latents.isfinite().all():
        raise UserError(
            "the model makes latents that are not numbers; its training diverged: train it again "
            "with a smaller --optimiser.lr"
        )
    counts = torch.from_numpy(lengths)
    kind, content = build_index(latents.flatten(1), index)
    stride = max(1, frameskip // every)
    linked = find_links(latents.flatten(1), counts, stride, progress) if links else None
    return Memory(
        latents=latents,
        lengths=counts,
        every=every,
        frameskip=frameskip,
        variance=max(float(latents.var(0).mean()) if len(latents) > 1 else 1.0, 1e-6),
        encoder=encoder_digest(model),
        source={"data": dataset.fingerprint(), "checkpoint": checkpoint_sha256},
        links=linked,
        index=content,
        index_kind=kind,
    )


@torch.no_grad()
def encode_rows(
    model: WorldModel, windows: Windows, rows: NDArray[np.int64], progress: Progress = silent
) -> Tensor:
    """Latents of single frames.

    Args:
        model: in evaluation mode, on any device.
        windows: that hold the frames.
        rows: (F,) which, counted over the windows' episodes.
        progress: told how many frames are done.

    Returns:
        (F, P, D) float32 on the CPU.
    """
    device = next(model.buffers()).device
    latents = torch.empty(len(rows), model.patches, model.latent_dim)
    for at in range(0, len(rows), FRAMES_AT_ONCE):
        part = rows[at : at + FRAMES_AT_ONCE]
        z = model.encode(windows.pictures(part[None]).to(device))[0]
        latents[at : at + len(part)] = z.float().cpu()
        progress(at + len(part), len(rows))
    return latents


def save_memory(memory: Memory, path: Path) -> None:
    """Write a memory's file; a kill leaves nothing of it or the whole.

    Raises:
        OutputError: if something is there, or it cannot be written.
    """
    check_free(path)
    try:
        replace_file(path, to_bytes(memory))
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def check_free(path: Path) -> None:
    """Refuse a path that is taken, before anything is encoded for it.

    Raises:
        OutputError: if something is there.
    """
    if path.exists():
        raise OutputError(f"{path} is there already; give another --out, or delete it first")


def _rows(lengths: NDArray[np.int64], every: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(F,) rows to keep, counted over the episodes, and (E,) how many of each."""
    starts = np.cumsum(lengths) - lengths
    parts = [
        start + np.arange(0, length, every) for start, length in zip(starts, lengths, strict=True)
    ]
    return np.concatenate(parts), np.array([len(part) for part in parts], np.int64)
