"""Factors of variation at the command line: reading what shall vary, and the table of them all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from goalsight.errors import UserError
from goalsight.io import read_yaml

if TYPE_CHECKING:
    from rich.table import Table


def read_factors(text: str) -> str | dict[str, Any] | None:
    """What a `--factors` argument stands for.

    Args:
        text: name of a level, or a YAML file; empty for nothing.

    Raises:
        UserError: if it is none of these; the message lists the names.
    """
    if not text:
        return None
    from goalsight_envs.factors import LEVELS

    if text in LEVELS:
        return text
    if not Path(text).is_file():
        raise UserError(f"no factors {text!r}; give a YAML file or one of: {', '.join(LEVELS)}")
    return _read(Path(text))


def _read(path: Path) -> dict[str, Any]:
    lines = "lines such as `cube.size: [0.025, 0.035]`; `goalsight envs --factors` lists them"
    content = read_yaml(path, f"a file of factors with values or ranges, {lines}")
    if not all(isinstance(name, str) for name in content):
        raise UserError(
            f"{path} must name factors with values or ranges, a line such as `cube.size: "
            "[0.025, 0.035]` each; `goalsight envs --factors` lists them"
        )
    return content


def factor_rows(scenes: dict[str, list[str]]) -> list[dict[str, Any]]:
    """The table of factors as JSON values.

    Args:
        scenes: factors that each task has, by id of the task.
    """
    from goalsight_envs.factors import FACTORS, LEVELS

    return [
        {
            "name": name,
            "kind": factor.kind,
            "summary": factor.summary,
            "values": factor.extent(),
            "unit": factor.unit,
            "nominal": factor.nominal,
            "levels": {level: given.get(name) for level, given in LEVELS.items()},
            "tasks": [task for task, names in scenes.items() if name in names],
        }
        for name, factor in FACTORS.items()
    ]


HEADS = ("factor", "what", "may be", "nominal")
"""Columns of the table of factors; each level follows with what it draws."""


def factor_cells(row: dict[str, Any]) -> list[str]:
    """One row of the table in words."""
    nominal = row["nominal"]
    if isinstance(nominal, tuple):
        nominal = ", ".join(f"{number:.3g}" for number in nominal)
    drawn = [_range_text(given) for given in row["levels"].values()]
    return [row["name"], row["summary"], row["values"], str(nominal), *drawn]


def factor_tables(rows: list[dict[str, Any]]) -> tuple[Table, Table]:
    """For a terminal: what factors there are, and what each level draws."""
    from rich.table import Table

    tables = Table(box=None, pad_edge=False), Table(box=None, pad_edge=False)
    for table, heads in zip(tables, (HEADS, (HEADS[0], *rows[0]["levels"])), strict=True):
        for number, head in enumerate(heads):
            table.add_column(head, no_wrap=number == 0)
    for row in rows:
        cells = factor_cells(row)
        tables[0].add_row(*cells[: len(HEADS)])
        tables[1].add_row(cells[0], *cells[len(HEADS) :])
    return tables


def _range_text(given: Any) -> str:  # noqa: ANN401  (what a level may hold)
    """What a level draws from, for a person."""
    if given is None:
        return ""
    if isinstance(given[0], str):
        return ", ".join(given)
    low, high = (end if isinstance(end, list) else [end] for end in given)
    pairs = list(zip(low, high, strict=True))
    pairs = pairs[:1] if len(set(pairs)) == 1 else pairs
    return "; ".join(f"{a:g} to {b:g}" for a, b in pairs)
