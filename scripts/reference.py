"""The reference, written by the program: commands, settings, factors and the Python interface.

    .venv/bin/python -m scripts.reference FOLDER    # Markdown; `make docs` takes it into the site

Commands come from their parsers, settings from the dataclasses (default, and the text below each
field), factors from their table, and the Python pages name the modules whose docstrings
mkdocstrings shows. Nothing of it is typed.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import os
import pkgutil
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from importlib import import_module
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

from goalsight.cli.commands import COMMANDS
from goalsight.cli.envs import HEADS, factor_cells, factor_rows
from goalsight.cli.main import main as run_command

PACKAGES = ("goalsight", "goalsight_envs", "goalsight_planners")
WIDTH = 100
"""Columns of the help."""
NOTE = "*Written by `python -m scripts.reference`.*\n"
SETTINGS = {
    "Agent": ["goalsight.agent.config", "goalsight.memory"],
    "Planners": ["goalsight_planners"],
    "Model": ["goalsight.models"],
    "Training": ["goalsight.training"],
    "Data": ["goalsight.data"],
    "Benchmark": ["goalsight.benchmark"],
    "Diagnostics": ["goalsight.diagnostics"],
    "Environments": ["goalsight_envs"],
}
"""Parts of the page of settings, and the packages whose configs they show."""


def pages() -> dict[str, str]:
    """Markdown by name of the page, relative to the folder of the reference."""
    return {
        "commands.md": commands_page(),
        "settings.md": settings_page(),
        "factors.md": factors_page(),
        **python_pages(),
    }


def commands_page() -> str:
    """The help of every command, as it is printed."""
    parts = ["# Commands\n", NOTE]
    for name, command in COMMANDS.items():
        parts += [f"## goalsight {name}\n", f"{command.summary[0].upper()}{command.summary[1:]}.\n"]
        parts += [f"```text\n{help_of([*name.split(), '--help'])}\n```\n"]
    return "\n".join(parts)


def help_of(argv: list[str]) -> str:
    """What a command prints, Lightning's own flags left out.

    Args:
        argv: what follows `goalsight`.
    """
    before, said = os.environ.get("COLUMNS"), StringIO()
    os.environ["COLUMNS"] = str(WIDTH)
    try:
        with redirect_stdout(said):
            status = run_command(argv)
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before
    assert status == 0, argv
    return without_trainer(said.getvalue().strip())


def without_trainer(text: str) -> str:
    """The help without the arguments of Lightning's Trainer, whose own pages explain them."""
    usage, _, rest = text.partition("\n\n")
    kept, skipping = [], False
    for line in rest.splitlines():
        if re.match(r"\s*--trainer[.\s]", line) or line.startswith("Customize every aspect"):
            skipping = True
        elif skipping and (not line.strip() or re.match(r"\S|  -", line)):
            skipping = False
        if not skipping:
            kept.append(line)
    usage = re.sub(r"\s*\[--trainer[^\]]*\]", "", usage)
    return f"{usage}\n\n" + "\n".join(kept)


def settings_page() -> str:
    """Every config dataclass with its fields."""
    dotted = "A setting inside another config is written with its group in front, as in "
    parts = ["# Settings\n", NOTE, f"{dotted}`cost.energy=l1`. Units are in brackets.\n"]
    seen: set[type] = set()
    for title, roots in SETTINGS.items():
        parts += [f"## {title}\n"]
        for config in (one for root in roots for one in configs(root)):
            if config not in seen:
                seen.add(config)
                parts += [settings_table(config)]
    return "\n".join(parts)


def settings_table(config: type) -> str:
    """A config's fields: name, default, meaning."""
    said = meanings(config)
    lines = [f"### {config.__name__}\n", f"{first_line(config)} `{config.__module__}`\n"]
    lines += ["| setting | default | meaning |", "|---|---|---|"]
    for field in fields(config):
        text = said.get(field.name, "").replace("|", "\\|")
        lines.append(f"| `{field.name}` | {default_of(field)} | {text} |")
    return "\n".join([*lines, ""])


def default_of(field: Field[Any]) -> str:
    """A field's default as code; a config's name where it is a config of its own."""
    if field.default is not MISSING:
        value = field.default
    elif field.default_factory is not MISSING:
        value = field.default_factory()
    else:
        return "required"
    if is_dataclass(value):
        name = type(value).__name__
        return f"[{name}](#{name.lower()})" if is_config(type(value)) else f"`{name}()`"
    return f"`{value!r}`".replace("|", "\\|")


def configs(root: str) -> Iterator[type]:
    """Config dataclasses that a package defines, in the order of its modules and lines."""
    for module in modules(root):
        own = [
            item
            for item in vars(module).values()
            if inspect.isclass(item) and is_dataclass(item) and item.__module__ == module.__name__
        ]
        yield from (item for item in own if is_config(item))


def is_config(item: type) -> bool:
    """Whether people set the fields of a dataclass."""
    return item.__name__.endswith("Config") or item.__module__ == "goalsight.agent.config"


@cache
def meanings(config: type) -> Mapping[str, str]:
    """The text below each field, of a dataclass and those it inherits from."""
    found: dict[str, str] = {}
    for base in reversed(config.__mro__[:-1]):
        body = ast.parse(inspect.cleandoc("\n" + inspect.getsource(base))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, text in zip(body.body, body.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
            ):
                found[field.target.id] = " ".join(str(text.value.value).split())
    return found


def first_line(item: object) -> str:
    """First sentence of a docstring."""
    return " ".join((inspect.getdoc(item) or "").split("\n\n")[0].split())


def factors_page() -> str:
    """Every factor, its unit and what the levels draw."""
    rows = factor_rows({})
    heads = [*HEADS, *rows[0]["levels"]]
    lines = ["# Factors\n", NOTE, f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for row in rows:
        name, *cells = factor_cells(row)
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def modules(root: str) -> Iterator[ModuleType]:
    """A module and, if it is a package, all below it."""
    top = import_module(root)
    yield top
    for info in pkgutil.walk_packages(getattr(top, "__path__", []), f"{root}."):
        yield import_module(info.name)


def parts() -> dict[str, list[str]]:
    """Public modules by part of the code: `goalsight.agent` and so on, `goalsight` for the rest."""
    found: dict[str, list[str]] = {}
    for package in PACKAGES:
        top = import_module(package)
        for info in pkgutil.walk_packages(top.__path__, f"{package}."):
            names = info.name.split(".")
            if "cli" in names or any(name.startswith("_") for name in names):
                continue
            inside = names[0] == "goalsight" and (len(names) > 2 or info.ispkg)
            found.setdefault(".".join(names[: 2 if inside else 1]), []).append(info.name)
    return found


def python_pages() -> dict[str, str]:
    """An index, and a page a part that names its modules for mkdocstrings."""
    found = parts()
    index = ["# Python\n", NOTE, "The front door, `import goalsight`:\n"]
    goalsight = import_module("goalsight")
    for name in sorted(set(goalsight.__all__) - {"__version__"}):
        home = getattr(goalsight, name).__module__
        index.append(f"- [`goalsight.{name}`][{home}.{name}]")
    index += ["", "All parts:\n", "| part | what |", "|---|---|"]
    pages = {}
    for part, names in sorted(found.items()):
        page = f"python/{part}.md"
        index.append(f"| [`{part}`]({page}) | {first_line(import_module(part))} |")
        shown = [f"::: {name}\n" for name in names if name != part]
        own = f"# {part}\n\n::: {part}\n    options:\n      show_root_heading: false\n"
        pages[page] = "\n".join([own, *shown])
    return {"index.md": "\n".join([*index, ""]), **pages}


def main(arguments: list[str]) -> None:
    """Write the pages into a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args(arguments).folder
    for name, text in pages().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
