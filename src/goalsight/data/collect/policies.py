"""Who acts in which episode, and how the episode begins; imports no PyTorch."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from goalsight.data.collect.config import CollectConfig
from goalsight.data.collect.mix import PolicyMix, Turn, turn
from goalsight.data.format import Goal
from goalsight.errors import UserError
from goalsight.policy import Policy, PolicyFactory, Script, ScriptedPolicy

OUR_ENVS = "goalsight_envs"
"""Package that registers the environments of the house and has policies for them."""
CORRECTOR = "noisy-expert"
"""Who corrects an agent."""
CORRECTING_NOISE = (0.0, 0.15)
"""Range of the action noise of an expert that corrects an agent, see `PolicyMix.noise`."""
_BRANCH_STREAM = 0xB2A7C4
"""Keeps the starts that branches share apart from those of single episodes."""


@dataclass(frozen=True)
class EpisodeStart:
    """An episode that is about to be recorded."""

    observation: dict[str, Any]
    """The first one."""
    policy: Policy
    """Who acts; it was reset."""
    steps: int
    """Control steps at most."""
    goal: NDArray[np.uint8] | None = None
    """(H, W, 3) goal image of a policy that was shown one."""
    factors: dict[str, Any] = field(default_factory=dict)
    """Factors of variation that are not nominal."""


class EpisodePolicies:
    """The policies of a run; begins episode i from the seed and i alone."""

    def __init__(
        self,
        config: CollectConfig,
        env: gymnasium.Env[Any, Any],
        factory: PolicyFactory | None = None,
    ) -> None:
        """Look up what the mix names.

        Args:
            config: what to collect.
            env: where.
            factory: makes the agent of a policy that has one.

        Raises:
            UserError: if the mix names a policy that does not exist, or none for this task; or if
                an agent is to be corrected where there is no expert.
        """
        self._config, self._env, self._factory = config, env, factory
        self._agent: Policy | None = None
        self._make_policy = _policy_factory(config.env, config.policy)
        self._available: list[str] = []
        if config.mix is not None:
            self._available = self._find(config.mix)
            self._turn(0)
        if config.policy == "correct" and not self._has_corrector():
            raise UserError(
                f"{config.env} has no scripted expert to correct an agent; collect with "
                "--policy agent"
            )

    def begin(self, episode: int) -> EpisodeStart:
        """Reset the environment and make the policy of an episode."""
        config = self._config
        env_seed, rng = episode_seeds(config.seed, episode)
        if config.mix is not None:
            return self._begin_mixed(config.mix, episode, env_seed, rng)
        observation, info = self._env.reset(seed=env_seed)
        factors = info.get("factors", {})
        if self._factory is not None:
            start = self._begin_agent(self._factory, observation, rng)
            if config.policy == "correct":
                start = self._take_over(start, factors, rng)
            return replace(start, factors=factors)
        policy = scripted(self._make_policy(config.policy, self._env, rng))
        return EpisodeStart(observation, policy, config.steps, factors=factors)

    def _begin_agent(
        self, factory: PolicyFactory, observation: dict[str, Any], rng: np.random.Generator
    ) -> EpisodeStart:
        if self._agent is None:
            self._agent = factory.make()
        goal = goal_image_of(self._env.unwrapped, self._config.size)
        self._agent.reset(goal, int(rng.integers(2**31)))
        return EpisodeStart(observation, self._agent, self._config.steps, goal)

    def _take_over(
        self, agent: EpisodeStart, factors: dict[str, Any], rng: np.random.Generator
    ) -> EpisodeStart:
        """An expert goes on where an agent got to, which nobody records (DAgger's corrections).

        Ross et al. 2011 (arXiv:1011.0686): an imitator errs where its own errors lead it, and only
        there can be shown what to do about them.
        """
        env: Any = self._env.unwrapped
        ours = importlib.import_module(f"{OUR_ENVS}.policies")
        observation = agent.observation
        for _ in range(int(rng.integers(self._config.steps))):
            observation, *_ = self._env.step(agent.policy.act(observation))
        observation = self._restart(env.solver_state(), factors)
        style = ours.Style(noise=CORRECTING_NOISE, lapse=0.0)
        expert = scripted(ours.make_behaviour(CORRECTOR, self._env, rng, style))
        return EpisodeStart(observation, expert, self._config.steps)

    def _begin_mixed(
        self, mix: PolicyMix, episode: int, env_seed: int, rng: np.random.Generator
    ) -> EpisodeStart:
        now, start_rng, steps = self._turn(episode), rng, self._config.steps
        if now.group is not None:
            env_seed, start_rng = episode_seeds(self._config.seed, now.group, _BRANCH_STREAM)
            steps = min(steps, mix.branch_steps)
        observation, info = self._env.reset(seed=env_seed)
        factors = info.get("factors", {})
        policy = self._make(mix, now.policy, rng)
        begin = getattr(policy, "start", None)
        state = None if begin is None else begin(start_rng)
        if state is not None:
            observation = self._restart(state, factors)
        return EpisodeStart(observation, scripted(policy), steps, factors=factors)

    def _restart(self, state: NDArray[np.float64], factors: dict[str, Any]) -> dict[str, Any]:
        """The first observation of an episode from a state (S,) on, its goal and factors kept."""
        goal = self._env.unwrapped.goal_state  # type: ignore[attr-defined]
        options = {"state": state, "goal_state": goal}
        options |= {"factors": factors} if factors else {}
        observation: dict[str, Any] = self._env.reset(options=options)[0]
        return observation

    def recorded_name(self, episode: int) -> str | None:
        """Who acts, for the episode's record; None where the dataset says it once for all."""
        return None if self._config.mix is None else self._turn(episode).policy

    def _turn(self, episode: int) -> Turn:
        assert self._config.mix is not None, "only asked where there is a mix"
        return turn(self._config.mix, self._available, self._config.seed, episode)

    def _find(self, mix: PolicyMix) -> list[str]:
        """Policies of the mix that the task has a use for; of a foreign module, all of them."""
        if _own_module(self._config.env) is not None:
            return list(mix.shares)
        ours = importlib.import_module(f"{OUR_ENVS}.policies")
        unknown = [name for name in mix.shares if name not in ours.BEHAVIOURS]
        if unknown:
            raise UserError(
                f"mix {mix.name!r}: no policy {unknown[0]!r}; there are: "
                f"{', '.join(ours.BEHAVIOURS)}"
            )
        return self._behaviours()

    def _has_corrector(self) -> bool:
        """Whether somebody knows how an agent's task goes on."""
        return _own_module(self._config.env) is None and CORRECTOR in self._behaviours()

    def _behaviours(self) -> list[str]:
        """What the task has the objects for."""
        ours = importlib.import_module(f"{OUR_ENVS}.policies")
        found: list[str] = ours.available_behaviours(self._env)
        return found

    def _make(self, mix: PolicyMix, name: str, rng: np.random.Generator) -> Any:  # noqa: ANN401
        if _own_module(self._config.env) is not None:
            return self._make_policy(name, self._env, rng)
        ours = importlib.import_module(f"{OUR_ENVS}.policies")
        style = ours.Style(noise=mix.noise, speed=mix.speed, lapse=mix.lapse)
        return ours.make_behaviour(name, self._env, rng, style)


def scripted(script: Script) -> Policy:
    """A script that has its random stream already, as a policy that was reset."""
    policy = ScriptedPolicy(lambda _: script)
    policy.reset(None, 0)
    return policy


def episode_seeds(seed: int, episode: int, *stream: int) -> tuple[int, np.random.Generator]:
    """Seed for the environment's reset and generator for the policy, independent streams."""
    sequence = np.random.SeedSequence([seed, episode, *stream])
    return int(sequence.generate_state(1)[0]), np.random.default_rng(sequence.spawn(1)[0])


def _own_module(env_id: str) -> Any:  # noqa: ANN401 a module
    """The environment's own module if it makes its own policies, else None."""
    module = env_id.partition("?")[0].rpartition(":")[0]
    found = importlib.import_module(module) if module else None
    return found if hasattr(found, "make_policy") else None


def _policy_factory(env_id: str, policy: str) -> Callable[..., Any]:
    """Makes the policy of a name from (name, environment, generator).

    Args:
        env_id: of the environment; its own module's `make_policy` comes first if it has one.
        policy: a name, or `module:function` of the user's, called with (environment, generator).

    Raises:
        UserError: if there is no such module or function.
    """
    if ":" in policy:
        theirs = _users_policy(policy)
        return lambda _, env, rng: theirs(env.unwrapped, rng)
    home = _own_module(env_id) or importlib.import_module(f"{OUR_ENVS}.policies")
    found: Callable[..., Any] = home.make_policy
    return found


def _users_policy(name: str) -> Callable[..., Any]:
    """The function that `module:function` names."""
    module, _, function = name.partition(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    except (ModuleNotFoundError, AttributeError) as error:
        raise UserError(
            f"policy {name!r}: {error}; give module:function of a module that Python can import "
            "here, called with the environment and a random generator"
        ) from None
    return found


def goal_image_of(env: object, size: int) -> NDArray[np.uint8]:
    """(size, size, 3) picture of the goal that the environment drew at its reset.

    Raises:
        UserError: if it has none.
    """
    if not hasattr(env, "goal_image"):
        raise UserError(
            "this environment shows no goal image, so an agent has nothing to seek; collect with "
            "another --policy"
        )
    image = np.asarray(env.goal_image())
    if image.shape != (size, size, 3) or image.dtype != np.uint8:
        raise ValueError(
            f"goal image must be uint8 {(size, size, 3)}, got {image.dtype} {image.shape}"
        )
    return image


def hindsight(image: NDArray[np.uint8], success: NDArray[np.bool_]) -> Goal:
    """What an episode sought, and which of its frames it is a success for.

    Hindsight relabelling (Andrychowicz et al. 2017, arXiv:1707.01495): where it did not reach what
    it sought, it shows the way to what it reached instead, its last frame.

    Args:
        image: (H, W, 3) what it sought.
        success: (L,) whether the task was solved after each action.

    >>> hindsight(np.zeros((2, 2, 3), np.uint8), np.array([True, False, True, True, True])).frame
    3
    """
    last = len(success) - 1
    solved = bool(success[-1])
    unsolved = np.flatnonzero(~success)
    first = int(unsolved[-1]) + 1 if len(unsolved) else 0
    # Solved after action t is seen in frame t + 1.
    return Goal(image=image, is_success=solved, frame=min(first + 1, last) if solved else last)
