"""Small networks on the latents of a finished model, all trained by `train_head`.

Some learn from recorded moments, encoded and imagined. The actor has a module of its own,
`goalsight.training.actor`, since it is trained by a run like a model's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor

from goalsight.checkpoint import IN_A_RUN, find_checkpoint, load_checkpoint, save_checkpoint
from goalsight.data import Dataset, Windows, open_dataset
from goalsight.data import format as layout
from goalsight.diagnostics.context import EvalContext, Latents, open_subject
from goalsight.diagnostics.probe import (
    STILL,
    LinearProbe,
    MLPProbe,
    Probe,
    ProbeKind,
    ProbeReport,
    canonical,
    fit_probe,
    judge,
    sketch,
    unit_of,
)
from goalsight.errors import DatasetError, OutputError, UserError
from goalsight.models import WorldModel, WorldModelConfig
from goalsight.models.heads.ensemble import Ensemble
from goalsight.models.heads.probe import ProbeHead
from goalsight.progress import Progress, progress_bar, silent
from goalsight.training.actor import Head, actor_run
from goalsight.training.data import encode_all
from goalsight.training.trainer import TrainSummary


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """How a probe head is fitted, which reads state variables off latents."""

    variables: tuple[str, ...] = ()
    """What to read, such as `state.cube_pos`; empty for all simulator truth that moves, without
    rotations."""
    kind: ProbeKind = "mlp"
    """One linear map, or an MLP with one hidden layer."""
    blocks: int = 5
    """Action blocks to imagine ahead."""
    windows: int = 2000
    """Windows to fit on, and as many held-out ones to judge on; all there are if fewer."""
    seed: int = 0
    """Of the choice of windows and of the MLP."""

    def __post_init__(self) -> None:
        if self.kind not in get_args(ProbeKind):
            raise ValueError(f"kind must be one of {', '.join(get_args(ProbeKind))}")
        for name in ("blocks", "windows"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class EnsembleConfig:
    """How an ensemble head is trained: small predictors whose disagreement warns a planner."""

    members: int = 4
    """Predictors."""
    width: int = 128
    """Units of their hidden layers."""
    steps: int = 1500
    """Optimiser steps."""
    batch: int = 256
    """Moments a step for each member."""
    rate: float = 2e-3
    """Peak learning rate of AdamW, down to 0 along a cosine."""
    seed: int = 0
    """Of the weights and of every batch."""

    def __post_init__(self) -> None:
        for name, least in (("members", 2), ("width", 1), ("steps", 1), ("batch", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class TrainedHead:
    """A head that was fitted. `Agent.load` takes it as it takes a path."""

    out: Path
    """Folder of the new run."""
    checkpoint: Path
    """The whole model with the head."""
    head: str
    """Its name."""
    metrics: dict[str, float]
    """What it is worth on episodes it did not learn from."""
    labels_used: list[str]
    """Simulator labels it learnt from."""
    subject: EvalContext = field(repr=False)
    """Model and data it was fitted on."""
    report: ProbeReport | None = field(default=None, repr=False)
    """A probe's errors."""

    def __fspath__(self) -> str:
        """Folder of the checkpoint."""
        return str(self.checkpoint)

    def __str__(self) -> str:
        """Where it is, and what it is worth."""
        lines = [f"{self.checkpoint}: head {self.head}, judged on {self.subject.split.note}"]
        return "\n".join(lines + [f"  {name} {value:.3g}" for name, value in self.metrics.items()])


def train_head(
    checkpoint: str | os.PathLike[str],
    data: str | Path | Dataset,
    out: str | Path,
    head: str = "actor",
    *,
    seed: int = 0,
    device: str | None = None,
    **options: Any,  # noqa: ANN401  (settings of any type)
) -> TrainSummary | TrainedHead:
    """Train a small network on the latents of a finished model, beside the model.

    The model is copied, never altered; its other heads come along, one of the same name is
    replaced. The heads and their options:

    - `actor`: proposes actions; `gcbc`: the benchmark's baseline. Sections of settings as those of
      `goalsight train --config actor`, and `max_steps`, `max_minutes`, `threads`. Such a run can be
      stopped and goes on.
    - `probe`: reads state variables off latents; options are the fields of `ProbeConfig`.
    - `ensemble`: disagrees where the model is on its own; options are those of `EnsembleConfig`.

    Args:
        checkpoint: folder of a checkpoint or of a run, a shipped name, or what `train` returned.
        data: dataset, or its folder.
        out: folder of the new run; its model is OUT/checkpoint.
        head: which.
        seed: of everything random.
        device: torch device; by default cpu, for an actor what there is.
        **options: see above.

    Returns:
        What was done; printed, it says it, and `Agent.load` takes it.

    Raises:
        CheckpointError: if there is no such checkpoint.
        DatasetError: if the dataset is damaged, too short, or of another robot than the model.
        OutputError: if `out` holds something.
        UserError: if there is no such head or option; lists those there are.
    """
    checkpoint = os.fspath(checkpoint)
    if head in get_args(Head):
        dataset = data if isinstance(data, Dataset) else open_dataset(Path(data))
        where = "auto" if device is None else device
        return actor_run(
            checkpoint, dataset, Path(out), cast(Head, head), seed=seed, device=where, **options
        )
    if head not in FITS:
        known = ", ".join([*get_args(Head), *FITS])
        raise UserError(f"no head {head!r} to train; there are: {known}")
    config_class, fit = FITS[head]
    try:
        config = config_class(seed=seed, **options)
    except TypeError:
        known = ", ".join(item.name for item in fields(config_class))
        raise UserError(f"an option of head {head} is unknown; there are: {known}") from None
    except ValueError as error:
        raise UserError(str(error)) from error
    check_new_run(Path(out))
    return fit(open_subject(checkpoint, data, device or "cpu"), Path(out), config)


def train_probe(subject: EvalContext, out: Path, config: ProbeConfig) -> TrainedHead:
    """Fit a probe head on encoded frames and on what the model imagines; see `train_head`."""
    fit = subject.to_fit(config.seed, config.blocks, config.windows)
    names = list(config.variables) or readable(fit)
    fit = choose(fit, names)
    test = choose(subject.held_out(config.blocks, config.windows, config.seed), names)
    fitted = fit_head(subject.model.config, fit, test, kind=config.kind, seed=config.seed)
    how = {"kind": config.kind, "blocks": config.blocks, "windows": len(fit.encoded)}
    folder = save_with_head(
        str(subject.checkpoint["path"]),
        out,
        "probe",
        fitted.options,
        fitted.head.state_dict(),
        how=how
        | {"seed": config.seed, "variables": names, "dataset": subject.dataset.fingerprint()},
        labels_used=fitted.labels_used,
        metrics=fitted.metrics(),
    )
    return TrainedHead(
        out=out,
        checkpoint=folder,
        head="probe",
        metrics=fitted.metrics(),
        labels_used=fitted.labels_used,
        subject=subject,
        report=fitted.report,
    )


def train_ensemble(subject: EvalContext, out: Path, config: EnsembleConfig) -> TrainedHead:
    """Fit an ensemble head on recorded moments; see `train_head`."""
    with progress_bar("Encoding", "frames") as report:
        seen, judged_on = experiences(subject, config.seed, report)
    with progress_bar("Training", "steps") as report:
        head = fit_ensemble(subject.model, seen, config, report)
    measures = judge_ensemble(subject.model, head, judged_on)
    folder = save_with_head(
        str(subject.checkpoint["path"]),
        out,
        "ensemble",
        {"members": config.members, "width": config.width},
        head.state_dict(),
        how={**asdict(config), "data": subject.dataset.fingerprint()},
        metrics={f"ensemble_{name}": value for name, value in measures.items()},
    )
    return TrainedHead(
        out=out,
        checkpoint=folder,
        head="ensemble",
        metrics=measures,
        labels_used=[],
        subject=subject,
    )


FITS: dict[str, tuple[type[Any], Callable[[EvalContext, Path, Any], TrainedHead]]] = {
    "probe": (ProbeConfig, train_probe),
    "ensemble": (EnsembleConfig, train_ensemble),
}
"""Heads that are fitted in one go, without a run: their options, and how."""


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


EPISODES = 600
"""Episodes a head learns from at most."""
HELD_OUT = 100
"""Episodes it is judged on at most."""
AHEAD = 5
"""Blocks that are imagined open loop before the next encoded latent is looked at."""
AT_ONCE = 512
"""Starts imagined in one call."""


@dataclass(frozen=True, kw_only=True)
class Experience:
    """Recorded moments; of a row and the next one of its chain, one is a block after the other."""

    latents: Tensor
    """(F, P, D) encoded."""
    imagined: Tensor
    """(F, P, D) as the model imagined them from an earlier row of their episode; the encoded ones
    where there is none."""
    left: Tensor
    """(F,) int64 rows that follow in the same chain."""
    episode: Tensor
    """(F,) int64 which episode."""
    blocks: Tensor
    """(F, K, A) the action block that runs at each row; means nothing at a chain's end."""
    proprio: Tensor | None = None
    """(F, Q) SI units, for models that see it."""


def experiences(
    subject: EvalContext, seed: int, progress: Progress = silent
) -> tuple[Experience, Experience]:
    """What a head learns from and what it is judged on, of episodes drawn by the seed."""
    order = np.random.default_rng(seed).permutation(subject.split.fit)
    learnt, judged = np.sort(order[:EPISODES]), subject.split.held_out[:HELD_OUT]
    return (
        experience_of(subject.model, subject.dataset, learnt, progress),
        experience_of(subject.model, subject.dataset, judged, progress),
    )


@torch.no_grad()
def experience_of(
    model: WorldModel,
    dataset: Dataset,
    episodes: Sequence[int] | NDArray[np.int64],
    progress: Progress = silent,
) -> Experience:
    """Moments of some episodes, in chains: rows one action block apart, each beginning of a block.

    Args:
        model: in evaluation mode, on any device.
        dataset: whose episodes; decoded where its cache lacks them.
        episodes: which, each once.
        progress: told how many frames are encoded.

    Raises:
        DatasetError: if no episode is as long as a block, or a file is damaged.
    """
    block = model.config.frameskip
    windows = Windows(dataset, episodes, 1, 1, model.config.image_size)
    z = encode_all(windows, model, progress)
    columns = dataset.columns([layout.ACTION, layout.PROPRIO], list(map(int, episodes)))
    lengths = dataset.episodes[np.asarray(episodes, np.int64)]
    chains = [
        (episode, first + np.arange(phase, length, block))
        for episode, (first, length) in enumerate(
            zip(np.cumsum(lengths) - lengths, lengths, strict=True)
        )
        for phase in range(min(block, int(length)))
    ]
    if max(len(rows) for _, rows in chains) < 2:
        raise DatasetError(
            f"no episode of {dataset.path} is longer than a block of {block} control steps"
        )
    order = torch.from_numpy(np.concatenate([rows for _, rows in chains]))
    imagined = z.clone()
    starts = np.concatenate([rows[:-1:AHEAD] for _, rows in chains])
    lasts = np.concatenate([np.full(len(rows[:-1:AHEAD]), rows[-1]) for _, rows in chains])
    actions = torch.from_numpy(columns[layout.ACTION])
    proprio = torch.from_numpy(columns[layout.PROPRIO])
    _imagine_into(imagined, model, z, (actions, proprio), starts=starts, lasts=lasts)
    return Experience(
        latents=z[order],
        imagined=imagined[order],
        left=torch.cat([torch.arange(len(rows) - 1, -1, -1) for _, rows in chains]),
        episode=torch.cat([torch.full((len(rows),), episode) for episode, rows in chains]),
        blocks=actions[(order[:, None] + torch.arange(block)).clamp_max(len(actions) - 1)],
        proprio=proprio[order] if model.config.proprio_dim else None,
    )


def _imagine_into(
    imagined: Tensor,
    model: WorldModel,
    z: Tensor,
    recorded: tuple[Tensor, Tensor],
    *,
    starts: NDArray[np.int64],
    lasts: NDArray[np.int64],
) -> None:
    """Put imagined latents in the rows they predict: `AHEAD` blocks on from every start.

    Args:
        imagined: (F, P, D), changed in place.
        model: that imagines.
        z: (F, P, D) encoded.
        recorded: actions (F, A) and proprio (F, Q) of the rows.
        starts: (S,) rows to imagine from.
        lasts: (S,) last row of each start's chain.
    """
    block, device = model.config.frameskip, next(model.buffers()).device
    actions, proprio = recorded
    steps = torch.arange(AHEAD * block).reshape(AHEAD, block)
    for at in range(0, len(starts), AT_ONCE):
        first = torch.from_numpy(starts[at : at + AT_ONCE])
        last = torch.from_numpy(lasts[at : at + AT_ONCE])
        # Blocks after the chain's end are filled with something and their latents dropped.
        plans = actions[(first[:, None, None] + steps).clamp_max(len(actions) - 1)]
        known = proprio[first, None].to(device) if model.config.proprio_dim else None
        z_hat = model.rollout(z[first, None].to(device), plans[:, None].to(device), None, known)
        rows = first[:, None] + block * torch.arange(1, AHEAD + 1)
        there = rows <= last[:, None]
        imagined[rows[there]] = z_hat[:, 0].float().cpu()[there]


TRUTH = "state."
"""What names of simulator labels begin with; `proprio.*` is what the robot measures of itself."""


@dataclass(frozen=True)
class FittedHead:
    """A probe head and what it is worth."""

    head: ProbeHead
    """Fitted, on the CPU."""
    options: dict[str, Any]
    """It is built again from them, plain values."""
    report: ProbeReport
    """Its errors on held-out episodes, encoded and imagined."""

    @property
    def labels_used(self) -> list[str]:
        """Simulator labels it was fitted on."""
        return [name for name in self.head.widths if name.startswith(TRUTH)]

    def metrics(self) -> dict[str, float]:
        """R2 of every variable that moves, encoded and imagined as far as was judged."""
        (kind,), found = self.report.probes, {}
        for name in self.head.widths:
            looks = {"encoded": self.report.find(name, kind).r2}
            if blocks := self.report.blocks:
                looks["imagined"] = self.report.find(name, kind, "imagined", blocks).r2
            for source, r2 in looks.items():
                if r2 is not None:
                    found[f"probe/{name}/r2_{source}"] = r2
        return found


def readable(latents: Latents) -> list[str]:
    """Simulator labels that a probe reads unless it is told which: those that move.

    Quaternions are left out: a cube that is turned by 90 degrees looks the same.
    """
    moving = (
        name
        for name, values in latents.labels.items()
        if name.startswith(TRUTH) and bool((values.flatten(0, 1).std(0) > STILL).any())
    )
    return [name for name in moving if not name.endswith("_quat")]


def choose(latents: Latents, names: Sequence[str]) -> Latents:
    """The same latents with only some of their labels.

    Raises:
        DatasetError: if there is no such label, or none at all; lists those there are.
    """
    if unknown := [name for name in names if name not in latents.labels]:
        raise DatasetError(
            f"the dataset has no variable {unknown[0]!r}; it has {', '.join(latents.labels)}"
        )
    if not names:
        raise DatasetError(
            "the dataset records no simulator truth that moves; name proprio to read instead, "
            f"such as --variables {'+'.join(list(latents.labels)[:2]) or 'proprio.NAME'}"
        )
    return replace(latents, labels={name: latents.labels[name] for name in names})


def fit_head(
    config: WorldModelConfig,
    fit: Latents,
    test: Latents,
    *,
    kind: ProbeKind = "mlp",
    seed: int = 0,
) -> FittedHead:
    """Fit a probe head on encoded and imagined latents alike.

    An imagined latent carries the label of the frame it predicts, so that the probe also learns
    to see through what imagination gets wrong in the same way every time.

    Args:
        config: of the world model.
        fit: latents of episodes the head may learn from, with the labels it is to read.
        test: latents of other episodes, with the same labels.
        kind: linear or mlp.
        seed: of the rows set aside, of weights and batches.
    """
    labels = torch.cat(list(canonical(fit.labels).values()), dim=-1)
    encoded, imagined = sketch(fit.encoded), sketch(fit.imagined)
    rows = torch.cat((encoded.flatten(0, 1), imagined.flatten(0, 1)))
    wanted = torch.cat((labels.flatten(0, 1), labels[:, 1:].flatten(0, 1)))
    groups = torch.cat([fit.episodes.repeat_interleave(z.shape[1]) for z in (encoded, imagined)])
    probe = fit_probe(kind, rows, wanted, groups, seed)
    options: dict[str, Any] = {
        "variables": {
            name: {"width": values.shape[-1], "unit": unit_of(name)}
            for name, values in fit.labels.items()
        },
        "kind": kind,
    }
    report = judge({kind: probe}, test, fitted_on=len(rows))
    return FittedHead(_head_of(probe, config, fit, options), options, report)


@torch.no_grad()
def _head_of(
    probe: Probe, config: WorldModelConfig, fit: Latents, options: dict[str, Any]
) -> ProbeHead:
    """A probe as a head that travels in a checkpoint."""
    patches, dim = fit.encoded.shape[-2:]
    if isinstance(probe, MLPProbe):
        options["hidden"] = probe.net.get_submodule("0").out_features
    head = ProbeHead(config, patches, dim, **options)
    for name in ("mean", "std"):
        getattr(head, f"feature_{name}").copy_(getattr(probe.features, name))
        getattr(head, name).copy_(getattr(probe.labels, name))
    if isinstance(probe, LinearProbe):
        head.net.load_state_dict({"weight": probe.weight.T, "bias": torch.zeros(len(head.mean))})
    elif isinstance(probe, MLPProbe):
        head.net.load_state_dict(probe.net.state_dict())
    return head.eval()


def fit_ensemble(
    model: WorldModel, seen: Experience, config: EnsembleConfig, progress: Progress = silent
) -> Ensemble:
    """A trained head, on the CPU and in evaluation mode.

    Args:
        model: whose latents these are.
        seen: episodes to learn from.
        config: how.
        progress: told how many steps are done.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        head = Ensemble(
            model.config,
            model.patches,
            model.latent_dim,
            members=config.members,
            width=config.width,
        )
    rows = torch.nonzero(seen.left > 0).squeeze(1)
    changes = (seen.latents[rows + 1] - seen.latents[rows]).mean(1)
    head.scale.copy_(changes.std(0).clamp_min(1e-6))
    generator = torch.Generator().manual_seed(config.seed)
    optimiser = torch.optim.AdamW(head.parameters(), lr=config.rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps)
    for step in range(config.steps):
        picks = torch.randint(len(rows), (config.members, config.batch), generator=generator)
        here = rows[picks]
        guesses = head(seen.latents[here], seen.blocks[here])
        loss = (guesses - changes[picks] / head.scale).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        progress(step + 1, config.steps)
    return head.eval()


@torch.no_grad()
def judge_ensemble(
    model: WorldModel, head: Ensemble, seen: Experience, count: int = 2000, seed: int = 0
) -> dict[str, float]:
    """Whether members disagree where the model errs, on episodes the head did not train on.

    Args:
        model: that imagines.
        head: trained.
        seen: episodes held out.
        count: moments looked at, at most.
        seed: of the choice, and of the shuffled actions.

    Returns:
        `rank`: Spearman's correlation of the disagreement with the model's error one block ahead;
        `shuffled`: how many times as large the median disagreement is with other moments' actions.
    """
    generator = torch.Generator().manual_seed(seed)
    rows = torch.nonzero(seen.left > 0).squeeze(1)
    rows = rows[torch.randperm(len(rows), generator=generator)[:count]]
    z, blocks = seen.latents[rows], seen.blocks[rows]
    disagreement = head.disagreement(z, blocks)
    other = head.disagreement(z, blocks[torch.randperm(len(rows), generator=generator)])
    error = (_one_ahead(model, seen, rows) - seen.latents[rows + 1]).square().mean((1, 2))
    rank = float(spearmanr(disagreement.numpy(), error.numpy()).statistic)
    return {
        "rank": rank if rank == rank else 0.0,  # noqa: PLR0124  (NaN where one is constant)
        "shuffled": float(other.median() / disagreement.median().clamp_min(1e-12)),
    }


def _one_ahead(model: WorldModel, seen: Experience, rows: Tensor) -> Tensor:
    """(n, P, D) what the model imagines a block after some rows."""
    device = next(model.buffers()).device
    known = None if seen.proprio is None else seen.proprio[rows, None].to(device)
    plans = seen.blocks[rows, None, None].to(device)
    z: Tensor = model.rollout(seen.latents[rows, None].to(device), plans, None, known)
    return z[:, 0, 0].float().cpu()
