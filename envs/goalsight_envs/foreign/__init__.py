"""Environments of other packages with the interface of goalsight's own: `goalsight.wrap`."""

from goalsight_envs.foreign.config import WrapConfig
from goalsight_envs.foreign.env import ForeignEnv
from goalsight_envs.foreign.errors import WrapError, WrapWarning
from goalsight_envs.foreign.make import add_setting, is_foreign, make, wrap
from goalsight_envs.foreign.play import has_expert, make_expert, make_play

__all__ = [
    "ForeignEnv",
    "WrapConfig",
    "WrapError",
    "WrapWarning",
    "add_setting",
    "has_expert",
    "is_foreign",
    "make",
    "make_expert",
    "make_play",
    "wrap",
]
