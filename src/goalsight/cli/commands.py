"""The table of commands: where each lives and what it does in one line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command; its module is imported only when it is called."""

    name: str
    """What is typed after `goalsight`; a space separates group and member, as in `data info`."""
    module: str
    """Module that defines it."""
    function: str
    """Function in that module: keyword-only arguments, returns an exit status or None."""
    summary: str
    """One line for the overview."""
    raw: bool = False
    """Whether the function takes the arguments as typed (`train`: Lightning parses them)."""

    def load(self) -> Callable[..., int | None]:
        """Import the module and return the function."""
        function: Callable[..., int | None] = getattr(import_module(self.module), self.function)
        return function


def _command(
    name: str, summary: str, function: str = "", *, module: str = "", raw: bool = False
) -> Command:
    """A command in the module of its first word, in a function named like its last."""
    group, _, member = name.partition(" ")
    return Command(
        name=name,
        module=f"goalsight.cli.{module or group}",
        function=function or member or group,
        summary=summary,
        raw=raw,
    )


COMMANDS: dict[str, Command] = {
    command.name: command
    for command in (
        _command("demo", "collect, train, plan and benchmark at the tiny size, in minutes"),
        _command("doctor", "say what is installed, what renders, what trains, what to do about it"),
        _command(
            "list",
            "everything with a name: presets, manifests, suites, mixes, checkpoints, settings",
            "main",
            module="listing",
            raw=True,
        ),
        _command("completion", "write what completes commands and flags at the shell"),
        _command("envs", "list the tasks with their actions, observations and units"),
        _command("collect", "roll a policy out and write a LeRobot v3 dataset"),
        _command("data info", "say what a dataset holds"),
        _command("data validate", "say what is wrong with a dataset; write its good episodes anew"),
        _command("data report", "say whether a dataset supports planning"),
        _command("data merge", "make one dataset out of several"),
        _command("data import", "make a dataset out of logs you have", "import_"),
        _command("data export", "write a dataset as plain LeRobot v3"),
        _command(
            "pretrain",
            "pretrain a video encoder on a dataset's videos, as V-JEPA does",
            "pretrain_command",
            module="train",
            raw=True,
        ),
        _command("encoder import", "make published V-JEPA 2 weights a checkpoint", "import_"),
        _command("train", "train a world model on a dataset", "main", raw=True),
        _command("head probe", "teach a model to read state variables off its latents"),
        _command("plan", "plan to one goal image and film what happens"),
        _command("bench", "measure success rates on frozen start and goal pairs"),
        _command("report", "write the page of a benchmark run again"),
        _command("memory build", "encode a dataset once, so that an agent finds sub-goals in it"),
        _command(
            "head ensemble",
            "small predictors whose disagreement warns a planner",
            module="head",
        ),
        _command(
            "eval-offline",
            "judge a model by held-out logs alone, without a robot",
            "eval_offline",
            module="offline",
        ),
        _command("compare", "several models, one dataset, one budget, one table"),
        _command("inspect probe", "read positions out of latents, encoded and imagined"),
        _command("inspect collapse", "how much of the latent space is used"),
        _command("inspect drift", "how far imagination strays, by blocks ahead"),
        _command("inspect similarity", "which patches look alike to the encoder of a token grid"),
        _command("inspect energy", "the energy landscape over two action axes"),
        _command("inspect surprise", "whether impossible events surprise the model"),
        _command("inspect decode", "what a model imagines, as pictures"),
    )
}
"""Every command by name, in the order of the overview."""

_BENCHMARK = "is a program of the repository now: `python -m benchmarks.{}` (all: `make perf`)"
GONE: dict[str, str] = {
    "perf collect": _BENCHMARK.format("collect"),
    "perf tasks": _BENCHMARK.format("tasks"),
    "perf plan": _BENCHMARK.format("deciding"),
    "perf data": _BENCHMARK.format("reading"),
    "perf train": _BENCHMARK.format("training"),
    "perf memory": "is gone, nothing drew on it; what it measured is a record of the repository",
    "perf": _BENCHMARK.format("NAME"),
    "inspect straightness": "is gone, nothing drew on it; see `goalsight inspect drift`",
    "inspect counterfactual": "is gone, nothing drew on it; see `goalsight inspect energy`",
}
"""What somebody may still type, and what became of it; a group behind its members."""


def members(group: str) -> list[Command]:
    """Commands of a group such as `data`, or an empty list where there is no such group."""
    return [command for name, command in COMMANDS.items() if name.startswith(f"{group} ")]
