"""What can be read out of a latent: every label, encoded and imagined, in SI units."""

from __future__ import annotations

import math
import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from goalsight.diagnostics.context import COLOURS, STYLE, Latents
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


MOST_CURVES = 4
"""Variables whose error is drawn over blocks."""
READABLE = 0.2
"""R2 of encoded latents from which on it is worth asking how imagination keeps a variable."""
SOURCES: tuple[tuple[Source, str, str], ...] = (
    ("encoded", "-", "frame seen"),
    ("imagined", "o-", "frame imagined"),
    ("copied", "s--", "as if nothing moved"),
)


@mpl.rc_context(STYLE)
def draw_probe(report: ProbeReport) -> Figure:
    """Bars of R2 for every variable; error over blocks for the first few of them."""
    curves = curves_of(report)
    rows = max(1, (len(curves) + 1) // 2)
    height = max(2.4 + 0.9 * (rows > 1), 0.28 * len(report.variables) + 1.0, 2.2 * rows)
    figure = Figure(figsize=(11.0 if curves else 5.4, height), layout="constrained")
    if not curves:
        _draw_bars(figure.add_subplot(), report)
        return figure
    left, right = np.asarray(figure.subfigures(1, 2, width_ratios=(5.2, 5.8)))
    _draw_bars(left.add_subplot(), report)
    grid = right.subplots(rows, 2, squeeze=False).reshape(-1)
    for axes, variable in zip(grid, curves, strict=False):
        _draw_error(axes, report, variable)
    for axes in grid[len(curves) :]:
        axes.set_axis_off()
    handles, labels = grid[0].get_legend_handles_labels()
    right.legend(handles, labels, loc="outside upper center", ncols=3)
    return figure


def curves_of(report: ProbeReport) -> Sequence[str]:
    """Variables to draw over blocks: the first that can be read, simulator truth before proprio."""
    if not report.blocks:
        return []
    best = {name: report.find(name, report.probes[-1]).r2 for name in report.variables}
    moving = [name for name, r2 in best.items() if r2 is not None]
    readable = [name for name in moving if (best[name] or 0.0) >= READABLE]
    return [*readable, *(name for name in moving if name not in readable)][:MOST_CURVES]


def _draw_bars(axes: Axes, report: ProbeReport) -> None:
    """R2 of encoded latents by each probe, with the last one's error in words."""
    names = report.variables
    places = np.arange(len(names))
    thick = 0.8 / len(report.probes)
    for number, kind in enumerate(report.probes, 1):
        heights = [max(0.0, report.find(name, kind).r2 or 0.0) for name in names]
        axes.barh(
            places + thick * (number - (len(report.probes) + 1) / 2),
            heights,
            thick,
            color=COLOURS["encoded"],
            alpha=number / len(report.probes),
            label=kind,
        )
    for place, name in enumerate(names):
        reading = report.find(name, report.probes[-1])
        text = "constant" if reading.r2 is None else error_text(reading)
        axes.text(1.02, place, text, va="center", fontsize=8)
    axes.set(
        yticks=places,
        yticklabels=names,
        xlim=(0, 1),
        xlabel="R2 on held-out episodes",
        title=f"Probes of encoded latents ({report.features} numbers)",
    )
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    error = f"{report.probes[-1]} error"
    axes.text(1.02, 1.01, error, fontsize=8, style="italic", transform=axes.transAxes)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2)


def _draw_error(axes: Axes, report: ProbeReport, variable: str) -> None:
    """Error of the last probe by blocks ahead."""
    blocks = np.arange(1, report.blocks + 1)
    unit = report.find(variable, report.probes[-1]).unit
    scale, name = (100.0, "cm") if unit == "m" else (1.0, unit or "no unit")
    for source, style, label in SOURCES:
        readings = [report.find(variable, report.probes[-1], source, int(b)) for b in blocks]
        errors = [scale * reading.rmse for reading in readings]
        axes.plot(blocks, errors, style, color=COLOURS[source], label=label, markersize=4)
    axes.set(
        xlabel="action blocks ahead",
        ylabel=f"error [{name}]",
        ylim=(0, None),
        xticks=blocks,
        title=variable,
    )


Source = Literal["encoded", "imagined", "copied"]
STILL = 1e-4
"""A label that varies less than this over the held-out frames is a constant (SI units)."""
UNITS = (
    (r"_(pos|[xyz])$|^(opening|[xyz])$", "m"),
    (r"joint\d*$|angle|yaw", "rad"),
    (r"vel|speed", "m/s"),
)
"""Units by the last word of a name, as our environments name things; datasets record none."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How well one variable is read from one kind of latent by one probe."""

    variable: str
    """`state.NAME` (simulator truth) or `proprio.NAME`."""
    unit: str
    """Of `rmse`; empty where there is none or it is not known."""
    probe: ProbeKind
    """Which probe."""
    source: Source
    """encoded: the frame itself; imagined: its open-loop prediction; copied: the present frame
    read in its place, which is what a model that predicts no motion would give."""
    blocks: int
    """Action blocks between the present and the frame; 0 is all frames, encoded."""
    r2: float | None
    """Share of the variance explained, over all components together; None for a constant."""
    rmse: float
    """Root mean squared error, for a vector the length of the error vector, in `unit`."""
    median: float
    """Of the same lengths: where it is far below `rmse`, a few frames are read very wrongly, such
    as those on which a thing is hidden, and most are read well."""
    component_r2: tuple[float | None, ...]
    """(d,) by component."""
    component_rmse: tuple[float, ...]
    """(d,) by component, in `unit`."""


@dataclass(frozen=True, kw_only=True)
class ProbeReport:
    """What two probes read out of the latents of held-out episodes."""

    readings: tuple[Reading, ...]
    """Every variable, probe, source and number of blocks."""
    blocks: int
    """H, action blocks imagined."""
    features: int
    """P * D, numbers in a latent."""
    seen_features: int
    """Of them or of their sketch, what the probes saw."""
    fitted_on: int
    """Frames the probes were fitted on."""
    windows: int
    """Held-out windows read."""

    @property
    def variables(self) -> tuple[str, ...]:
        """Names in the order of the dataset, simulator truth first."""
        return tuple(dict.fromkeys(reading.variable for reading in self.readings))

    @property
    def probes(self) -> tuple[ProbeKind, ...]:
        """Which probes read, the more powerful one last."""
        return tuple(dict.fromkeys(reading.probe for reading in self.readings))

    def find(
        self,
        variable: str,
        probe: ProbeKind = "linear",
        source: Source = "encoded",
        blocks: int = 0,
    ) -> Reading:
        """One reading.

        Raises:
            KeyError: if there is none; lists the variables there are.
        """
        for reading in self.readings:
            if (reading.variable, reading.probe, reading.source, reading.blocks) == (
                variable,
                probe,
                source,
                blocks,
            ):
                return reading
        raise KeyError(
            f"no {probe} reading of {variable!r} {source} at {blocks} blocks; there are "
            f"{', '.join(self.variables)} up to {self.blocks} blocks"
        )

    def summary(self) -> str:
        """A table: R2, error and its median, of encoded and of the farthest imagined latents."""
        head = f"{'variable':<18}" + "".join(
            f"{kind:>8} R2{'error':>12}{'median':>12}" for kind in self.probes
        )
        if self.blocks:
            head += f"  {self.probes[-1]}, {self.blocks} blocks imagined"
        return "\n".join([head, *map(self._row, self.variables)])

    def _row(self, variable: str) -> str:
        readings = [self.find(variable, kind) for kind in self.probes]
        if self.blocks:
            readings.append(self.find(variable, self.probes[-1], "imagined", self.blocks))
        cells = [
            f"{r2_text(one.r2):>11}{error_text(one):>12}{error_text(one, one.median):>12}"
            for one in readings
        ]
        return f"{variable:<18}" + "".join(cells)


def probe(
    fit: Latents, test: Latents, *, kinds: Sequence[ProbeKind] = get_args(ProbeKind), seed: int = 0
) -> ProbeReport:
    """Fit probes on encoded frames and read encoded and imagined latents with them.

    One probe reads both kinds: that an imagined latent can be read by a probe that only knows
    encoded ones is what a planner with a decoded-state cost relies on.

    Args:
        fit: latents of episodes the probes may learn from; only `encoded` is used.
        test: latents of other episodes, imagined any number of blocks ahead.
        kinds: which probes to fit; linear alone is several times faster.
        seed: of the probes.

    Raises:
        ValueError: if both have an episode in common, or other labels.
    """
    if shared := set(fit.episodes.tolist()) & set(test.episodes.tolist()):
        raise ValueError(f"probes must be judged on episodes of their own, both have {min(shared)}")
    if list(fit.labels) != list(test.labels):
        raise ValueError(
            f"both must have the same labels, got {list(fit.labels)} and {list(test.labels)}"
        )
    features = sketch(fit.encoded).flatten(0, 1)
    labels = torch.cat(list(canonical(fit.labels).values()), dim=-1).flatten(0, 1)
    groups = fit.episodes.repeat_interleave(fit.encoded.shape[1])
    probes = {kind: fit_probe(kind, features, labels, groups, seed) for kind in kinds}
    return judge(probes, test, fitted_on=len(features))


def judge(probes: Mapping[ProbeKind, Probe], test: Latents, *, fitted_on: int) -> ProbeReport:
    """What probes that were fitted before read out of latents they never saw.

    Args:
        probes: by their kind, each fitted on `sketch` of latents and on all labels of `test`.
        test: latents imagined any number of blocks ahead.
        fitted_on: frames they were fitted on, for the report.
    """
    readings = [reading for kind in probes for reading in _read(probes[kind], kind, test)]
    features = test.encoded[0, 0].numel()
    return ProbeReport(
        readings=tuple(readings),
        blocks=test.blocks,
        features=features,
        seen_features=min(features, WIDEST),
        fitted_on=fitted_on,
        windows=len(test.encoded),
    )


def _read(fitted: Probe, kind: ProbeKind, test: Latents) -> Iterator[Reading]:
    """Everything one probe reads."""
    labels = canonical(test.labels)
    wanted = torch.cat(list(labels.values()), dim=-1)
    encoded, imagined = (fitted.read(sketch(z)) for z in (test.encoded, test.imagined))
    looks: list[tuple[Source, int, Tensor, Tensor]] = [
        ("encoded", 0, encoded.flatten(0, 1), wanted.flatten(0, 1))
    ]
    for block in range(1, test.blocks + 1):
        then = wanted[:, block]
        looks.append(("encoded", block, encoded[:, block], then))
        looks.append(("imagined", block, imagined[:, block - 1], then))
        looks.append(("copied", block, encoded[:, 0], then))
    widths = {name: values.shape[-1] for name, values in labels.items()}
    for source, blocks, guess, truth in looks:
        for name, errors, variances, median in _score(guess, truth, widths):
            yield Reading(
                variable=name,
                unit=unit_of(name),
                probe=kind,
                source=source,
                blocks=blocks,
                r2=_r2(sum(errors), sum(variances)),
                rmse=math.sqrt(sum(errors)),
                median=median,
                component_r2=tuple(map(_r2, errors, variances)),
                component_rmse=tuple(map(math.sqrt, errors)),
            )


def _score(
    guess: Tensor, truth: Tensor, widths: dict[str, int]
) -> Iterator[tuple[str, list[float], list[float], float]]:
    """Of (N, L) against (N, L), each variable's mean squared error and variance by component.

    And the median length of its error vector.
    """
    squared = (guess - truth).double().square()
    variance = truth.double().var(0, correction=0).tolist()
    at = 0
    for name, width in widths.items():
        own = squared[:, at : at + width]
        median = float(own.sum(1).median().sqrt())
        yield name, own.mean(0).tolist(), variance[at : at + width], median
        at += width


def _r2(error: float, variance: float) -> float | None:
    """1 - error / variance, None where there was nothing to explain."""
    return 1 - error / variance if variance > STILL**2 else None


def canonical(labels: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Labels a probe can be asked for: of the two quaternions of a rotation the one with w >= 0."""
    return {
        name: torch.where(values[..., :1] < 0, -values, values)
        if name.endswith("_quat")
        else values
        for name, values in labels.items()
    }


def unit_of(variable: str) -> str:
    """Unit of a label by its name; empty if it has none or its name does not tell.

    >>> unit_of("state.cube_pos"), unit_of("proprio.joint3"), unit_of("state.cube_quat")
    ('m', 'rad', '')
    """
    name = variable.rpartition(".")[2]
    return next((unit for pattern, unit in UNITS if re.search(pattern, name)), "")


def r2_text(r2: float | None) -> str:
    """Two decimals, or a dash for a label that never changes."""
    return "-" if r2 is None else f"{r2:.2f}"


def error_text(reading: Reading, value: float | None = None) -> str:
    """The error with its unit, or another value of that unit; metres as centimetres.

    >>> cube = Reading(
    ...     variable="state.cube_pos",
    ...     unit="m",
    ...     probe="mlp",
    ...     source="encoded",
    ...     blocks=0,
    ...     r2=0.9,
    ...     rmse=0.012,
    ...     median=0.004,
    ...     component_r2=(0.9,),
    ...     component_rmse=(0.012,),
    ... )
    >>> error_text(cube), error_text(cube, cube.median)
    ('1.20 cm', '0.40 cm')
    """
    error = reading.rmse if value is None else value
    if reading.unit == "m":
        return f"{100 * error:.2f} cm"
    return f"{error:.3f} {reading.unit}".rstrip()
