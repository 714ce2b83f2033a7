"""Values of a factor, and ranges to draw them from: checked here, once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import mujoco
import numpy as np

Value = float | int | str | tuple[float, ...]
"""A number, as many numbers as the factor has, or the name of a choice."""
Factors = str | Mapping[str, Any] | None
"""Name of a level, or values and ranges by name of the factor; None varies nothing."""
Apply = Callable[[mujoco.MjModel, Any], None]
"""Writes a value into a model in which its factor is nominal."""

DIGITS = 4
"""Decimals a drawn number is rounded to: it is the number that is written down, and applied."""


class FactorError(ValueError):
    """A factor that does not exist, does not fit the scene, or has a value it cannot have."""


@dataclass(frozen=True, kw_only=True)
class Factor:
    """One thing that may differ between episodes."""

    name: str
    """As in `cube.size`: what it is of, then what of it."""
    summary: str
    """What it means, in a few words."""
    unit: str = ""
    """Of each number; empty for a choice or a ratio."""
    kind: str
    """`visual`: pictures alone change; `physics`: motion does."""
    nominal: Value
    """What the scene has when the factor is left alone."""
    low: tuple[float, ...] = ()
    """Least that each number may be."""
    high: tuple[float, ...] = ()
    """Most that each number may be."""
    choices: tuple[str, ...] = ()
    """What it may be if it is no number."""
    whole: bool = False
    """Whether it counts something."""
    part: str = ""
    """Geom that a scene must have for it; empty if every scene does."""
    apply: Apply
    """Writes a value into a model."""

    def checked(self, given: object) -> Value:
        """A value as it is applied and written down.

        Raises:
            FactorError: if it is not of this factor's kind or out of its range.
        """
        if self.choices:
            if given not in self.choices:
                raise FactorError(
                    f"factor {self.name} is one of {', '.join(self.choices)}, got {given!r}"
                )
            return str(given)
        return self._as_value(self._numbers(given))

    def range_of(self, given: object) -> Range:
        """What a user names for a factor: a value, or what to draw it from.

        A pair of values is a range, `[0.02, 0.03]` or `[[0, 0, 0], [1, 1, 1]]`; several choices
        are drawn from with equal chance.

        Raises:
            FactorError: if it is neither.
        """
        if self.choices:
            names = [given] if isinstance(given, str) else list(_sequence(given))
            if not names:
                raise FactorError(f"factor {self.name} has no choice to draw from")
            return Range(self, choices=tuple(str(self.checked(name)) for name in names))
        ends = list(_sequence(given))
        deeper = bool(ends) and isinstance(ends[0], Sequence) and not isinstance(ends[0], str)
        if len(ends) != 2 or not (deeper or len(self.low) == 1):
            ends = [given, given]
        low, high = (self._numbers(end) for end in ends)
        if any(a > b for a, b in zip(low, high, strict=True)):
            raise FactorError(f"factor {self.name}: the range {given!r} ends below its beginning")
        return Range(self, low=low, high=high)

    def _numbers(self, given: object) -> tuple[float, ...]:
        numbers = [given] if isinstance(given, Real) else list(_sequence(given))
        fits = len(numbers) == len(self.low) and all(_is_number(value) for value in numbers)
        values = tuple(float(value) for value in numbers) if fits else ()
        if not fits or any(
            not low <= value <= high
            for low, value, high in zip(self.low, values, self.high, strict=True)
        ):
            raise FactorError(f"factor {self.name} is {self.extent()}, got {given!r}")
        return values

    def extent(self) -> str:
        """Its values in words, with units."""
        if self.choices:
            return ", ".join(self.choices)
        pairs = dict.fromkeys(zip(self.low, self.high, strict=True))
        ends = [f"{low:g} to {high:g}" for low, high in pairs]
        count = len(self.low)
        what = "a whole number, " if self.whole else f"{count} numbers, " if count > 1 else ""
        return f"{what}{' or '.join(ends)}{f' {self.unit}' if self.unit else ''}"

    def _as_value(self, numbers: tuple[float, ...]) -> Value:
        if self.whole:
            return round(numbers[0])
        return numbers[0] if len(numbers) == 1 else numbers


@dataclass(frozen=True)
class Range:
    """What one factor is drawn from; a fixed value is a range without width."""

    factor: Factor
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    choices: tuple[str, ...] = ()

    def draw(self, rng: np.random.Generator) -> Value:
        """A value, uniform in the range; takes as many random numbers whatever the range."""
        if self.choices:
            return self.choices[min(int(rng.random() * len(self.choices)), len(self.choices) - 1)]
        low, high = np.array(self.low), np.array(self.high)
        share = rng.random(low.size)
        if self.factor.whole:
            return int(np.floor(low + share * (high - low + 1.0))[0].clip(low[0], high[0]))
        values = np.where(low == high, low, np.round(low + share * (high - low), DIGITS))
        return self.factor.checked(np.clip(values, low, high).tolist())


Ranges = dict[str, Range]
"""Ranges by the name of their factor."""


def _sequence(given: object) -> Sequence[Any]:
    if isinstance(given, np.ndarray):
        return list(given.tolist()) if given.ndim else [given.item()]
    return given if isinstance(given, Sequence) and not isinstance(given, str) else ()


def _is_number(value: object) -> bool:
    numbers = (int, float, np.integer, np.floating)
    return isinstance(value, numbers) and not isinstance(value, bool) and math.isfinite(value)
