"""What a mix of policies is made of: play, and the states and mistakes that play seldom visits."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from goalsight_envs import cabinet
from goalsight_envs.base import ArmEnv, Array
from goalsight_envs.policies.expert import make_expert
from goalsight_envs.policies.hand_experts import PLANS
from goalsight_envs.policies.motion import steer
from goalsight_envs.policies.play import PlayConfig, PlayPolicy
from goalsight_envs.policies.simple import Action, HoldPolicy, Policy, RandomPolicy
from goalsight_envs.policies.skills import Move, action_of, cruise, over
from goalsight_envs.policies.task_play import Mix, TaskPlayConfig, TaskPlayPolicy

if TYPE_CHECKING:
    from collections.abc import Iterator


class Behaviour(Policy, Protocol):
    """A policy that may have a start of its own."""

    def start(self, rng: np.random.Generator) -> Array | None:
        """(S,) full solver state to begin in, reached in a way nobody records; None to stay."""


@dataclass(frozen=True, kw_only=True)
class Style:
    """How a mix wants its policies to act; `play` keeps its own."""

    noise: tuple[float, float] = (0.0, 0.35)
    """Range of the standard deviation of the action noise, drawn for an episode, action units."""
    speed: tuple[float, float] = (0.5, 1.0)
    """Range of the speed drawn for an episode, as a fraction of the largest step."""
    lapse: float = 0.02
    """Probability that an expert's control step is the first of a mistake."""
    correlation: float = 0.7
    """What is left of the noise after one control step (Ornstein-Uhlenbeck in discrete time)."""


MakeBehaviour = Callable[[ArmEnv, np.random.Generator, Style], Behaviour]


class Plain:
    """A policy that begins where the episode does."""

    def __init__(self, policy: Policy) -> None:
        """Act as `policy` does."""
        self._policy = policy

    def start(self, rng: np.random.Generator) -> Array | None:
        """None: the start is that of the episode."""

    def reset(self) -> None:
        """Forget the last episode."""
        self._policy.reset()

    def act(self) -> Action:
        """(4,) action."""
        return self._policy.act()


class NoisyExpert:
    """The task's expert toward the goal, slower, with noise, and with mistakes that it mends."""

    def __init__(self, env: ArmEnv, rng: np.random.Generator, style: Style) -> None:
        """Drive `env`, drawing every choice from `rng`."""
        self.env, self.rng, self.style = env, rng, style
        self._expert = make_expert(env, rng)

    def start(self, rng: np.random.Generator) -> Array | None:
        """None: the start is that of the episode."""

    def reset(self) -> None:
        """Draw speed and noise of the episode."""
        self._expert.reset()
        self._speed = self.rng.uniform(*self.style.speed)
        self._spread = self.rng.uniform(*self.style.noise)
        self._noise = np.zeros(4)
        self._left = 0

    def act(self) -> Action:
        """(4,) action in [-1, 1]."""
        rng, correlation = self.rng, self.style.correlation
        if self._left == 0 and rng.random() < self.style.lapse:
            # A mistake: off in some direction, the fingers doing as they like.
            self._left = int(rng.integers(2, 9))
            self._mistake = np.array([*rng.uniform(-1.0, 1.0, 3), rng.choice([-1.0, 0.0, 1.0])])
        if self._left > 0:
            self._left -= 1
            intended = self._mistake
        else:
            intended = self.intended()
        spread = self._spread * np.sqrt(1.0 - correlation**2)
        self._noise = correlation * self._noise + rng.normal(0.0, spread, 4)
        action = intended + self._noise * [1.0, 1.0, 1.0, 0.5]
        return np.clip(action, -1.0, 1.0).astype(np.float32)

    def intended(self) -> Array:
        """(4,) what it would do without noise: the task, then the arm to where the goal has it."""
        action = self._expert.act().astype(np.float64)
        env = self.env
        if not action.any() and env.succeeded(env.achieved(env.data), env.achieved(env.goal_data)):
            action = settle(env).astype(np.float64)
        action[:3] *= min(1.0, self._speed / max(float(np.abs(action[:3]).max()), 1e-9))
        return action


class HoldGoal(NoisyExpert):
    """Begins in the goal state and stays there against the noise."""

    def start(self, rng: np.random.Generator) -> Array | None:
        """(S,) the goal state."""
        return self.env.goal_state

    def intended(self) -> Array:
        """(4,) back to the goal's pose; what the task asks for comes first if it is lost."""
        env = self.env
        if not env.succeeded(env.achieved(env.data), env.achieved(env.goal_data)):
            return super().intended()
        return np.array([*steer(env, env.arm.fingertip(env.goal_data), self._speed), 0.0])


class Recover(NoisyExpert):
    """Begins where policies that fail stand still, beside or above an object; then mends it."""

    def start(self, rng: np.random.Generator) -> Array | None:
        """(S,) the hand near an object and not quite right."""
        env = self.env
        target, gripper = near_object(env, rng), float(rng.choice([-1.0, 1.0]))
        with blind(env):
            for _ in range(40):
                if np.abs(env.arm.fingertip(env.data) - target).max() < 0.012:
                    break
                env.step(action_of(env, Move(over(env, target, cruise(env)), gripper)))
        return env.solver_state()


class Branch:
    """Begins in the midst of play, in a state that several episodes share; then plays on."""

    def __init__(self, env: ArmEnv, rng: np.random.Generator) -> None:
        """Play in `env`; what is done from the shared state on comes from `rng`."""
        self.env, self.rng = env, rng

    def start(self, rng: np.random.Generator) -> Array | None:
        """(S,) the shared state, a function of the episode's start and `rng` alone."""
        play = make_play(self.env, rng)
        play.reset()
        with blind(self.env):
            for _ in range(int(rng.integers(5, 60))):
                self.env.step(play.act())
        return self.env.solver_state()

    def reset(self) -> None:
        """Begin another segment of play."""
        self._play = make_play(self.env, self.rng)
        self._play.reset()

    def act(self) -> Action:
        """(4,) action in [-1, 1]."""
        return self._play.act()


def make_play(env: ArmEnv, rng: np.random.Generator) -> Policy:
    """The play of a task: waypoints and pushes, or scripts for tasks that need fingers."""
    return TaskPlayPolicy(env, rng) if type(env) in PLANS else PlayPolicy(env, rng)


def settle(env: ArmEnv) -> Action:
    """(4,) action that brings hand and fingers to where the goal state has them, over all things.

    A picture of a goal shows the arm, too: a demonstration ends as the picture shows it.
    """
    target, data = env.arm.fingertip(env.goal_data), env.goal_data
    wider = env.arm.opening(data) - env.arm.opening(env.data)
    gripper = float(np.sign(wider)) if abs(wider) > 0.005 else 0.0
    return action_of(env, Move(over(env, target, cruise(env)), gripper))


def near_object(env: ArmEnv, rng: np.random.Generator) -> Array:
    """(3,) fingertip position above or beside a cube or the handle, off by centimetres [m]."""
    if env.cubes:
        place = np.array(env.data.body(str(rng.choice(env.cubes))).xpos)
        if rng.random() < 0.6:  # above it, misaligned
            place += [*rng.normal(0.0, 0.02, 2), rng.uniform(0.035, 0.09)]
        else:  # beside it, on any side
            angle = rng.uniform(-np.pi, np.pi)
            place += rng.uniform(0.06, 0.09) * np.array([np.cos(angle), np.sin(angle), 0.0])
    else:
        place = cabinet.handle(env.data)
        place[2] = cabinet.GRIP
        place += [*rng.normal(0.0, 0.025, 2), rng.uniform(0.0, 0.05)]
    return np.asarray(np.clip(place, env.arm.low, env.arm.high))


@contextmanager
def blind(env: ArmEnv) -> Iterator[None]:
    """Control steps in here draw no pictures."""
    before, env.observe_pixels = env.observe_pixels, False
    try:
        yield
    finally:
        env.observe_pixels = before


def scripted(
    env: ArmEnv, rng: np.random.Generator, style: Style, shares: dict[str, float]
) -> Plain:
    """Scripts of a task that needs fingers: those named, and no others."""
    mix = Mix(**{**dict.fromkeys(Mix.__dataclass_fields__, 0.0), **shares})
    config = TaskPlayConfig(mix=mix, speed=style.speed, noise=style.noise, flip=style.lapse)
    return Plain(TaskPlayPolicy(env, rng, config))


def waypoints(env: ArmEnv, rng: np.random.Generator, style: Style) -> Behaviour:
    """Random waypoints and nothing else."""
    return moving(env, rng, style, {"wander": 1.0}, interact=0.0)


def interact(env: ArmEnv, rng: np.random.Generator, style: Style) -> Behaviour:
    """Something is done to an object all the time: pushed, carried, pulled, stacked."""
    every = {name: getattr(Mix(), name) for name in ("push", "carry", "drawer", "stack")}
    return moving(env, rng, style, every, interact=1.0)


def moving(
    env: ArmEnv, rng: np.random.Generator, style: Style, shares: dict[str, float], interact: float
) -> Behaviour:
    """Scripts by their shares, or where a task has none, waypoint play with so many pushes."""
    if type(env) in PLANS:
        return scripted(env, rng, style, shares)
    config = PlayConfig(
        interact=interact, hold=0.0, speed=style.speed, noise=rng.uniform(*style.noise)
    )
    return Plain(PlayPolicy(env, rng, config))


def retry(env: ArmEnv, rng: np.random.Generator, style: Style) -> Behaviour:
    """Attempts that fail and are made again."""
    if type(env) in PLANS and env.cubes:
        return scripted(env, rng, style, {"miss": 1.0})
    often = Style(
        noise=style.noise,
        speed=style.speed,
        lapse=max(style.lapse, 0.08),
        correlation=style.correlation,
    )
    return NoisyExpert(env, rng, often)


def as_it_is(make: Callable[[ArmEnv, np.random.Generator], Policy]) -> MakeBehaviour:
    """A policy that keeps its own style."""
    return lambda env, rng, _: Plain(make(env, rng))


BEHAVIOURS: dict[str, MakeBehaviour] = {
    "play": as_it_is(make_play),
    "random": as_it_is(RandomPolicy),
    "expert": as_it_is(make_expert),
    "hold": as_it_is(HoldPolicy),
    "waypoints": waypoints,
    "interact": interact,
    "noisy-expert": NoisyExpert,
    "recover": Recover,
    "retry": retry,
    "hold-goal": HoldGoal,
    "branches": lambda env, rng, _: Branch(env, rng),
}
"""Every policy that a mix may name."""


def behaviours_for(env: ArmEnv) -> list[str]:
    """Names of the behaviours that a task has the objects for."""
    nothing_to_move = env.play_interact == 0 or not (env.cubes or env.drawer)
    left_out = {"interact", "recover"} if nothing_to_move else set()
    return [name for name in BEHAVIOURS if name not in left_out]
