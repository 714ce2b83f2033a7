"""Play for the tasks that need fingers: scripts that take, carry, drop, fail, try again, pull."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from goalsight_envs.base import ArmEnv
from goalsight_envs.policies import scripts
from goalsight_envs.policies.hand_experts import PLANS
from goalsight_envs.policies.simple import Action
from goalsight_envs.policies.skills import Move, action_of


@dataclass(frozen=True, kw_only=True)
class Mix:
    """How often each script begins, relative to the others; one the scene has no use for is not."""

    wander: float = 0.12
    """Random waypoints, sometimes with something in the fingers."""
    push: float = 0.10
    """Shove a cube along the table with the closed hand."""
    carry: float = 0.28
    """Take a cube, lift it, carry it somewhere, and drop it or put it down."""
    miss: float = 0.10
    """Grasps that fail, taken beside the cube, then the same again without the error."""
    recover: float = 0.12
    """From hovering or misaligned near a cube to holding it."""
    expert: float = 0.14
    """The task's expert toward the episode's goal, then hold it there."""
    drawer: float = 0.25
    """Take the handle and pull or push it somewhere, or shove it with the closed hand."""
    stack: float = 0.20
    """Put one cube on another, not always straight."""

    def __post_init__(self) -> None:
        """Raises ValueError unless the shares are shares."""
        shares = [getattr(self, f.name) for f in fields(self)]
        if min(shares) < 0 or sum(shares) <= 0:
            raise ValueError(f"shares must be 0 or more and not all 0, got {shares}")


@dataclass(frozen=True, kw_only=True)
class TaskPlayConfig:
    """What play of the tasks that need fingers is made of."""

    mix: Mix = Mix()
    """Which scripts."""
    speed: tuple[float, float] = (0.5, 1.0)
    """Range of the speed drawn for a script, as a fraction of the largest step."""
    noise: tuple[float, float] = (0.0, 0.35)
    """Range of the standard deviation of the action noise drawn for a script, in action units."""
    correlation: float = 0.7
    """What is left of the noise after one control step (Ornstein-Uhlenbeck in discrete time)."""
    flip: float = 0.02
    """Probability that a control step's gripper command is the opposite: slips and drops."""
    patience: int = 60
    """Most control steps a script may take before another begins."""


class TaskPlayPolicy:
    """One script after another with smooth noise, random speed and slips of the gripper."""

    def __init__(
        self, env: ArmEnv, rng: np.random.Generator, config: TaskPlayConfig | None = None
    ) -> None:
        """Drive `env`, drawing every choice from `rng`.

        Raises:
            ValueError: if the mix has only scripts that the scene has no objects for.
        """
        self.env, self.rng, self.config = env, rng, config or TaskPlayConfig()
        shares = {name: getattr(self.config.mix, name) for name in scripts.for_scene(env)}
        if sum(shares.values()) == 0:
            raise ValueError(
                f"no script of the mix can be played in {env.scene}; it has: {', '.join(shares)}"
            )
        self._names = list(shares)
        self._shares = np.array(list(shares.values())) / sum(shares.values())
        self.reset()

    def reset(self) -> None:
        """Begin with a fresh script and fresh noise."""
        self.script = ""
        """Name of the script that is being played."""
        self._noise = np.zeros(4)
        self._moves: Iterator[Move] = iter(())
        self._left = 0

    def act(self) -> Action:
        """(4,) action in [-1, 1]."""
        cfg, rng = self.config, self.rng
        move = next(self._moves, None) if self._left > 0 else None
        if move is None:
            self._new_script()
            move = next(self._moves, None)
        self._left -= 1
        spread = self._spread * np.sqrt(1.0 - cfg.correlation**2)
        self._noise = cfg.correlation * self._noise + rng.normal(0.0, spread, 4)
        action = action_of(self.env, move, self._speed)
        if rng.random() < cfg.flip:
            action[3] = -action[3]
        noise: NDArray[np.float64] = self._noise * [1.0, 1.0, 1.0, 0.5]
        return np.clip(action + noise, -1.0, 1.0).astype(np.float32)

    def _new_script(self) -> None:
        cfg, rng = self.config, self.rng
        self.script = str(rng.choice(self._names, p=self._shares))
        if self.script == "expert":
            self._moves = scripts.follow(self.env, PLANS[type(self.env)], hold=15)
        else:
            self._moves = scripts.SCRIPTS[self.script](self.env, rng)
        self._left = cfg.patience if self.script != "expert" else 2 * cfg.patience
        self._speed = rng.uniform(*cfg.speed)
        self._spread = rng.uniform(*cfg.noise)
