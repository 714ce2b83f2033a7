"""Which part may import which: docs/design.md lists the arrows, and this fails on any other."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "goalsight": ROOT / "src" / "goalsight",
    "goalsight_envs": ROOT / "envs" / "goalsight_envs",
    "goalsight_planners": ROOT / "planners" / "goalsight_planners",
}
BASE = {"errors", "paths", "provenance", "io", "progress", "devices"}
PURE = {"losses", "masking", "schedules", "energies", "collapse"}
SHORTHAND = {"BASE": BASE, "PURE": PURE, "nothing": set[str]()}


def read_arrows(page: Path) -> dict[str, set[str]]:
    """The fenced `arrows` block: part -> parts it may import; ANYTHING stays as it is."""
    block = re.search(r"```arrows\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None, f"{page} has no ```arrows block"
    arrows: dict[str, set[str]] = {}
    for line in block[1].strip().splitlines():
        left, _, right = line.partition("->")
        targets: set[str] = set()
        for target in right.split(","):
            targets |= SHORTHAND.get(target.strip(), {target.strip()})
        for part in left.split(","):
            arrows[part.strip()] = targets
    return arrows


ARROWS = read_arrows(ROOT / "docs" / "design.md")


def part_of(module: str) -> str:
    """Name as in the list: `goalsight.data.windows` -> `data.windows`, others stay."""
    return module.removeprefix("goalsight.")


def covers(part: str, module: str) -> bool:
    """Whether a module is a part or inside it."""
    return module == part or module.startswith(f"{part}.")


def sources() -> Iterator[tuple[str, Path]]:
    """Every module of ours with its file."""
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            names = [package, *path.relative_to(folder).with_suffix("").parts]
            yield ".".join(names).removesuffix(".__init__"), path


MODULES = dict(sources())


def imports(module: str, path: Path) -> set[str]:
    """Modules that a file imports anywhere, also inside functions and for annotations only."""
    found: set[str] = set()
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = package.split(".")[: len(package.split(".")) - node.level + 1]
            origin = ".".join([*(names if node.level else []), *filter(None, [node.module])])
            for alias in node.names:
                inner = f"{origin}.{alias.name}"
                found.add(inner if inner in MODULES else origin)
    return found


def allowed(module: str, imported: str) -> bool:
    """Whether the list has an arrow from one module of ours to another."""
    me, you = part_of(module), part_of(imported)
    if you == "goalsight" or me == "goalsight":  # the version; the lazy exports
        return True
    if me.split(".")[0] == you.split(".")[0]:
        return True
    lines = [targets for part, targets in ARROWS.items() if covers(part, me)]
    targets = set[str]().union(*lines)
    return "ANYTHING" in targets or any(covers(target, you) for target in targets)


def test_every_import_among_our_parts_is_an_arrow_of_the_design() -> None:
    bad = [
        f"{module} -> {imported}"
        for module, path in MODULES.items()
        for imported in sorted(imports(module, path))
        if imported.split(".")[0] in PACKAGES and not allowed(module, imported)
    ]
    assert not bad, f"no such arrow in docs/design.md: {'; '.join(bad)}"


def test_every_module_has_a_line_in_the_design() -> None:
    parts = {part_of(module) for module in MODULES} - {"goalsight"}
    homeless = sorted(part for part in parts if not any(covers(line, part) for line in ARROWS))
    assert not homeless, f"docs/design.md has no line for {', '.join(homeless)}"


def outside(module: str) -> set[str]:
    """Top-level names of the libraries that are not ours or Python's own."""
    names = {name.split(".")[0] for name in imports(module, MODULES[module])}
    return names - set(PACKAGES) - set(sys.stdlib_module_names)


def test_libraries_stay_in_the_parts_that_need_them() -> None:
    for module in MODULES:
        part, used = part_of(module), outside(module)
        assert "benchmarks" not in used, f"{module}: what is in the wheel imports nothing beside it"
        if part.split(".")[0] in PURE:
            assert used <= {"torch", "einops"}, module
        if covers("goalsight_planners", part):
            assert used <= {"torch"}, module
        if covers("goalsight_envs", part):
            assert not used & {"torch", "pytorch_lightning", "av", "decord", "pyarrow"}, module
        if not (covers("training", part) or covers("cli", part)):
            assert "pytorch_lightning" not in used, module
        if covers("report", part):
            assert "torch" not in used, module


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import goalsight", ["torch", "numpy", "mujoco"]),
        ("import goalsight_envs", ["torch"]),
        ("import goalsight_planners", ["mujoco", "gymnasium"]),
        ("import goalsight.data", ["av", "decord", "mujoco", "pytorch_lightning"]),
        ("import goalsight.cli.main", ["torch", "numpy", "jsonargparse", "rich"]),
    ],
)
def test_an_import_does_not_drag_in_what_it_does_not_need(
    statement: str, absent: list[str]
) -> None:
    """At run time, since a chain of innocent imports can end in a heavy one."""
    program = f"import sys\n{statement}\nprint(*[m for m in {absent} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
