"""`goalsight list`: everything that has a name, and every setting with its default and unit."""

from __future__ import annotations

import inspect
import json as jsonlib
from collections.abc import Callable, Iterator
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from goalsight.cli.parsing import parse
from goalsight.paths import config_dir

Kind = Literal[
    "everything",
    "presets",
    "manifests",
    "suites",
    "mixes",
    "checkpoints",
    "envs",
    "rows",
    "settings",
]

SECTIONS: dict[str, tuple[str, str]] = {
    "--model": ("goalsight.models", "WorldModelConfig"),
    "--objective": ("goalsight.training.objective", "ObjectiveConfig"),
    "--optimiser": ("goalsight.training.module", "OptimiserConfig"),
    "--windows": ("goalsight.training.data", "WindowsConfig"),
    "--actor": ("goalsight.training.actor", "ActorConfig"),
    "mix": ("goalsight.data.collect", "PolicyMix"),
}
"""Beside the agent's: how settings are written, and the dataclass whose fields they are."""


@dataclass(frozen=True)
class Entry:
    """Something that has a name."""

    name: str
    """As it is typed."""
    about: str
    """What it is, in a line."""
    default: str | None = None
    """Of a setting; None of anything else."""


def main(argv: list[str]) -> int:
    """`goalsight list`; without a kind, names of every kind.

    Args:
        argv: what follows `goalsight list`.

    Returns:
        Exit status 0.
    """
    bare = not argv or (argv[0].startswith("--") and argv[0] not in {"--help"})
    words = ["everything", *argv] if bare else argv
    positional, named = parse("goalsight list", list_, words)
    list_(*positional, **named)
    return 0


def list_(kind: Kind, *, json: bool = False) -> None:
    """List what has a name: presets, manifests, suites, mixes, checkpoints, tasks, rows, settings.

    `settings` are all there are, with default, meaning and unit in brackets: of an agent, as in
    `--settings NAME=VALUE`, of training, as in `--model.NAME VALUE`, and of a mix's YAML file.

    Args:
        kind: What to list; everything gives the names alone.
        json: Print JSON for a machine to read.

    Example:
        goalsight list
        goalsight list presets
        goalsight list settings
    """
    if kind == "everything":
        everything = {name: list(entries()) for name, entries in KINDS.items()}
        if json:
            said = {name: [entry.name for entry in found] for name, found in everything.items()}
            print(jsonlib.dumps(said, indent=2))
            return
        _print_names(everything)
        return
    found = list(KINDS[kind]())
    if json:
        print(jsonlib.dumps([_plain(entry) for entry in found], indent=2))
        return
    _print(found)


def _plain(entry: Entry) -> dict[str, Any]:
    return {name: value for name, value in asdict(entry).items() if value is not None}


def _print_names(everything: dict[str, list[Entry]]) -> None:
    """Names by kind; of settings and manifests, which are many, how many there are."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for kind, found in everything.items():
        names = ", ".join(entry.name for entry in found)
        table.add_row(kind, names if len(found) < 20 else f"{len(found)}: goalsight list {kind}")
    Console().print(table, highlight=False)


def _print(found: list[Entry]) -> None:
    """A table; names are never cut."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=any(e.default is not None for e in found))
    table.add_column("name", no_wrap=True)
    if table.show_header:
        table.add_column("default", overflow="fold", max_width=24)
    table.add_column("meaning")
    for entry in found:
        cells = [entry.name, *([entry.default or ""] if table.show_header else []), entry.about]
        table.add_row(*map(Text, cells))
    Console().print(table, highlight=False)


def presets() -> Iterator[Entry]:
    """Settings of training by name, for `goalsight train --config` and `pretrain --config`."""
    for folder in ("train", "pretrain"):
        for entry in _yamls(folder):
            yield Entry(entry.name, f"{entry.about} [{folder}]")


def mixes() -> Iterator[Entry]:
    """Mixes of policies, for `goalsight collect --mix`."""
    return _yamls("collect")


def suites() -> Iterator[Entry]:
    """Suites of manifests, for `goalsight bench --suite`."""
    return _yamls("bench/suites")


def manifests() -> Iterator[Entry]:
    """Frozen pairs, for `goalsight bench --manifest`."""
    for path in sorted((config_dir() / "bench").glob("*.json")):
        said = jsonlib.loads(path.read_text(encoding="utf-8"))
        yield Entry(
            path.stem,
            f"{len(said['pairs'])} pairs of {said['env']}, {said['tier']}, {said['budget']} "
            "control steps each",
        )


def checkpoints() -> Iterator[Entry]:
    """Models that ship, for `--checkpoint`."""
    from goalsight.checkpoint import read_card, shipped

    for name, folder in shipped().items():
        yield Entry(name, str(read_card(folder).get("about", "")))


def envs() -> Iterator[Entry]:
    """Tasks, for `--env`; `goalsight envs` says more."""
    import gymnasium
    from gymnasium.envs.registration import load_env_creator

    from goalsight.cli.errors import known_environments

    for name in known_environments():
        creator = load_env_creator(str(gymnasium.spec(name).entry_point))
        yield Entry(name, _first_line(creator))


def rows() -> Iterator[Entry]:
    """Rows of a benchmark's table, for `goalsight bench --rows`."""
    from goalsight.benchmark.policies import ROWS
    from goalsight.benchmark.results import LEARNED_ROWS

    for name in ROWS:
        yield Entry(name, "needs --checkpoint" if name in LEARNED_ROWS else "")


def settings() -> Iterator[Entry]:
    """Every setting of agents, training and mixes."""
    yield from _of_agents()
    for section, (module, name) in SECTIONS.items():
        config = getattr(__import__(module, fromlist=[name]), name)
        meaning = meanings(config)
        for field in fields(config):
            written = f"{section}.{field.name.replace('_', '-')}"
            if not section.startswith("--"):
                written = f"{section}: {field.name}"
            default = field.default
            if field.default_factory is not MISSING:
                default = field.default_factory()
            shown = "required" if default is MISSING else _text(default)
            yield Entry(written, meaning.get(field.name, ""), shown)


def _of_agents() -> Iterator[Entry]:
    """Settings of agents, `--settings NAME=VALUE`; one that few planners have names the first."""
    from goalsight.agent.config import KIND, AgentConfig, settable
    from goalsight_planners import PLANNERS

    yield Entry(KIND, f"Which planner searches: {', '.join(PLANNERS)}.", next(iter(PLANNERS)))
    listed: set[tuple[str, ...]] = set()
    for planner, entry in PLANNERS.items():
        agent = AgentConfig(planner=entry.config())
        for setting in settable(agent):
            if setting.path in listed:
                continue
            owner: Any = agent
            for part in setting.path[:-1]:
                owner = getattr(owner, part)
            about = meanings(type(owner)).get(setting.path[-1], "")
            if planner != next(iter(PLANNERS)):
                about = f"{about} Of {KIND}={planner}."
            yield Entry(setting.name, about, _text(setting.default))
            listed.add(setting.path)


def meanings(config: type) -> dict[str, str]:
    """The docstring of every field of a dataclass, inherited ones too, each in a line."""
    import docstring_parser

    found: dict[str, str] = {}
    for base in reversed(config.__mro__[:-1]):
        if base.__module__ != "builtins":
            for item in docstring_parser.parse_from_object(base).params:
                found[item.arg_name] = " ".join((item.description or "").split())
    return found


def _text(default: object) -> str:
    """A default as it is typed."""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple | list):
        return ",".join(map(str, default))
    return "" if default is None else str(default)


def _yamls(folder: str) -> Iterator[Entry]:
    """Files of a folder of `configs/`, and the first sentence of each one's comment."""
    for path in sorted((config_dir() / folder).glob("*.yaml")):
        yield Entry(path.stem, _comment(path))


def _comment(path: Path) -> str:
    """First sentence of the comment at the head of a file."""
    said = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        said.append(line.removeprefix("#").strip())
    sentence, stop, _ = " ".join(said).partition(". ")
    return sentence.removesuffix(".") + "." * bool(stop or sentence)


def _first_line(item: object) -> str:
    return " ".join((inspect.getdoc(item) or "").partition("\n\n")[0].split())


KINDS: dict[str, Callable[[], Iterator[Entry]]] = {
    "presets": presets,
    "manifests": manifests,
    "suites": suites,
    "mixes": mixes,
    "checkpoints": checkpoints,
    "envs": envs,
    "rows": rows,
    "settings": settings,
}
"""What can be listed."""
