"""`goalsight memory`: recorded latents that an agent takes sub-goals from."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Literal


def build(
    *,
    checkpoint: str,
    data: Path,
    out: Path,
    every: int = 1,
    index: Literal["auto", "exact", "faiss"] = "auto",
    links: bool = False,
    device: str = "auto",
    json: bool = False,
) -> None:
    """Encode a dataset's frames once, for an agent to find sub-goals in.

    An agent that plans with `--memory FILE` looks for the recorded segment that leads from near
    its present to near its goal, and aims at a frame on it that its model can plan to.

    Args:
        checkpoint: Folder of a checkpoint or of a training run, or the name of a shipped one.
        data: Folder of the dataset.
        out: File for the memory, such as runs/push/memory.safetensors.
        every: Control steps between two frames that are kept; divides the model's block.
        index: auto builds a search index above 100000 frames if faiss is installed; exact builds
            none.
        links: Also look for where episodes come near each other, so that a way to a goal may
            change episodes (`--settings subgoals.jumps=3`); takes minutes above 100000 frames.
        device: PyTorch device to encode on; auto is a GPU where there is one.
        json: Print the summary as JSON.

    Example:
        goalsight memory build --checkpoint runs/push --data runs/push-data --out runs/push.memory
    """
    from goalsight.checkpoint import find_checkpoint, load_checkpoint
    from goalsight.data import open_dataset
    from goalsight.memory.build import build_memory, check_free, save_memory
    from goalsight.progress import progress_bar

    check_free(out)
    dataset = open_dataset(data)
    loaded = load_checkpoint(find_checkpoint(checkpoint), device)
    with progress_bar("Encoding", "frames") as report:
        memory = build_memory(
            loaded.model,
            dataset,
            checkpoint_sha256=loaded.sha256,
            every=every,
            index=index,
            links=links,
            progress=report,
        )
    save_memory(memory, out)
    summary = {
        "memory": str(out),
        "sha256": memory.sha256(),
        "episodes": len(memory.lengths),
        "frames": memory.rows,
        "numbers": memory.latents[0].numel(),
        "every": memory.every,
        "variance": memory.variance,
        "index": memory.index_kind or "exact",
        "links": 0 if memory.links is None else int(memory.links.energy.isfinite().sum()),
        "megabytes": round(out.stat().st_size / 1e6, 1),
    }
    if json:
        print(jsonlib.dumps(summary))
        return
    print(
        f"{out}: {summary['frames']} frames of {summary['episodes']} episodes, "
        f"{summary['numbers']} numbers each, {summary['megabytes']} MB, "
        f"{summary['index']} search"
    )
