"""`python -m benchmarks.deciding`: milliseconds of a decision, by who decides and how it is run."""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.models import Decisions, make_untrained, open_trained
from benchmarks.timing import Measurement, Timing, beside, clocked, in_turns, run, show
from goalsight.agent import AgentConfig
from goalsight.agent.config import agent_config
from goalsight.checkpoint import Checkpoint
from goalsight.errors import UserError
from goalsight.models.rollout import StepByStep
from goalsight_planners import PLANNERS

WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "once": {},
    "bfloat16": {"precision": "bfloat16"},
    "compile": {"compile": True},
}
"""How a search is run, as settings of an agent: `plain` imagines every step of every plan from
scratch, `once`, with nothing done twice, is what an agent does by default."""
FLOOR = "the predictor's matrix products"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way to decide, run one way."""

    size: str
    """Of the model, or the checkpoint's name."""
    who: str
    """What decides: a planner, the actor, or both (`hybrid`)."""
    way: str
    """Of `WAYS`."""
    timing: Timing
    """Of a decision for one problem."""
    floor: Timing
    """Of the predictor's matrix products for as many plans, in the same turns."""
    of_many: Timing | None
    """Of a decision for many problems at once, for each of them."""
    evaluations: int
    """Candidate plans imagined for one problem."""
    gflop: float
    """Operations of the matrix products of a decision, counted."""
    off: float
    """Largest difference between its actions and those of the first way."""


def deciding(
    *,
    size: str = "tiny",
    checkpoint: str | None = None,
    who: str = "cem,icem,mppi,random_shooting,actor,hybrid",
    ways: str = "plain,once",
    settings: str = "",
    batch: int = 64,
    rounds: int = 20,
    threads: int = 1,
    device: str = "cpu",
    json: bool = False,
) -> None:
    """Measure planning decisions: the first beside its floor, then all of them as a table.

    A decision looks at one picture and searches, or asks an actor, or searches around what an actor
    proposes. "off" is how far the actions are from those of the first way. Without a checkpoint
    models are untrained, as is an actor that a checkpoint lacks: that costs as much.

    Args:
        size: of the untrained model: tiny, small, base, or peer, LeWM's predictor.
        checkpoint: folder of a checkpoint or of a training run, or the name of a shipped one, to
            measure in place of an untrained model.
        who: what decides, several separated by commas: planners, and modes of an agent.
        ways: to run the search: plain, once, bfloat16, compile.
        settings: of the agents, as in `goalsight bench --settings`, on top of the defaults; what a
            checkpoint's card says of planning is left out, so that all are measured alike.
        batch: problems planned at once in the last measurement, but not plain; 0 leaves it out.
        rounds: decisions of each that are timed.
        threads: processor threads PyTorch may use.
        device: where the model runs, such as cpu or cuda.
        json: print JSON for a machine to read.

    Example:
        python -m benchmarks.deciding --who cem --settings planner.samples=300,planner.iterations=10
    """
    if batch < 0:
        raise UserError(f"--batch must be at least 0, got {batch}")
    chosen = _names(ways)
    if unknown := [way for way in chosen if way not in WAYS]:
        raise UserError(f"no way {unknown[0]!r}; there are: {', '.join(WAYS)}")
    configs = {name: make_config(name, settings) for name in _names(who)}
    torch.set_num_threads(threads)
    if checkpoint is None:
        name, model = size, make_untrained(size, device)
    else:
        name, model = open_trained(checkpoint, device)
    with torch.inference_mode():
        rows = [
            replace(row, size=name, who=one)
            for one, config in configs.items()
            for row in measure(model, config, chosen, batch, rounds)
        ]
    first = next((row for row in rows if row.way == "once"), rows[0])
    search = configs[first.who].planner
    measurement = beside(
        f"one decision: {first.size}, {first.who}, {first.evaluations} plans of "
        f"{search.horizon} blocks, {device}, {threads} threads",
        first.timing,
        FLOOR,
        first.floor,
    )
    _show(measurement, rows, json=json)


def make_config(who: str, settings: str = "") -> AgentConfig:
    """How an agent decides: a planner by name, or a mode such as `actor`, and what else is set.

    Raises:
        UserError: if there is no such planner or mode, or a setting does not fit.
    """
    return agent_config(f"{'planner.kind' if who in PLANNERS else 'mode'}={who},{settings}")


def measure(
    checkpoint: Checkpoint,
    config: AgentConfig,
    ways: Sequence[str],
    batch: int,
    rounds: int,
) -> Iterator[Row]:
    """One way to decide, run in several ways that take turns, each with a model of its own.

    Args:
        checkpoint: of `make_untrained` or `open_trained`.
        config: of `make_config`.
        ways: names of `WAYS`.
        batch: problems planned at once; 0 for none.
        rounds: decisions to time for one problem; a tenth as many for the batch.

    Returns:
        The rows; `size` and `who` are the caller's to fill in.
    """
    alone: dict[str, Decisions] = {}
    many: dict[str, Decisions] = {}
    for way in ways:
        own = replace(checkpoint, model=deepcopy(checkpoint.model))
        if way == "plain":
            predictor = own.model.predictor
            # An attribute of the object comes before the method of its class.
            object.__setattr__(predictor, "imagine", partial(StepByStep, predictor))
        changed = replace(config, **WAYS[way])
        alone[way] = Decisions(own, changed, 1)
        if batch and way != "plain":
            many[way] = Decisions(own, changed, batch)
    evaluations = alone[ways[0]].evaluations
    blocks = 1 if evaluations == 1 else config.planner.horizon
    iterations = 1 if evaluations == 1 else config.planner.iterations
    products = matrix_products(checkpoint.model.predictor, evaluations // iterations)
    by_block = clocked(products, iterations * blocks)
    turns = {way: clocked(one.decide) for way, one in alone.items()}
    found = in_turns(turns | {FLOOR: lambda: iterations * blocks * by_block()}, rounds)
    together = {way: clocked(one.decide) for way, one in many.items()}
    of_many = in_turns(together, max(1, rounds // 10))
    reference = alone[ways[0]].decide().actions
    for way, one in alone.items():
        each = of_many.get(way)
        if each is not None:
            took, least = each.milliseconds / batch, each.least / batch
            each = replace(each, milliseconds=took, least=least)
        yield Row(
            size="",
            who="",
            way=way,
            timing=found[way],
            floor=found[FLOOR],
            of_many=each,
            evaluations=evaluations,
            gflop=count_flop(one.decide) / 1e9,
            off=float((one.decide().actions - reference).abs().max()),
        )


def count_flop(work: Callable[[], object]) -> float:
    """Operations of the matrix products in some work."""
    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


def matrix_products(predictor: nn.Module, rows: int) -> Callable[[], None]:
    """A function that does the products of the predictor's layers for so many plans, no more."""
    pairs = [
        (layer.weight.new_ones(rows, layer.in_features), layer.weight.detach().T.contiguous())
        for layer in predictor.modules()
        if isinstance(layer, nn.Linear)
    ]
    outputs = [left @ right for left, right in pairs]

    def multiply() -> None:
        for (left, right), output in zip(pairs, outputs, strict=True):
            torch.mm(left, right, out=output)

    return multiply


def _names(text: str) -> list[str]:
    """Names separated by commas."""
    names = [part.strip() for part in text.split(",") if part.strip()]
    if not names:
        raise UserError("give at least one that decides and one way")
    return names


def _show(measurement: Measurement, rows: Sequence[Row], *, json: bool) -> None:
    """For a machine or for a person."""
    if json:
        values = measurement.to_json() | {"rows": [asdict(row) for row in rows]}
        print(jsonlib.dumps(values, indent=2))
        return
    show([measurement], json=False)
    print(
        "\n| size | who | way | median [ms] | least | floor | ratio | of many, each [ms] "
        "| evaluations | GFLOP | off |\n" + "|---" * 11 + "|"
    )
    for row in rows:
        took, floor = row.timing, row.floor
        of_many = "" if row.of_many is None else f"{row.of_many.milliseconds:.1f}"
        print(
            f"| {row.size} | {row.who} | {row.way} | {took.milliseconds:.1f} | {took.least:.1f} "
            f"| {floor.milliseconds:.1f} | {took.milliseconds / floor.milliseconds:.1f} "
            f"| {of_many} | {row.evaluations} | {row.gflop:.2f} | {row.off:.0e} |"
        )


if __name__ == "__main__":
    sys.exit(run(deciding, sys.argv[1:]))
