"""Who plays: the rows of the table, each a policy that acts in one environment at a time.

`--player module:function` names a function of yours that makes the row `player`. It is called with
the run's `PolicySpec` (checkpoint, device, settings, memory, as they were given) and returns an
`Agent`, or any other `goalsight.policy.Policy`.
"""

from __future__ import annotations

import importlib
import inspect
import pickle
import secrets
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from goalsight.agent.config import agent_config
from goalsight.benchmark.results import LEARNED_ROWS, RENAMED_ROWS
from goalsight.checkpoint import find_checkpoint, read_card
from goalsight.environments import Env, make_env
from goalsight.errors import CheckpointError, UserError
from goalsight.io import sha256, sha256_of
from goalsight.policy import SIZE, AgentPolicy, Policy, ScriptedPolicy, image_size

if TYPE_CHECKING:
    from goalsight.agent import Agent, AgentConfig
    from goalsight.agent.config import Mode
    from goalsight.benchmark.manifest import Manifest

PLAYER = "player"
"""Name of the row of somebody else's policy."""


@dataclass(frozen=True, kw_only=True)
class PolicySpec:
    """What the policies of a run are made from; crosses process boundaries."""

    checkpoint: Path | None
    """Folder of the agent's checkpoint."""
    device: str
    """Torch device the agent runs on."""
    settings: str = ""
    """Of the agent where they differ from its card's; see `goalsight.agent.config`."""
    tier: str = ""
    """Of the manifest: how far goals are."""
    memory: Path | None = None
    """File of recorded latents that the agent takes sub-goals from."""
    player: str = ""
    """`module:function` that makes the row `player`."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table."""

    make: Callable[[PolicySpec, Env], Policy]
    """Makes who plays it, from the run and the environment it will act in."""
    sees: bool = True
    """Whether observations need to have `pixels`."""
    filmed: bool = False
    """Whether every control step is kept as a picture; if not, every K-th."""


def _scripted(name: str, spec: PolicySpec, env: Env) -> Policy:
    from goalsight_envs.policies import make_policy

    del spec
    return ScriptedPolicy(lambda seed: make_policy(name, env, np.random.default_rng(seed)))


def _oracle(spec: PolicySpec, env: Env) -> Policy:
    from goalsight.benchmark.oracle import OraclePolicy  # imports PyTorch

    del spec
    return OraclePolicy(env)


def _agent(row: str, spec: PolicySpec, env: Env) -> Policy:
    del env
    return AgentPolicy(load_agent(spec, row))


def _own(spec: PolicySpec, env: Env) -> Policy:
    del env
    return own_policy(spec)


ROWS: dict[str, Row] = {
    "random": Row(make=partial(_scripted, "random"), sees=False),
    "zero": Row(make=partial(_scripted, "hold"), sees=False),
    "expert": Row(make=partial(_scripted, "expert"), sees=False, filmed=True),
    "oracle": Row(make=_oracle, sees=False),
    **{
        row: Row(make=partial(_agent, row), filmed=row in {"agent", "hybrid"})
        for row in LEARNED_ROWS
    },
    PLAYER: Row(make=_own, filmed=True),
}
"""Every row by name, in the order of the table."""


# -- which rows -------------------------------------------------------------------------------


def choose_rows(
    manifest: Manifest,
    asked: tuple[str, ...],
    *,
    checkpoint: Path | None = None,
    player: str = "",
) -> tuple[str, ...]:
    """Rows of a manifest's table: as asked for, else those that can be played.

    Args:
        manifest: the pairs.
        asked: by the user or a suite; empty if nobody said.
        checkpoint: of the run; its heads say which rows it can play.
        player: `module:function` of the row `player`, which is added.
    """
    if asked:
        return with_player(asked, player, chosen=True, checkpoint=checkpoint)
    theirs = bool(player) and checkpoint is not None and checkpoint.is_file()
    heads = (
        {} if theirs or not checkpoint else read_card(find_checkpoint(checkpoint)).get("heads", {})
    )
    env = make_env(manifest.env, observe_pixels=False, draw_goals=False)
    names = default_rows(heads, expert=has_expert(env))
    env.close()
    return with_player(names, player, chosen=False, checkpoint=checkpoint)


def has_expert(env: Env) -> bool:
    """Whether the environment's scripted expert can be a row."""
    from goalsight_envs.foreign import ForeignEnv, has_expert

    inner = env.unwrapped
    return has_expert(inner) if isinstance(inner, ForeignEnv) else True


def default_rows(heads: Collection[str], *, expert: bool = True) -> tuple[str, ...]:
    """Rows of the table if none are named.

    Args:
        heads: of the checkpoint; none without a checkpoint.
        expert: whether the environment has a scripted one.

    >>> default_rows(["actor", "gcbc"])
    ('random', 'zero', 'expert', 'gcbc', 'actor', 'search', 'hybrid')
    >>> default_rows([], expert=False)
    ('random', 'zero', 'agent')
    """
    learnt = ("actor", "search", "hybrid") if "actor" in heads else ("agent",)
    cloned = ("gcbc",) if {"actor", "gcbc"} <= set(heads) else ()
    return ("random", "zero", *(("expert",) if expert else ()), *cloned, *learnt)


def check_rows(rows: tuple[str, ...]) -> None:
    """Refuse unknown, repeated or no rows.

    Raises:
        UserError: naming the rows that exist.
    """
    for row in rows:
        if row in RENAMED_ROWS:
            raise UserError(f"row {row} is called {RENAMED_ROWS[row]} now")
    unknown = [row for row in rows if row not in ROWS]
    if unknown or not rows or len(set(rows)) != len(rows):
        what = f"unknown row {unknown[0]!r}" if unknown else "rows must be named once each"
        raise UserError(f"{what}; there are: {', '.join(ROWS)}")


def check_player(rows: tuple[str, ...], player: str) -> None:
    """Refuse the row without who plays it, and who plays it without the row.

    Raises:
        UserError: saying what to add.
    """
    if PLAYER in rows and not player:
        raise UserError("the player row needs --player module:function")
    if player and PLAYER not in rows:
        raise UserError(f"--player {player} plays the row {PLAYER}; add it to the rows")


def with_player(
    rows: tuple[str, ...], player: str, *, chosen: bool, checkpoint: Path | None
) -> tuple[str, ...]:
    """The rows of a table with `player` in it, if there is one.

    Args:
        rows: those without it.
        player: who it is; empty for nobody, and all stays as it is.
        chosen: whether the user named the rows; if not, the agent plays where it has a checkpoint.
        checkpoint: of the run; a file is the player's, not the agent's.
    """
    if not player:
        return rows
    agent = chosen or (checkpoint is not None and not checkpoint.is_file())
    return (*(row for row in rows if row != PLAYER and (agent or row != "agent")), PLAYER)


def check_policies(rows: Collection[str], agent: Agent | None, env: Env, spec: PolicySpec) -> None:
    """Refuse rows that the checkpoint or the environment cannot play, before any is played.

    Args:
        rows: of the table.
        agent: of the checkpoint.
        env: of the manifest.
        spec: of the run.

    Raises:
        CheckpointError: if the checkpoint has not the head that a row needs; says how to make it.
        UserError: if the settings or the environment do not fit a row.
    """
    for row in rows:
        if agent is not None and row in LEARNED_ROWS:
            from goalsight.agent.proposals import find_actor
            from goalsight.agent.shuffled import check_shuffled

            config = row_config(row, spec, agent.card)
            find_actor(agent.model, config, agent.name)
            if row == "shuffled":
                check_shuffled(config)
    if "oracle" in rows:
        from goalsight.benchmark.oracle import check_oracle

        check_oracle(env)


# -- agents -----------------------------------------------------------------------------------


MODES: dict[str, Mode] = {
    "gcbc": "actor",
    "actor": "actor",
    "search": "search",
    "hybrid": "hybrid",
}
"""Rows whose name says who decides, and who it is."""


def row_config(row: str, spec: PolicySpec, card: Mapping[str, Any] | None = None) -> AgentConfig:
    """How the agent of a row plans: as its card and the run's settings say, and the row's name.

    Args:
        row: its name; `actor`, `search` and `hybrid` are modes of the agent, `gcbc` is the head of
            that name alone. A search has no actor, not even to say how likely plans are.
        spec: of the run.
        card: of its checkpoint.

    Raises:
        UserError: if the settings and the row cannot go together.
        CheckpointError: if the card's settings are none.
    """
    if row not in MODES:
        return agent_config(spec.settings, card, tier=spec.tier)
    alone = MODES[row] == "actor"
    # What compares plans has nothing to do where none is searched.
    text = f"{spec.settings},hysteresis=0" if alone else spec.settings
    try:
        config = agent_config(text, card, tier=spec.tier, mode=MODES[row])
    except UserError as error:
        raise UserError(f"row {row} with these settings: {error}") from None
    if row == "gcbc":
        config = replace(config, actor=replace(config.actor, head="gcbc"))
    if MODES[row] != "hybrid":
        config = replace(config, cost=replace(config.cost, actor_nll_weight=0.0))
    return config


def load_agent(spec: PolicySpec, row: str = "agent") -> Agent:
    """The agent of a checkpoint.

    Args:
        spec: of the run.
        row: that it plays; see `row_config`.

    Raises:
        CheckpointError: if no checkpoint was given, it cannot be loaded, or has not the head that
            the row needs.
        UserError: if the settings and the row cannot go together.
    """
    if spec.checkpoint is None:
        raise CheckpointError(
            "an agent needs a checkpoint: add --checkpoint DIR, or name the rows without one"
        )
    from goalsight.agent import Agent, ShuffledAgent

    config = row_config(row, spec, read_card(find_checkpoint(spec.checkpoint)))
    kind = ShuffledAgent if row == "shuffled" else Agent
    return kind.load(spec.checkpoint, config=config, device=spec.device, memory=spec.memory)


# -- policies of others -----------------------------------------------------------------------


def own_policy(spec: PolicySpec) -> Policy:
    """Make the policy that `spec.player` names.

    Raises:
        UserError: if there is no such module or function, or what it returns cannot play.
    """
    module, _, function = spec.player.partition(":")
    if not (module and function):
        raise UserError(f"player {spec.player!r} is not of the form module:function")
    try:
        make: Callable[[PolicySpec], Any] = getattr(importlib.import_module(module), function)
    except (ModuleNotFoundError, AttributeError) as error:
        raise UserError(
            f"player {spec.player!r}: {error}; give module:function of a module that Python can "
            "import here (its folder in PYTHONPATH), called with the run's PolicySpec"
        ) from None
    return as_policy(make(spec), f"player {spec.player} returned a")


def as_policy(made: object, who: str = "a") -> Policy:
    """An agent or anything with the two functions of a policy as one.

    Args:
        made: an `Agent`, or a policy.
        who: begins the message if it is neither.

    Raises:
        UserError: if a function is missing, or takes something else.
    """
    agent = sys.modules.get("goalsight.agent")  # without it there is no agent, and no PyTorch
    if agent is not None and isinstance(made, agent.Agent):
        return AgentPolicy(made)
    missing = [name for name in ("reset", "act") if not callable(getattr(made, name, None))]
    if missing:
        raise UserError(
            f"{who} {type(made).__name__} without {missing[0]}; it needs reset(goal, seed) and "
            "act(observation)"
        )
    policy: Policy = made  # type: ignore[assignment]
    taken = _required(policy.act)
    if len(taken) > 1:
        raise UserError(
            f"{who} {type(made).__name__} with act({', '.join(taken)}); it is called with one "
            'argument now, the observation: observation["pixels"] and observation["observation"]'
        )
    return policy


def own_metadata(policy: Policy, spec: PolicySpec | None = None) -> dict[str, Any]:
    """Who plays the row `player`: what must not change between the parts of one run.

    Args:
        policy: who it is.
        spec: of the run that made it; None for a policy that was made elsewhere. If that does not
            say what its weights are, its pickled form does, and what cannot be pickled is new
            each time.
    """
    kind = type(policy)
    name = f"{kind.__module__}:{kind.__qualname__}" if spec is None else spec.player
    home = getattr(sys.modules[name.partition(":")[0]], "__file__", None)
    weights = getattr(policy, "checkpoint_sha256", None)
    if weights is None and spec is None:
        weights = _pickled_sha256(policy) or secrets.token_hex(32)
    if weights is None and spec is not None and spec.checkpoint and spec.checkpoint.is_file():
        weights = sha256_of(spec.checkpoint)
    return {
        "factory": name,
        "source_sha256": None if home is None else sha256_of(Path(home)),
        "weights_sha256": weights,
        "memory_sha256": getattr(policy, "memory_sha256", None),
        "settings": "" if spec is None else spec.settings,
        "labels_used": getattr(policy, "labels_used", None),
    }


def picture_size(*policies: Policy | Agent | None) -> int:
    """Height and width of the pictures of a run [pixels].

    Args:
        policies: that see them; None for nobody.

    Raises:
        UserError: if they want to see pictures of two sizes.
    """
    sizes = {image_size(one) for one in policies if one is not None}
    if len(sizes) > 1:
        raise UserError(
            f"agent and player see pictures of {' and '.join(map(str, sorted(sizes)))} pixels; "
            "bench them into two folders, and compare them with scripts/mcnemar.py"
        )
    return sizes.pop() if sizes else SIZE


def _required(function: Callable[..., object]) -> list[str]:
    """Names of the arguments without which a function cannot be called."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # of a compiled function
        return []
    places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [one.name for one in parameters if one.kind in places and one.default is one.empty]


def _pickled_sha256(policy: Policy) -> str | None:
    """What a policy is made of; None if it cannot be pickled."""
    try:
        return sha256(pickle.dumps(policy))
    except (pickle.PicklingError, TypeError, AttributeError):
        return None
