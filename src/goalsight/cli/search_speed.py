"""Measuring a search: how long, how many operations, and the same search done otherwise."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from goalsight.agent import Agent, AgentConfig
from goalsight.agent.config import Mode
from goalsight.checkpoint import Checkpoint
from goalsight.cli.search_ways import WAYS, carried_out
from goalsight.training.speed import matmul_rate
from goalsight_planners import Plan, streams


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way to decide, carried out one way."""

    size: str
    """Of the model."""
    planner: str
    """What decides: a planner's name, actor, or both with the planner's name."""
    mode: Mode
    """The agent's: search, actor or both."""
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
    """Decisions of B problems with one agent: look at B pictures and plan."""

    def __init__(self, checkpoint: Checkpoint, config: AgentConfig, problems: int) -> None:
        """Set pictures, goals and what was seen before, all made up."""
        model, made = checkpoint.model, checkpoint.config
        short = replace(config, planner=replace(config.planner, iterations=1))
        self._agents = {
            "whole": Agent(checkpoint, config=config),
            "short": Agent(checkpoint, config=short),
        }
        self._model, self._config = model, config
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
        felt = model.proprio_mean.expand(problems, made.context, -1)
        self._proprio = felt if made.proprio_dim else None

    @property
    def evaluations(self) -> int:
        """Candidate plans imagined for one problem."""
        return self._agents["whole"].evaluations_per_decision

    def decide(self, length: Literal["whole", "short"] = "whole") -> Plan:
        """One decision for all problems, a short one with one iteration; waits for the device."""
        plan = self._agents[length].plan(
            self._look(),
            self._past,
            self._proprio,
            goals=self._goals,
            streams=streams(range(len(self._goals)), self._device),
        )
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        return plan

    def count_flop(self) -> float:
        """Operations of the matrix products of one decision, as it is written.

        Counted for a short decision and for one plan more; a search does that for each.
        """
        made, search = self._model.config, self._config.planner
        plans = torch.zeros(
            len(self._goals), 2, search.horizon, made.frameskip, made.action_dim,
            device=self._device,
        )  # fmt: skip
        self._model.prepare("eager", self._config.precision)
        imagine = self._model.imagine(self._look(), self._past, self._proprio)
        one, two = (_flop(partial(imagine, plans[:, :many])) for many in (1, 2))
        more = self.evaluations - self._agents["short"].evaluations_per_decision
        operations = _flop(partial(self.decide, "short")) + (two - one) * more
        self._model.prepare(self._config.execution, self._config.precision)
        return operations

    def _look(self) -> Tensor:
        """Latents of the present frames behind those of the frames before."""
        return torch.cat((self._before, self._model.encode(self._frames)), dim=1)


def _flop(turn: Callable[[], object]) -> float:
    """Operations of the matrix products in a turn."""
    with FlopCounterMode(display=False) as counter:
        turn()
    return float(counter.get_total_flops())


def measure(
    checkpoint: Checkpoint,
    config: AgentConfig,
    way: str,
    *,
    batch: int,
    decisions: int,
    rates: dict[str, float],
    progress: Callable[[int], None],
) -> tuple[Row, Plan]:
    """One way to decide, carried out one way, for one problem and for a batch of them.

    Args:
        checkpoint: of `make_untrained` or `open_trained`.
        config: of `make_config`.
        way: name of it in `WAYS`.
        batch: problems planned at once; 0 for none.
        decisions: to time for one problem; a twentieth as many for the batch.
        rates: of large matrix products by precision; filled as needed.
        progress: told how many more problems have been planned.

    Returns:
        The row, without size, name and what compares it with others; and the plan found.
    """
    how, model = WAYS[way], checkpoint.model
    device = next(model.parameters()).device
    config = replace(config, execution=how.execution, precision=how.precision)
    if how.precision not in rates:
        rates[how.precision] = matmul_rate(device, getattr(torch, how.precision))
    with carried_out(model, how):
        one = Decisions(checkpoint, config, 1)
        operations = one.count_flop()
        for _ in range(2):
            one.decide("short")
        times, found = time_turns(one.decide, decisions, lambda: progress(1))
        batch_ms = None
        if batch:
            many = Decisions(checkpoint, config, batch)
            if device.type != "cpu" or how.execution != "eager":
                many.decide("short")  # kernels are chosen, compiled or recorded for these shapes
            turns, _ = time_turns(many.decide, max(1, decisions // 20), lambda: progress(batch))
            batch_ms = quantile_ms(turns.wall, 50) / batch
    p50 = quantile_ms(times.wall, 50)
    row = Row(
        size="",
        planner="",
        mode=config.mode,
        way=way,
        p50_ms=p50,
        p95_ms=quantile_ms(times.wall, 95),
        processor_ms=quantile_ms(times.processor, 50),
        batch_ms=batch_ms,
        evaluations=one.evaluations,
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


def time_turns(
    turn: Callable[[], Plan], times: int, after: Callable[[], None]
) -> tuple[Times, Plan]:
    """How long turns take and how long they keep the processor's cores busy; the last's plan.

    `after` each turn is not timed.
    """
    found, plan = Times([], []), None
    for _ in range(times):
        busy, began = time.process_time(), time.perf_counter()
        plan = turn()
        found.wall.append(time.perf_counter() - began)
        found.processor.append(time.process_time() - busy)
        after()
    assert plan is not None
    return found, plan


def quantile_ms(seconds: list[float], percent: float) -> float:
    """A quantile in milliseconds."""
    return float(1e3 * np.percentile(seconds, percent))
