"""What a foreign environment shows of itself: numbers picked out of observation and simulation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goalsight_envs.foreign.errors import WrapError

Array = NDArray[np.float64]
Measure = Callable[[Any, Any], Array]
"""(environment without wrappers, its observation) to (G,) numbers."""

POSITIONS = {"body": "xpos", "site": "site_xpos", "geom": "geom_xpos"}
"""Kinds of MuJoCo objects that have a position, and the array it is in."""
GOAL_KEYS = {"achieved_goal", "desired_goal"}


def flat(observation: object) -> Array:
    """(N,) the numbers of an observation, without goals, pictures and words.

    Of a dict, `observation` if there is one, else its vectors in the order of their names.
    """
    if isinstance(observation, dict):
        if "observation" in observation:
            return flat(observation["observation"])
        parts = [flat(observation[key]) for key in sorted(observation) if key not in GOAL_KEYS]
        return np.concatenate(parts) if parts else np.zeros(0)
    if isinstance(observation, tuple | list):
        parts = [flat(part) for part in observation]
        return np.concatenate(parts) if parts else np.zeros(0)
    array = np.asarray(observation)
    return (
        np.zeros(0)
        if array.ndim > 1 or array.dtype.kind not in "fiub"
        else np.atleast_1d(array).astype(np.float64)
    )


def measure_of(text: str, env: Any, observation: object) -> Measure:  # noqa: ANN401
    """The measure that a text describes, tried on an observation.

    Args:
        text: as in `WrapConfig.goal`.
        env: the environment without wrappers.
        observation: what it showed last.

    Raises:
        WrapError: if there is nothing of that name; lists what there is.
    """
    parts = [_single(part, env, observation) for part in text.split("+")]

    def measure(env: Any, observation: Any) -> Array:  # noqa: ANN401
        return np.concatenate([part(env, observation) for part in parts])

    return parts[0] if len(parts) == 1 else measure


def default_measure(text: str, env: Any, observation: object) -> Measure:  # noqa: ANN401
    """The measure of a text; without one, `achieved_goal` where there is one, else every number.

    Raises:
        WrapError: if there is nothing of that name.
    """
    if not text and not (isinstance(observation, dict) and "achieved_goal" in observation):
        return lambda _, seen: flat(seen)
    return measure_of(text or "achieved", env, observation)


def indices(texts: Sequence[str], width: int) -> NDArray[np.int64]:
    """Indices of ranges such as `0:3`, `9` among `width` numbers.

    Raises:
        WrapError: if a range is none, or beyond the numbers there are.
    """
    found: list[int] = []
    for text in texts:
        first, colon, end = text.partition(":")
        try:
            begin = int(first)
            found += range(begin, int(end) if colon else begin + 1)
        except ValueError:
            raise WrapError(f"{text!r} is no range of numbers such as 0:3") from None
    if not found or min(found) < 0 or max(found) >= width:
        raise WrapError(f"the observation has {width} numbers, {'+'.join(texts)} does not fit")
    return np.array(found)


def _single(text: str, env: Any, observation: object) -> Measure:  # noqa: ANN401
    """One part of a measure."""
    kind, _, name = text.partition(":")
    if kind == "achieved":
        if not (isinstance(observation, dict) and "achieved_goal" in observation):
            raise WrapError("goal=achieved needs a goal environment, this one has no achieved_goal")
        return lambda _, seen: np.array(seen["achieved_goal"], np.float64).ravel()
    if kind == "observation":
        chosen = indices([name], flat(observation).size)
        return lambda _, seen: flat(seen)[chosen]
    if kind not in {*POSITIONS, "joint"}:
        raise WrapError(
            f"cannot measure {text!r}; say achieved, observation:0:3, or body:, site:, geom: or "
            "joint: and a name of the MuJoCo model"
        )
    _check_name(kind, name, env)
    if kind == "joint":
        return lambda env, _: np.array(env.data.joint(name).qpos)
    array = POSITIONS[kind]
    return lambda env, _: np.array(getattr(env.data, array)[getattr(env.model, kind)(name).id])


def _check_name(kind: str, name: str, env: Any) -> None:  # noqa: ANN401
    """Raises WrapError where the model has no object of that kind and name."""
    model = getattr(env, "model", None)
    if model is None:
        raise WrapError(f"{kind}:{name} needs a MuJoCo model, this environment has none")
    count = {"joint": "njnt"}.get(kind, f"n{kind}")
    names = [getattr(model, kind)(i).name for i in range(getattr(model, count))]
    if name not in names:
        known = ", ".join(sorted(filter(None, names)))
        raise WrapError(f"no {kind} {name!r} in the model; it has: {known}")
