"""What the environment of a benchmark offers beyond Gymnasium's interface."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from goalsight.environments import Env

if TYPE_CHECKING:
    from goalsight_envs.base import ArmEnv


def as_trained(env_id: str, card: Mapping[str, Any]) -> str:
    """The id with the settings that a checkpoint's dataset was collected with.

    A model knows the pictures it was trained on: another camera would be another world.

    Args:
        env_id: as the user gave it; its own settings stand.
        card: of the checkpoint.

    >>> as_trained("m:Id-v0", {"dataset": {"env": "m:Id-v0?camera=front"}})
    'm:Id-v0?camera=front'
    """
    trained = str(card.get("dataset", {}).get("env", ""))
    return trained if trained.partition("?")[0] == env_id else env_id


def task_of(env: Env) -> ArmEnv:
    """The task inside its wrappers: solver states, goal image, distances."""
    return cast("ArmEnv", env.unwrapped)
