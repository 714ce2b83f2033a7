"""Two probes that read numbers out of latents: ridge regression in closed form, and a small MLP."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from goalsight.models.heads.probe import WIDEST, count_sketch

ProbeKind = Literal["linear", "mlp"]
PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""Ridge penalties tried, per row and per unit of a standardised feature's variance."""
INNER_SHARE = 0.15
"""Share of the fitting episodes on which penalties and training steps are chosen."""
MLP_UNITS, MLP_STEPS, MLP_BATCH, MLP_RATE = 256, 400, 256, 3e-3
"""Width, least optimiser steps, rows a step and peak learning rate of the MLP probe."""
MLP_VISITS = 10
"""Times that an MLP probe sees each row at least."""
LOOK_EVERY = 50
"""Steps between two looks at the inner episodes."""


@dataclass(frozen=True)
class Scale:
    """Standardisation of columns; constant ones are left at zero."""

    mean: Tensor
    """(F,)."""
    std: Tensor
    """(F,), 1 where a column is constant."""

    @classmethod
    def of(cls, rows: Tensor) -> Scale:
        """Mean and standard deviation of rows (N, F)."""
        std = rows.std(0, correction=0)
        return cls(rows.mean(0), torch.where(std > 1e-8, std, torch.ones_like(std)))

    def apply(self, rows: Tensor) -> Tensor:
        """(*B, F) in units of the fitting rows' spread."""
        return (rows - self.mean) / self.std

    def undo(self, rows: Tensor) -> Tensor:
        """Back to the units they came in."""
        return rows * self.std + self.mean


class Probe:
    """A fitted probe: standardises latents, predicts standardised labels, returns labels."""

    def __init__(self, features: Scale, labels: Scale) -> None:
        """Keep the scales that the probe was fitted in."""
        self.features, self.labels = features, labels

    @torch.no_grad()
    def read(self, z: Tensor) -> Tensor:
        """Labels (*B, L) in their own units from latent features (*B, F)."""
        return self.labels.undo(self._standard(self.features.apply(z)))

    @abstractmethod
    def _standard(self, x: Tensor) -> Tensor:
        """(*B, F) standardised features to (*B, L) standardised labels."""


class LinearProbe(Probe):
    """Labels as weighted sums of features."""

    def __init__(self, features: Scale, labels: Scale, weight: Tensor) -> None:
        """Keep the (F, L) weights."""
        super().__init__(features, labels)
        self.weight = weight

    def _standard(self, x: Tensor) -> Tensor:
        return x @ self.weight


class MLPProbe(Probe):
    """Labels through one hidden layer."""

    def __init__(self, features: Scale, labels: Scale, net: nn.Module) -> None:
        """Keep the trained layers."""
        super().__init__(features, labels)
        self.net = net

    def _standard(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x)
        return out


def fit_probe(kind: ProbeKind, z: Tensor, y: Tensor, groups: Tensor, seed: int = 0) -> Probe:
    """Fit a probe that reads all labels at once.

    Args:
        kind: linear (ridge) or mlp.
        z: (N, F) latent features.
        y: (N, L) labels, any units.
        groups: (N,) episode of each row; whole ones are set aside to choose penalty or steps.
        seed: of that choice and of the MLP's weights and batches.
    """
    inner = _inner_rows(groups, seed)
    features, labels = Scale.of(z[~inner]), Scale.of(y[~inner])
    x, target = features.apply(z), labels.apply(y)
    if kind == "linear":
        return LinearProbe(features, labels, ridge(x, target, inner))
    return MLPProbe(features, labels, _train(x, target, inner, seed))


def ridge(x: Tensor, y: Tensor, inner: Tensor) -> Tensor:
    """Ridge regression in closed form, the penalty chosen for each label on rows set aside.

    Args:
        x: (N, F) standardised features.
        y: (N, L) standardised labels.
        inner: (N,) bool, the rows to choose the penalty on; the weights come from the others.

    Returns:
        (F, L) weights.
    """
    rows, labels = x[~inner].double(), y[~inner].double()
    gram, moment = rows.T @ rows, rows.T @ labels
    identity = torch.eye(len(gram), dtype=gram.dtype)
    judged, wanted = x[inner].double(), y[inner].double()
    best, error = torch.zeros_like(moment), torch.full((y.shape[1],), torch.inf).double()
    for penalty in PENALTIES:
        factor = torch.linalg.cholesky(gram + penalty * len(rows) * identity)
        weight = torch.cholesky_solve(moment, factor)
        found = (judged @ weight - wanted).square().mean(0)
        best = torch.where(found < error, weight, best)
        error = torch.minimum(found, error)
    return best.float()


def sketch(z: Tensor, width: int = WIDEST, seed: int = 0) -> Tensor:
    """Latents as probe features, sketched down where they are very wide.

    See `goalsight.models.heads.probe.count_sketch`.

    Args:
        z: (*B, P, D) latents.
        width: features wanted at most.
        seed: of signs and sums.

    Returns:
        (*B, F) with F = P * D, or `width` if that is less.
    """
    flat = z.flatten(-2)
    wide = flat.shape[-1]
    if wide <= width:
        return flat
    sums, signs = count_sketch(wide, width, seed)
    return flat.new_zeros(*flat.shape[:-1], width).index_add_(-1, sums, flat * signs)


def _inner_rows(groups: Tensor, seed: int) -> Tensor:
    """(N,) bool: rows of about `INNER_SHARE` of the episodes, at least one and never all."""
    names, which = torch.unique(groups, return_inverse=True)
    if len(names) < 2:  # one episode: set its last part aside
        return torch.arange(len(groups)) >= (1 - INNER_SHARE) * len(groups)
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))
    chosen = torch.zeros(len(names), dtype=torch.bool)
    chosen[order[: max(1, round(INNER_SHARE * len(names)))]] = True
    return chosen[which]


@torch.enable_grad()
def _train(x: Tensor, y: Tensor, inner: Tensor, seed: int) -> nn.Module:
    """An MLP as it was when it did best on the inner rows."""
    rows, labels, judged, wanted = x[~inner], y[~inner], x[inner], y[inner]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = nn.Sequential(
            nn.Linear(x.shape[1], MLP_UNITS), nn.ReLU(), nn.Linear(MLP_UNITS, y.shape[1])
        )
    optimiser = torch.optim.AdamW(net.parameters(), lr=MLP_RATE, weight_decay=1e-2)
    steps = max(MLP_STEPS, MLP_VISITS * len(rows) // MLP_BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    generator = torch.Generator().manual_seed(seed)
    best, error = net.state_dict(), float("inf")
    for step in range(1, steps + 1):
        batch = torch.randint(len(rows), (MLP_BATCH,), generator=generator)
        loss = (net(rows[batch]) - labels[batch]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % LOOK_EVERY == 0:
            with torch.no_grad():
                errors = (net(judged) - wanted).square().mean(0)
            # A label that cannot be read is worth its variance: it must not stop the others.
            found = errors.clamp(max=1.0).mean().item()
            if found < error:
                best = {name: value.clone() for name, value in net.state_dict().items()}
                error = found
    net.load_state_dict(best)
    return net.eval().requires_grad_(False)
