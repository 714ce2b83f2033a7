"""A run folder with one more head: the whole checkpoint it was trained on, and the head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from goalsight.checkpoint import IN_A_RUN, find_checkpoint, load_checkpoint, save_checkpoint
from goalsight.errors import OutputError
from goalsight.models import WorldModel


def check_new_run(out: Path) -> None:
    """Refuse a folder that is there and not empty, before anything is trained for it.

    Raises:
        OutputError: naming what is in it.
    """
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file; give --out a folder")
    found = sorted(entry.name for entry in out.iterdir()) if out.is_dir() else []
    if found:
        raise OutputError(
            f"{out} already holds something ({found[0]}); give --out an empty folder: a head is "
            "written beside what it was trained on, never over it"
        )


def save_with_head(
    source: str | Path,
    out: Path,
    name: str,
    options: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    *,
    how: Mapping[str, Any],
    labels_used: Sequence[str] = (),
    statistics: Mapping[str, Any] | None = None,
    metrics: Mapping[str, float] | None = None,
) -> Path:
    """Write a run folder: the model as it was, its other heads, and one that is new.

    Nothing that is there is altered. A head of that name in the source is replaced in the copy.

    Args:
        source: the checkpoint that the head was trained on, as `find_checkpoint` takes it.
        out: folder of the new run, empty or missing; the checkpoint goes to OUT/checkpoint.
        name: of the head, in `goalsight.models.heads.HEADS`.
        options: that the head is built again from, plain YAML values.
        weights: the head's state.
        how: the head was trained, JSON values; the card keeps it as `heads.NAME`.
        labels_used: simulator labels it learnt from; the card and every report name them.
        statistics: added to the card's.
        metrics: added to the card's, their names begin with the head's.

    Returns:
        The new checkpoint's folder.

    Raises:
        CheckpointError: if there is no such checkpoint or it is damaged.
        OutputError: if `out` holds something.
        ValueError: if the options or the weights are not those of such a head.
    """
    check_new_run(out)
    loaded = load_checkpoint(find_checkpoint(source))
    prefix = f"heads.{name}."
    state = {
        key: tensor
        for key, tensor in loaded.model.state_dict().items()
        if not key.startswith(prefix)
    } | {f"{prefix}{key}": tensor for key, tensor in weights.items()}
    config = replace(loaded.config, heads={**loaded.config.heads, name: dict(options)})
    with torch.random.fork_rng(devices=[]):
        model = WorldModel(config)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"the weights are not those of such a head: {error}") from error
    old = loaded.card
    card = old | {
        "labels_used": list(dict.fromkeys([*old.get("labels_used", []), *labels_used])),
        "statistics": {**old.get("statistics", {}), **(statistics or {})},
        "metrics": {**old.get("metrics", {}), **(metrics or {})},
        "heads": {**old.get("heads", {}), name: {**how, "trained_on": loaded.sha256}},
    }
    for written_anew in ("goalsight", "commit"):
        card.pop(written_anew, None)
    save_checkpoint(out / IN_A_RUN, model.eval(), card)
    return out / IN_A_RUN
