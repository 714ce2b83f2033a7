"""Measuring a search: how long, how many operations, and the same search done otherwise."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from goalsight.agent import AgentConfig
from goalsight.agent.cost import PlanCost
from goalsight.agent.search import plan_many
from goalsight.cli.search_ways import WAYS, carried_out
from goalsight.models import WorldModel
from goalsight.training.speed import matmul_rate
from goalsight_planners import Plan, SearchConfig, streams


@dataclass(frozen=True, kw_only=True)
class Row:
    """One search, done one way."""

    size: str
    """Of the model."""
    planner: str
    """Name."""
    way: str
    """Of `WAYS`."""
    p50_ms: float
    """Median time of a decision for one problem [ms]."""
    p95_ms: float
    """19 of 20 took no longer [ms]."""
    processor_ms: float
    """Median time that the processor's cores were busy for it [ms]."""
    batch_ms: float | None
    """Time of a decision for many problems at once, for each of them [ms]; None: not measured."""
    evaluations: int
    """Candidate plans imagined for one problem."""
    gflop: float
    """Operations of the matrix products of a decision for one problem, counted."""
    rate: float
    """Share of what one large matrix product in this precision reaches on the device."""
    gain: float | None
    """How many times faster than the plain way: by processor time on a CPU, else by time."""
    off: float | None
    """Largest difference between its actions and those of the plain way."""


class Decisions:
    """Decisions of B problems with one model and one search: look at B pictures and plan."""

    def __init__(self, model: WorldModel, search: SearchConfig, problems: int) -> None:
        """Set pictures, goals and what was seen before, all made up."""
        made = model.config
        self._model = model
        self._config = AgentConfig(planner=replace(search, block=made.frameskip))
        self._device = next(model.parameters()).device
        stream = torch.Generator().manual_seed(0)
        shape = (problems, made.context + 1, 3, made.image_size, made.image_size)
        pictures = torch.randint(0, 256, shape, dtype=torch.uint8, generator=stream)
        self._frames = pictures[:, -1:].to(self._device)
        latents = torch.cat(
            [model.encode(one.to(self._device)) for one in torch.split(pictures, 1)]
        )
        self._before, self._goals = latents[:, : made.context - 1], latents[:, made.context - 1]
        blocks = (problems, made.context - 1, made.frameskip, made.action_dim)
        self._past = torch.zeros(blocks, device=self._device) if made.context > 1 else None
        one = torch.ones(made.action_dim, device=self._device)
        self._bounds = (-one, one)

    def decide(self, iterations: int | None = None) -> Plan:
        """One decision for all problems, with fewer iterations if given; waits for the device."""
        search = self._config.planner
        planner = replace(search, iterations=iterations or search.iterations)
        plan = plan_many(
            self._model,
            self._look(),
            self._goals,
            replace(self._config, planner=planner),
            bounds=self._bounds,
            generators=streams(range(len(self._goals)), self._device),
            past=self._past,
        )
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        return plan

    def count_flop(self) -> float:
        """Operations of the matrix products of one decision.

        Counted for looking and beginning, and for one plan more; a search does that for each.
        """
        plans = self._bounds[0].new_zeros(len(self._goals), 2, *self._shape())

        def flop(count: int) -> float:
            with FlopCounterMode(display=False) as counter:
                PlanCost(
                    self._model,
                    self._look(),
                    self._goals,
                    self._config,
                    latent_variance=1.0,
                    past=self._past,
                )(plans[:, :count])
            return float(counter.get_total_flops())

        one, two = flop(1), flop(2)
        return one + (two - one) * (self._config.planner.evaluations - 1)

    def _look(self) -> Tensor:
        """Latents of the present frames behind those of the frames before."""
        return torch.cat((self._before, self._model.encode(self._frames)), dim=1)

    def _shape(self) -> tuple[int, int, int]:
        """(H, K, A) of a plan."""
        made = self._model.config
        return self._config.planner.horizon, made.frameskip, made.action_dim


def measure(
    model: WorldModel,
    search: SearchConfig,
    way: str,
    *,
    batch: int,
    decisions: int,
    rates: dict[str, float],
) -> tuple[Row, Plan]:
    """One search, done one way, for one problem and for a batch of them.

    Args:
        model: of `make_model`.
        search: of `make_search`.
        way: name of it in `WAYS`.
        batch: problems planned at once; 0 for none.
        decisions: to time for one problem; a twentieth as many for the batch.
        rates: of large matrix products by precision; filled as needed.

    Returns:
        The row, without size, planner and what compares it with others; and the plan found.
    """
    how, device = WAYS[way], next(model.parameters()).device
    if how.precision not in rates:
        rates[how.precision] = matmul_rate(device, getattr(torch, how.precision))
    one = Decisions(model, search, 1)
    with carried_out(model, replace(how, execution="eager")):
        operations = one.count_flop()
    with carried_out(model, how):
        for _ in range(2):
            one.decide(iterations=1)
        times, found = time_turns(one.decide, decisions)
        batch_ms = None
        if batch:
            many = Decisions(model, search, batch)
            many.decide(iterations=1)
            turns, _ = time_turns(many.decide, max(1, decisions // 20))
            batch_ms = quantile_ms(turns.wall, 50) / batch
    p50 = quantile_ms(times.wall, 50)
    row = Row(
        size="",
        planner="",
        way=way,
        p50_ms=p50,
        p95_ms=quantile_ms(times.wall, 95),
        processor_ms=quantile_ms(times.processor, 50),
        batch_ms=batch_ms,
        evaluations=found.evaluations,
        gflop=operations / 1e9,
        rate=operations / (1e-3 * p50) / rates[how.precision],
        gain=None,
        off=None,
    )
    return row, found


@dataclass(frozen=True)
class Times:
    """Of some turns, in seconds each."""

    wall: list[float]
    processor: list[float]


def time_turns(turn: Callable[[], Plan], times: int) -> tuple[Times, Plan]:
    """How long turns take and how long they keep the processor's cores busy; the last's plan."""
    found, plan = Times([], []), None
    for _ in range(times):
        busy, began = time.process_time(), time.perf_counter()
        plan = turn()
        found.wall.append(time.perf_counter() - began)
        found.processor.append(time.process_time() - busy)
    assert plan is not None
    return found, plan


def quantile_ms(seconds: list[float], percent: float) -> float:
    """A quantile in milliseconds."""
    return float(1e3 * np.percentile(seconds, percent))
