"""Goals of a foreign environment as states: its own, reached by steering, or what play reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from goalsight_envs.foreign.errors import WrapError
from goalsight_envs.foreign.play import ServoExpert, make_play

if TYPE_CHECKING:
    from goalsight_envs.foreign.env import ForeignEnv

Array = NDArray[np.float64]
AHEAD = (25, 100)
"""Fewest and most control steps of play from the start to a goal."""
TRIES = 20
"""Times play looks for a goal before giving up."""
STEERING = 80
"""Control steps the hand may take to the environment's own goal."""
SETTLE = 5
"""Control steps without command at the end of it."""
NEAR = 0.2
"""How near the hand comes before it stops, as a share of the success threshold."""


def draw_goal(env: ForeignEnv, rng: np.random.Generator) -> Array:
    """(S,) a goal state for the episode that was just reset; the environment is put back.

    Raises:
        WrapError: if there is none.
    """
    start = env.solver_state()
    state = steered(env, rng) if env.config.own_goals else played(env, rng, start)
    env.restore(start)
    return state


def played(env: ForeignEnv, rng: np.random.Generator, start: Array) -> Array:
    """(S,) state after control steps of play that moved what is measured.

    Raises:
        WrapError: if play moves nothing.
    """
    before = env.achieved()
    for _ in range(TRIES):
        policy = make_play(env, np.random.default_rng(rng.integers(2**32)))
        for step in range(1, AHEAD[1] + 1):
            env.advance(policy.act())
            moved = env.goal_distance(env.achieved(), before) > env.min_displacement
            if step >= AHEAD[0] and moved:
                return env.solver_state()
        env.restore(start)
    raise WrapError(
        f"{TRIES} times {AHEAD[1]} steps of play moved nothing by {env.min_displacement:g}; lower "
        "displacement, or measure something else with goal="
    )


def steered(env: ForeignEnv, rng: np.random.Generator) -> Array:
    """(S,) state with the hand at rest at the environment's own goal, or as near as it gets.

    Raises:
        WrapError: if the environment says no goal of its own.
    """
    desired = env.own_desired
    if desired is None:
        raise WrapError("own_goals needs an environment that observes its desired_goal")
    expert = ServoExpert(env, rng, desired)
    for _ in range(STEERING):
        env.advance(expert.act())
        if env.goal_distance(env.hand_position(), desired) < NEAR * env.success_threshold:
            break
    for _ in range(SETTLE):
        env.advance(np.zeros(env.action_space.shape or (), np.float32))
    return env.solver_state()
