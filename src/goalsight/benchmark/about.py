"""What a table says beside its numbers: which model, which machine, which command."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goalsight import __version__
from goalsight.benchmark.manifest import Manifest
from goalsight.benchmark.results import SCHEMA, CheckpointRef, ManifestRef
from goalsight.benchmark.tasks import task_of
from goalsight.environments import Env

if TYPE_CHECKING:
    from goalsight.agent import Agent

_AND = " + "
"""Between what several machines or commits are called."""


def about_run(
    manifest: Manifest, device: str, seed: int, agent: Agent | None, env: Env
) -> dict[str, Any]:
    """The fields of `Results` that are known before a pair is played."""
    import mujoco

    return {
        "schema": SCHEMA,
        "goalsight": __version__,
        "device": device,
        "agent": _settings(agent),
        "renderer": task_of(env).renderer,
        "mujoco": mujoco.__version__,
        "seed": seed,
        "manifest": ManifestRef(
            name=manifest.name,
            sha256=manifest.hash,
            env=manifest.env,
            tier=manifest.tier,
            budget=manifest.budget,
            threshold=manifest.threshold,
            control_dt=task_of(env).control_dt,
        ),
        "checkpoint": None if agent is None else _reference(agent),
    }


def joined(values: Iterable[str | None]) -> str | None:
    """What several places say: each once, in order of appearance.

    >>> joined(["a processor", "another", None, "another + a third"])
    'a processor + another + a third'
    """
    parts = [part for value in values if value for part in value.split(_AND)]
    return _AND.join(dict.fromkeys(parts)) or None


def command() -> str:
    """The command line of this process, without the shard: the table is that of all of them."""
    words, kept = iter(sys.argv[1:]), list[str]()
    for word in words:
        if word == "--shard":
            next(words, None)
        elif not word.startswith("--shard="):
            kept.append(word)
    program = Path(sys.argv[0]).name
    return shlex.join(["goalsight" if program == "main.py" else program, *kept])


def _settings(agent: Agent | None) -> dict[str, Any] | None:
    """How the agent plans, and from which memory it takes sub-goals if it does."""
    if agent is None:
        return None
    memory = {} if agent.memory_sha256 is None else {"memory": agent.memory_sha256}
    return asdict(agent.config) | memory


def _reference(agent: Agent) -> CheckpointRef:
    """What the results say of the agent's model."""
    return CheckpointRef(
        name=agent.name,
        sha256=agent.checkpoint_sha256,
        labels_used=agent.labels_used,
        taught_by=agent.taught_by,
        card=agent.card,
    )
