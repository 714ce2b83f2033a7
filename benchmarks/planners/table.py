"""`python -m benchmarks.planners.table`: planners side by side at equal model evaluations.

Settings are the defaults of each planner, scaled to the budget and the same on every problem.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from benchmarks.planners import PLANNERS, AdamConfig, CMAESConfig
from benchmarks.planners.problems import AXES, PROBLEMS, Problem
from goalsight_planners.base import SearchConfig, streams
from goalsight_planners.gaussian import ICEMConfig

TARGETS = 500
"""Seed of the first target; defaults of the planners were looked at on targets below it."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What one planner reached on one problem."""

    planner: str
    problem: str
    regret: Tensor
    """(targets x seeds,) cost of the plan above the lowest possible."""
    evaluations: int
    """Spent for each; a gradient counts as three."""
    iterations: int
    """One after the other: what decides the time on a device that runs the samples at once."""

    def __str__(self) -> str:
        """Median and quartiles."""
        low, middle, high = torch.quantile(self.regret, torch.tensor([0.25, 0.5, 0.75])).tolist()
        return f"{middle:.1e} ({low:.1e} to {high:.1e})"


def budgeted(
    name: str, evaluations: int, horizon: int, block: int, iterations: int | None = None
) -> SearchConfig:
    """A planner's config that spends at most so many evaluations.

    Adam takes as many steps, CMA-ES as many generations as that allows; the others share it out
    among their `iterations`, by default those of their config.

    Raises:
        KeyError: if there is no planner of this name.
        ValueError: if the budget is too small for it.
    """
    if name not in PLANNERS:
        raise KeyError(f"no planner {name!r}; there are: {', '.join(PLANNERS)}")
    if evaluations < 100:
        raise ValueError(f"evaluations must be at least 100, got {evaluations}")
    config = replace(PLANNERS[name].config(), horizon=horizon, block=block)
    if isinstance(config, AdamConfig):
        return replace(config, iterations=(evaluations // config.samples - 1) // 3 + 1)
    if isinstance(config, CMAESConfig):
        return replace(config, iterations=evaluations // config.samples)
    config = replace(config, iterations=iterations or config.iterations)
    samples = evaluations // config.iterations
    if isinstance(config, ICEMConfig):
        fits = (_icem(config, count) for count in range(evaluations // 2, 0, -1))
        return next(one for one in fits if one.evaluations <= evaluations)
    return replace(config, samples=samples, elites=max(2, samples // 10))


def _icem(config: ICEMConfig, samples: int) -> ICEMConfig:
    """So many samples, a tenth of them elites, a third of those kept."""
    elites = max(2, samples // 10)
    return replace(config, samples=samples, elites=elites, keep_elites=elites // 3)


def measure(planner: str, problem: str, config: SearchConfig, targets: int, seeds: int) -> Cell:
    """Plan for every target with every seed, all in one batch.

    Raises:
        KeyError: if there is no planner or problem of this name.
    """
    kinds = [target for target in range(TARGETS, TARGETS + targets) for _ in range(seeds)]
    one: Problem = PROBLEMS[problem](kinds, config.horizon)
    box = torch.ones(AXES)
    plan = PLANNERS[planner].function(
        one.regret,
        None,
        (-box, box),
        replace(config, discrete=one.discrete),
        # other seeds than the targets', or the first samples would be the targets
        streams(range(10_000, 10_000 + len(kinds))),
        limits=one.limits,
    )
    return Cell(
        planner=planner,
        problem=problem,
        regret=plan.cost,
        evaluations=plan.evaluations,
        iterations=len(plan.history),
    )


def render(cells: Sequence[Cell]) -> str:
    """A Markdown table: a row a planner, a column a problem."""
    problems = list(dict.fromkeys(cell.problem for cell in cells))
    lines = [
        "| planner | evaluations | iterations | " + " | ".join(problems) + " |",
        "|---" * (len(problems) + 3) + "|",
    ]
    for planner in dict.fromkeys(cell.planner for cell in cells):
        row = [cell for cell in cells if cell.planner == planner]
        head = f"| {planner} | {row[0].evaluations} | {row[0].iterations} | "
        lines.append(head + " | ".join(map(str, row)) + " |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None, write: Callable[[str], None] = print) -> None:
    """Measure every planner on every problem and write a table for each budget."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.planners.table", description=__doc__
    )
    parser.add_argument("--evaluations", type=int, nargs="+", default=[300, 1000])
    parser.add_argument("--planners", nargs="+", choices=PLANNERS, default=list(PLANNERS))
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    parser.add_argument("--iterations", type=int, help="of the planners that refit")
    parser.add_argument("--targets", type=int, default=10, help="problems of a kind")
    parser.add_argument("--seeds", type=int, default=5, help="searches for each")
    parser.add_argument("--action-mode", choices=["repeat", "free"], default="repeat")
    parser.add_argument("--horizon", type=int, default=5, help="action blocks")
    parser.add_argument("--block", type=int, default=5, help="control steps in a block")
    chosen = parser.parse_args(arguments)
    for budget in chosen.evaluations:
        cells = []
        for planner in chosen.planners:
            config = budgeted(planner, budget, chosen.horizon, chosen.block, chosen.iterations)
            config = replace(config, action_mode=chosen.action_mode)
            cells += [
                measure(planner, problem, config, chosen.targets, chosen.seeds)
                for problem in chosen.problems
            ]
        write(
            f"{chosen.targets} targets x {chosen.seeds} seeds, horizon {chosen.horizon}, "
            f"{chosen.action_mode}, at most {budget} evaluations; cost above the optimum, median "
            f"(quartiles)\n\n{render(cells)}\n"
        )


if __name__ == "__main__":
    main()
