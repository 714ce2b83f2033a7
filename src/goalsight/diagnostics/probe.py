"""What can be read out of a latent: every label, encoded and imagined, in SI units."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from goalsight.diagnostics.latents import Latents
from goalsight.diagnostics.probes import Probe, ProbeKind, fit_probe, sketch
from goalsight.models.heads.probe import WIDEST

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
