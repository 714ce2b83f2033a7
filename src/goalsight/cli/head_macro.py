"""`goalsight head macro`: a few numbers for what an arm does over several action blocks."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import TYPE_CHECKING

from goalsight.cli.head import begin
from goalsight.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from goalsight.diagnostics import Subject


def macro(
    *,
    checkpoint: str,
    data: Path,
    out: Path,
    blocks: int = 4,
    codes: int = 8,
    device: str = "cpu",
    json: bool = False,
) -> None:
    """Take macro actions from a dataset: codes of a few numbers for chunks of action blocks.

    An agent may then search over codes: `--settings macro=true,horizon=12`.

    Args:
        checkpoint: Folder of a checkpoint or of a training run, or the name of a shipped one.
        data: Folder of the dataset.
        out: Folder of the new run: the same model, its other heads, and this one.
        blocks: Action blocks of a chunk.
        codes: Numbers that describe one.
        device: Torch device.
        json: Print the measures as JSON.

    Example:
        goalsight head macro --checkpoint runs/push --data runs/push-data --out runs/push-macro
    """
    from goalsight.models.heads.macro import MacroActions
    from goalsight.training.heads import save_with_head

    subject = begin(checkpoint, data, out, device)
    model = subject.model
    options = {"blocks": blocks, "codes": codes}
    try:
        head = MacroActions(model.config, model.patches, model.latent_dim, **options)
        chunks = _chunks(subject, blocks)
        kept = head.fit(chunks)
    except ValueError as error:
        raise UserError(str(error)) from error
    how = {**options, "data": subject.dataset.fingerprint(), "chunks": len(chunks)}
    folder = save_with_head(
        checkpoint, out, "macro", options, head.state_dict(), how=how,
        metrics={"macro_variance_kept": kept},
    )  # fmt: skip
    if json:
        print(jsonlib.dumps({"checkpoint": str(folder), "variance_kept": kept, **how}))
        return
    print(
        f"{codes} numbers keep {100 * kept:.0f} % of the variance of {chunks[0].numel()}, in "
        f"{len(chunks)} chunks of {blocks} blocks\ncheckpoint {folder}"
    )


def _chunks(subject: Subject, blocks: int) -> Tensor:
    """(n, M, K, A) recorded chunks, one beginning at each end of a block."""
    import torch

    from goalsight.data import format as layout

    config, dataset = subject.model.config, subject.dataset
    size, step = blocks * config.frameskip, config.frameskip
    parts = []
    for episode in subject.split.fit.tolist():
        actions = torch.from_numpy(dataset.columns([layout.ACTION], [episode])[layout.ACTION])
        if len(actions) >= size:
            parts.append(actions.unfold(0, size, step).transpose(1, 2))
    if not parts:
        raise UserError(f"no episode of {dataset.path} is as long as {blocks} blocks")
    return torch.cat(parts).reshape(-1, blocks, config.frameskip, config.action_dim)
