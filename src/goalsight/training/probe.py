"""Fits the probe head: which variables there are to read, and a head that reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from goalsight.diagnostics.latents import Latents
from goalsight.diagnostics.probe import STILL, ProbeReport, canonical, judge, unit_of
from goalsight.diagnostics.probes import LinearProbe, MLPProbe, Probe, ProbeKind, fit_probe, sketch
from goalsight.errors import DatasetError
from goalsight.models import WorldModelConfig
from goalsight.models.heads.probe import ProbeHead

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
