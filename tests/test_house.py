"""What the whole tree keeps to: docstrings everywhere, configs that can be read."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import yaml

import goalsight

ROOT = Path(__file__).parents[1]
CODE = [
    path
    for folder in ("src", "envs", "planners", "benchmarks", "scripts", "examples")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def silent_in(path: Path) -> list[str]:
    """Public names of a module that have no docstring; the module itself is `module`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    scopes: list[ast.Module | ast.ClassDef] = [
        tree,
        *(node for node in tree.body if isinstance(node, ast.ClassDef)),
    ]
    names = [
        node.name
        for scope in scopes
        for node in scope.body
        if isinstance(node, Function | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    return names if ast.get_docstring(tree) or not tree.body else ["module", *names]


def test_every_public_function_and_class_says_what_it_is_for() -> None:
    assert {name_of(path): silent_in(path) for path in CODE if silent_in(path)} == {}


def test_every_shipped_yaml_is_a_mapping_without_absolute_paths() -> None:
    """That each fits the command it is for is tested beside the command."""
    shipped = sorted((ROOT / "configs").rglob("*.yaml"))
    assert shipped
    for path in shipped:
        text = path.read_text(encoding="utf-8")
        assert isinstance(yaml.safe_load(text), dict), path
        values = [line.partition(":")[2].strip() for line in text.splitlines()]
        assert not any(value.startswith("/") for value in values), path


def test_configs_are_yaml_or_manifests_and_nothing_else() -> None:
    endings = {path.suffix for path in (ROOT / "configs").rglob("*") if path.is_file()}
    assert endings <= {".yaml", ".json", ".npz", ".md"}


def test_the_version_is_written_in_two_places_that_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == goalsight.__version__
    assert f"## {goalsight.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_dependency_has_an_exact_pin() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.split(r"[\[<>=;]", line)[0].lower().replace("_", "-") for line in wanted}
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in pins.splitlines()}
    assert names <= pinned
