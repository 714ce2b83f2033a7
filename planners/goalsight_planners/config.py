"""What every planner is told: how far to look, how hard to search, which axes are discrete."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Discrete:
    """An action axis that takes one of a few values, held for a whole action block: a gripper.

    A Gaussian over "open or closed" spends its samples half-way between the two; here each block
    has its own categorical distribution (Bernoulli for two values).
    """

    axis: int
    """Index of the axis in an action; `axes_named` finds it by name."""
    values: tuple[float, ...] = (-1.0, 1.0)
    """What the axis may be, ascending, in action units; clipped to the bounds of a problem."""

    def __post_init__(self) -> None:
        """Raises ValueError where a field is out of its range."""
        if self.axis < 0:
            raise ValueError(f"axis must be 0 or more, got {self.axis}")
        ordered = sorted(set(self.values)) == list(self.values)
        if len(self.values) < 2 or not ordered or not all(map(math.isfinite, self.values)):
            raise ValueError(
                f"values must be at least two finite numbers in ascending order, got {self.values}"
            )


def axes_named(names: Sequence[str], wanted: Sequence[str]) -> tuple[int, ...]:
    """Indices of action axes by name, for `Discrete` and `Workspace`.

    Args:
        names: of all axes of an action, in order.
        wanted: names of the axes to find.

    Raises:
        KeyError: if there is no axis of a name.

    >>> axes_named(["dx", "dy", "dz", "gripper"], ["gripper", "dx"])
    (3, 0)
    """
    for name in wanted:
        if name not in names:
            raise KeyError(f"no action axis {name!r}; there are: {', '.join(names)}")
    return tuple(list(names).index(name) for name in wanted)


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """How far any planner looks and how hard it searches; all that random shooting needs.

    Normalised action units are those in which the bounds are [-1, 1].
    """

    horizon: int = 5
    """Action blocks looked ahead, H."""
    block: int = 5
    """Control steps in an action block, K."""
    samples: int = 200
    """Candidate plans an iteration."""
    iterations: int = 5
    """Refits of the sampling distribution."""
    elites: int = 20
    """Best plans kept: CEM and iCEM refit to them, every planner returns them."""
    action_mode: Literal["repeat", "free"] = "repeat"
    """`repeat` holds one action inside a block (H x A numbers), `free` searches H x K x A."""
    discrete: tuple[Discrete, ...] = ()
    """Axes that take one of a few values, held for a block."""
    stop_spread: float = 0.0
    """A problem whose search has narrowed to this spread is done, see `IterationStats.spread`;
    0 never stops early."""

    @property
    def evaluations(self) -> int:
        """Candidate plans evaluated for one problem if nothing stops early."""
        return self.samples * self.iterations

    def __post_init__(self) -> None:
        """Raises ValueError where a field is out of its range."""
        for name in ("horizon", "block", "iterations"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 1 < self.elites <= self.samples:
            raise ValueError(f"elites must be in [2, samples], got {self.elites} of {self.samples}")
        if self.action_mode not in ("repeat", "free"):
            raise ValueError(f"action_mode must be 'repeat' or 'free', got {self.action_mode!r}")
        axes = [one.axis for one in self.discrete]
        if len(set(axes)) < len(axes):
            raise ValueError(f"discrete must name an axis once, got axes {axes}")
        if not self.stop_spread >= 0:
            raise ValueError(f"stop_spread must be 0 or more, got {self.stop_spread}")


@dataclass(frozen=True, kw_only=True)
class GaussianConfig(SearchConfig):
    """What the planners that refit a Gaussian share: CEM, iCEM and MPPI."""

    init_std: float = 0.7
    """Sampling spread of the first iteration, in normalised action units."""
    min_std: float = 0.05
    """Floor on the sampling spread, in normalised action units."""
    momentum: float = 0.0
    """Share of the old distribution in the new one, in [0, 1); 0 forgets it."""
    min_probability: float = 0.02
    """Floor on the probability of each value of a discrete axis: no block is decided for good."""
    fixed_std: float = 0.0
    """Sampling spread that no refit changes, in normalised action units: the search stays this near
    to what it was given, such as an actor's plan. 0 begins with `init_std` and refits."""
    prior_fraction: float = 0.0
    """Fraction of every iteration's samples drawn from the prior, around mid-bounds with
    `init_std`, instead of around what was given or found; in [0, 1)."""

    def __post_init__(self) -> None:
        """Raises ValueError where a field is out of its range."""
        super().__post_init__()
        if not 0 < self.min_std <= self.init_std:
            raise ValueError(
                f"min_std must be in (0, init_std={self.init_std}], got {self.min_std}"
            )
        for name in ("momentum", "prior_fraction"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)}")
        if not 0 <= self.fixed_std < math.inf:
            raise ValueError(f"fixed_std must be at least 0, got {self.fixed_std}")
        most = min((1 / len(one.values) for one in self.discrete), default=0.5)
        if not 0 < self.min_probability <= most:
            raise ValueError(
                f"min_probability must be in (0, {most:.3g}], got {self.min_probability}"
            )
