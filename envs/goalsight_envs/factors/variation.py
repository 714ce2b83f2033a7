"""Draws the factors of an episode, writes them into the model, and takes them out again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from goalsight_envs.factors.table import FACTORS, LEVELS
from goalsight_envs.factors.values import Factor, FactorError, Factors, Ranges, Value


def factors_of(model: mujoco.MjModel) -> dict[str, Factor]:
    """The factors that a scene has the parts for, by name."""
    return {
        name: factor
        for name, factor in FACTORS.items()
        if not factor.part or mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_GEOM, factor.part) >= 0
    }


class Variation:
    """What varies in one scene; while nothing does, the model is never touched."""

    def __init__(
        self, model: mujoco.MjModel, factors: Factors = None, redraw: bool = False
    ) -> None:
        """Check what shall vary.

        Args:
            model: of the scene, as it was loaded.
            factors: name of a level, or a value or range for each factor by name.
            redraw: whether `step` draws those that are visual anew.

        Raises:
            FactorError: if there is no such level or factor, the scene has no part for it, or it
                cannot have such a value.
        """
        self._model, self._known = model, factors_of(model)
        self._ranges = self._ranges_of(factors)
        self._redraw = redraw
        self._values: dict[str, Value] = {}
        self._nominal: _Nominal | None = None
        self._varied = False
        self._rng = np.random.default_rng()

    def begin(self, fixed: Mapping[str, Any], seed: int | None = None) -> dict[str, Value]:
        """Write the factors of the next episode into the model.

        Args:
            fixed: values by name that are not drawn.
            seed: to draw from, here and in later episodes; None goes on drawing.

        Returns:
            Every factor that was set and its value; the others are nominal.

        Raises:
            FactorError: if a value cannot be; the model is as before then.
        """
        if seed is not None:
            # A child of the seed: starts and goals are drawn as they are without factors.
            self._rng = np.random.default_rng(np.random.SeedSequence(seed).spawn(1)[0])
        given = {name: self._factor(name).checked(value) for name, value in fixed.items()}
        drawn = {name: self._ranges[name].draw(self._rng) for name in self._ranges}
        values = drawn | given
        ordered = {name: values[name] for name in self._known if name in values}
        self._write(ordered)
        self._values = ordered
        return ordered

    def step(self) -> None:
        """Draw looks anew within an episode, if that was asked for; mechanics stay.

        What changes from frame to frame cannot be predicted, so a model has no use for it.
        """
        if self._redraw:
            visual = [name for name in self._ranges if self._known[name].kind == "visual"]
            drawn = {name: self._ranges[name].draw(self._rng) for name in visual}
            self._write(self._values | drawn)

    def _write(self, values: Mapping[str, Value]) -> None:
        if not values and not self._varied:
            return
        if self._nominal is None:
            self._nominal = _Nominal(self._model)
        self._nominal.restore()
        self._varied = bool(values)
        for name, value in values.items():
            self._known[name].apply(self._model, value)
        if {"cube.mass", "cube.size"} & values.keys():
            _derive(self._model)

    def _ranges_of(self, factors: Factors) -> Ranges:
        if isinstance(factors, str):
            if factors not in LEVELS:
                raise FactorError(f"no level {factors!r}; there are: {', '.join(LEVELS)}")
            level = LEVELS[factors]
            chosen: Mapping[str, Any] = {n: level[n] for n in self._known if n in level}
        else:
            chosen = dict(factors or {})
        found = {name: self._factor(name).range_of(value) for name, value in chosen.items()}
        return {name: found[name] for name in self._known if name in found}

    def _factor(self, name: str) -> Factor:
        if name not in self._known:
            what = "this scene has no part for" if name in FACTORS else "there is no"
            raise FactorError(f"{what} factor {name!r}; it has: {', '.join(self._known)}")
        return self._known[name]


def _derive(model: mujoco.MjModel) -> None:
    """Compute anew what MuJoCo's compiler derives from masses: weights of the contact solver."""
    compiled, before = float(model.stat.meaninertia), float(model.dof_M0.mean())
    mujoco.mj_setConst(model, mujoco.MjData(model))
    # Scales the solver's tolerance; some MuJoCos leave it as it was here, others do it, too.
    model.stat.meaninertia = compiled + (float(model.dof_M0.mean()) - before)


class _Nominal:
    """A copy of every number of a model, to put back: exact whatever a factor wrote."""

    def __init__(self, model: mujoco.MjModel) -> None:
        lights = model.vis.headlight
        holders = [model, model.stat, lights]
        self._arrays: list[tuple[NDArray[Any], NDArray[Any]]] = []
        self._numbers: list[tuple[Any, str, float]] = []
        for holder in holders:
            for name in dir(holder):
                value = None if name.startswith("_") else getattr(holder, name)
                if isinstance(value, np.ndarray) and value.size and name != "tex_data":
                    self._arrays.append((value, value.copy()))
                elif isinstance(value, float):
                    self._numbers.append((holder, name, value))

    def restore(self) -> None:
        """Put everything back."""
        for live, kept in self._arrays:
            live[...] = kept
        for holder, name, value in self._numbers:
            setattr(holder, name, value)
