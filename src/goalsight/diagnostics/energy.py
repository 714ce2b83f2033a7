"""Energy landscapes: how far from what really came next, as a function of the action imagined.

A model that can be planned with has one valley, and the recorded action lies in it. The picture
is that of V-JEPA 2 (Assran et al. 2025, arXiv:2506.09985, figure of the energy landscape).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from torch import Tensor

from goalsight.clip import Clip
from goalsight.data import Windows
from goalsight.diagnostics.context import (
    COLOURS,
    MARK,
    STYLE,
    compact,
    draw_clips,
    imagine_plans,
    require_frames,
)
from goalsight.energies import goal_energy
from goalsight.errors import UserError
from goalsight.models import WorldModel

SHOWN = 6
"""Landscapes drawn."""


Array = NDArray[np.float64]


ROUNDING = 1e-4
"""Energies nearer to each other than this share are equal: float32 sums of thousands of numbers."""


@dataclass(frozen=True, kw_only=True)
class LandscapeReport:
    """Energies over two action axes, for W recorded moments."""

    axes: tuple[str, str]
    """Names of the two axes; the others stay as they were recorded."""
    horizon: int
    """Blocks imagined; the energy is that of the last."""
    values: Array
    """(G,) what an axis is set to, the mean over the blocks, in action units [-1, 1]."""
    energies: Array
    """(W, G, G) energy with the first axis at `values[i]` and the second at `values[j]`."""
    recorded: Array
    """(W, 2) mean of the recorded action on the two axes."""
    recorded_energies: Array
    """(W,) energy of the blocks exactly as they were recorded."""

    @property
    def found(self) -> Array:
        """(W, 2) where on the grid the energy is least; the centre of such places if several."""
        least = self._least()
        places = np.einsum("wij,ijc->wc", least, self._grid())
        centres: Array = places / least.sum((1, 2))[:, None]
        return centres

    @property
    def error(self) -> float:
        """Mean distance from the least energy to the recorded action [action units].

        Where several actions share it their distances are averaged, so that a model that does not
        see the action scores `chance_error`.
        """
        least = self._least()
        return float(((least * self._distances()).sum((1, 2)) / least.sum((1, 2))).mean())

    @property
    def chance_error(self) -> float:
        """The same for a grid point drawn at random: what an action-blind model scores."""
        return float(self._distances().mean())

    @property
    def correlation(self) -> tuple[float, float]:
        """Pearson correlation of found and recorded action on each axis; 0 if one is constant."""
        first, second = (
            _correlation(self.found[:, axis], self.recorded[:, axis]) for axis in (0, 1)
        )
        return first, second

    @property
    def better_than_recorded(self) -> float:
        """Mean share of the grid with less energy than the recorded action: 0 perfect, .5 chance.

        Equal energies count half, so that a model that does not see actions gets .5.
        """
        limit = self.recorded_energies[:, None, None]
        tolerance = ROUNDING * np.abs(limit)
        less = (self.energies < limit - tolerance).mean((1, 2))
        equal = (np.abs(self.energies - limit) <= tolerance).mean((1, 2))
        return float((less + equal / 2).mean())

    def summary(self) -> str:
        """What was found, in a few lines for a person."""
        first, second = self.correlation
        return (
            f"least energy is {self.error:.2f} from the recorded action (chance "
            f"{self.chance_error:.2f}, in action units)\n"
            f"correlation of the two: {self.axes[0]} {first:.2f}, {self.axes[1]} {second:.2f}\n"
            f"{100 * self.better_than_recorded:.0f} % of the other actions have less energy "
            "(50 % is chance)"
        )

    def numbers(self) -> dict[str, Any]:
        """What was found, as JSON values."""
        return {
            "axes": list(self.axes),
            "horizon": self.horizon,
            "windows": len(self.energies),
            "error": self.error,
            "chance_error": self.chance_error,
            "correlation": list(self.correlation),
            "better_than_recorded": self.better_than_recorded,
        }

    def _grid(self) -> Array:
        """(G, G, 2) the two values at each point."""
        return np.stack(np.meshgrid(self.values, self.values, indexing="ij"), -1)

    def _distances(self) -> Array:
        """(W, G, G) from each point to the recorded action."""
        distances: Array = np.linalg.norm(self._grid() - self.recorded[:, None, None], axis=-1)
        return distances

    def _least(self) -> Array:
        """(W, G, G) 1 where the energy is least, up to rounding; else 0."""
        lowest = self.energies.min((1, 2), keepdims=True)
        least: Array = (self.energies <= lowest + ROUNDING * np.abs(lowest)).astype(np.float64)
        return least

    def to_json(self) -> dict[str, Any]:
        """`numbers` and every landscape."""
        return self.numbers() | {
            "values": compact(self.values),
            "recorded": compact(self.recorded),
            "recorded_energies": compact(self.recorded_energies),
            "energies": compact(self.energies),
        }


@torch.inference_mode()
def energy_landscape(
    model: WorldModel,
    windows: Windows,
    *,
    axes: tuple[str, str] | None = None,
    horizon: int = 1,
    count: int = 64,
    grid: int = 15,
    seed: int = 0,
) -> LandscapeReport:
    """Score every combination of two action axes against the frame that was really recorded.

    Args:
        model: to look into.
        windows: of at least `context + horizon` frames.
        axes: names of two action axes; the first two by default.
        horizon: blocks between the present frame and the goal frame.
        count: recorded moments.
        grid: values an axis is set to, from -1 to 1.
        seed: of the choice of moments.

    Raises:
        UserError: if the axes are not two of the dataset's, or the windows are too short.
    """
    names = windows.dataset.provenance.action_names
    chosen = axes or (names[0], names[min(1, len(names) - 1)])
    if len(set(chosen)) != 2 or not set(chosen) <= set(names):
        raise UserError(
            f"an energy landscape needs two different action axes out of {', '.join(names)}, got "
            f"{', '.join(chosen)}"
        )
    if grid < 2 or horizon < 1 or count < 1:
        raise UserError(
            f"grid must be at least 2, horizon and count at least 1, got {grid}, {horizon} and "
            f"{count}"
        )
    require_frames(windows, model.config.context + horizon)
    clip = draw_clips(model, windows, count, seed)
    columns = [names.index(name) for name in chosen]
    values = torch.linspace(-1, 1, grid, device=clip.actions.device)
    now = model.config.context - 1
    blocks = clip.actions[:, now : now + horizon]
    energies = landscape_energies(model, clip, now, shifted_plans(blocks, columns, values))
    own = landscape_energies(model, clip, now, blocks[:, None])
    return LandscapeReport(
        axes=chosen,
        horizon=horizon,
        values=_array(values),
        energies=_array(energies).reshape(-1, grid, grid),
        recorded=_array(blocks[..., columns].mean((1, 2))),
        recorded_energies=_array(own[:, 0]),
    )


def shifted_plans(blocks: Tensor, axes: list[int], values: Tensor) -> Tensor:
    """Recorded blocks with the mean of two axes moved to every pair of values.

    Moving keeps how the action varies within a block; what leaves [-1, 1] is clipped.

    Args:
        blocks: (B, H, K, A) recorded blocks.
        axes: the two columns to move.
        values: (G,) new means.

    Returns:
        (B, G * G, H, K, A) plans; plan i * G + j has the first axis at `values[i]`, the second at
        `values[j]`.

    >>> plans = shifted_plans(torch.zeros(1, 1, 1, 3), [0, 2], torch.tensor([-1.0, 1.0]))
    >>> plans[0, :, 0, 0].tolist()
    [[-1.0, 0.0, -1.0], [-1.0, 0.0, 1.0], [1.0, 0.0, -1.0], [1.0, 0.0, 1.0]]
    """
    pairs = torch.cartesian_prod(values, values)
    plans = blocks[:, None].repeat(1, len(pairs), 1, 1, 1)
    centred = blocks[..., axes] - blocks[..., axes].mean((1, 2), keepdim=True)
    plans[..., axes] = centred[:, None] + pairs[None, :, None, None, :]
    return plans.clamp_(-1, 1)


def landscape_energies(model: WorldModel, clip: Clip, now: int, plans: Tensor) -> Tensor:
    """(B, N) energy of each plan (B, N, H, K, A) from frame `now` to the frame H blocks later."""
    z = model.encode(clip.frames)
    goal = z[:, now + plans.shape[2]]
    # One moment at a time: a grid of plans is a batch by itself.
    rows = [
        goal_energy(imagine_plans(model, z[i], _one(clip, i), now, plans[i])[:, -1:], goal[i])[:, 0]
        for i in range(len(plans))
    ]
    return torch.stack(rows)


def _one(clip: Clip, index: int) -> Clip:
    return Clip(clip.frames[index], clip.actions[index], clip.proprio[index])


def _correlation(a: Array, b: Array) -> float:
    if len(a) < 2 or a.std() < 1e-9 or b.std() < 1e-9:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _array(tensor: Tensor) -> Array:
    return tensor.double().cpu().numpy()


@mpl.rc_context(STYLE)
def draw_landscape(report: LandscapeReport) -> Figure:
    """Some landscapes with the recorded action in them, and found against recorded over all."""
    figure = Figure(figsize=(11.5, 5.6), layout="constrained")
    axes = figure.subplots(2, 4)
    found = report.found
    chosen = np.linspace(0, len(found) - 1, min(SHOWN, len(found))).round().astype(int)
    places = axes[:, :3].reshape(-1)
    for place, w in zip(places, chosen.tolist(), strict=False):
        _landscape(place, report, w, found[w])
    for place in places[len(chosen) :]:
        place.set_visible(False)
    for i, place in enumerate(axes[:, 3]):
        place.plot([-1, 1], [-1, 1], color="black", linewidth=0.8, alpha=0.4)
        place.plot(report.recorded[:, i], found[:, i], ".", color=COLOURS["imagined"], alpha=0.7)
        place.set(
            xlabel=f"recorded {report.axes[i]}",
            ylabel="of least energy",
            xlim=(-1.1, 1.1),
            ylim=(-1.1, 1.1),
            aspect="equal",
            title=f"{report.axes[i]}: correlation {report.correlation[i]:.2f}",
        )
    marks = [
        Line2D([], [], color=MARK, marker="+", linestyle="", markersize=10, label="recorded"),
        Line2D(
            [],
            [],
            color="white",
            marker="o",
            linestyle="",
            markeredgecolor="black",
            markersize=6,
            label="least energy",
        ),
    ]
    figure.legend(handles=marks, loc="outside lower left", ncols=2)
    figure.suptitle(
        f"Energy after {_blocks(report.horizon)} (dark is near what really came). Error "
        f"{report.error:.2f}, by chance {report.chance_error:.2f}; "
        f"{100 * report.better_than_recorded:.0f} % of actions beat the recorded one",
        fontsize=9,
    )
    return figure


def _landscape(axes: Axes, report: LandscapeReport, w: int, found: NDArray[Any]) -> None:
    half = (report.values[1] - report.values[0]) / 2
    low, high = report.values[0] - half, report.values[-1] + half
    axes.grid(visible=False)
    axes.imshow(report.energies[w].T, origin="lower", extent=(low, high, low, high), cmap="inferno")
    axes.plot(*report.recorded[w], "+", color=MARK, markersize=13, markeredgewidth=2.5)
    axes.plot(*found, "o", color="white", markeredgecolor="black", markersize=6)
    axes.set(xlabel=report.axes[0], ylabel=report.axes[1], xlim=(low, high), ylim=(low, high))


def _blocks(count: int) -> str:
    return "1 block" if count == 1 else f"{count} blocks"
