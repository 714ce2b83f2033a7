"""Show the arm a picture; it plans how to get there.

goalsight learns a world model from robot-arm rollouts and searches it for the actions whose
predicted embedding matches that of a goal image:

    import goalsight as gs

    data = gs.collect("Goalsight/Push-v0", episodes=800, out="runs/data")
    model = gs.train(data, preset="tiny", out="runs/push", max_minutes=5)

`import goalsight` is cheap: what needs PyTorch is imported when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from goalsight.agent import Agent, AgentConfig
    from goalsight.clip import Clip
    from goalsight.collecting import collect
    from goalsight.data import Dataset, open_dataset
    from goalsight.errors import UserError
    from goalsight.evaluation import evaluate
    from goalsight.policy import Policy
    from goalsight.registry import register
    from goalsight.training.heads import train_head
    from goalsight.training.run import train
    from goalsight_envs.foreign import wrap

__version__ = "0.1.0"

_HOME = {
    "Agent": "goalsight.agent",
    "AgentConfig": "goalsight.agent",
    "Clip": "goalsight.clip",
    "Dataset": "goalsight.data",
    "Policy": "goalsight.policy",
    "UserError": "goalsight.errors",
    "collect": "goalsight.collecting",
    "evaluate": "goalsight.evaluation",
    "open_dataset": "goalsight.data",
    "register": "goalsight.registry",
    "train": "goalsight.training.run",
    "train_head": "goalsight.training.heads",
    "wrap": "goalsight_envs.foreign",
}
"""Module of every public name."""

__all__ = [
    "Agent",
    "AgentConfig",
    "Clip",
    "Dataset",
    "Policy",
    "UserError",
    "__version__",
    "collect",
    "evaluate",
    "open_dataset",
    "register",
    "train",
    "train_head",
    "wrap",
]


def __getattr__(name: str) -> object:
    """Import a public name from its module when it is first used.

    Raises:
        AttributeError: if goalsight exports no such name.
    """
    if name not in _HOME:
        raise AttributeError(f"goalsight has no {name!r}; it has: {', '.join(sorted(_HOME))}")
    value: object = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Names a reader may use, whether imported yet or not."""
    return sorted(__all__)
