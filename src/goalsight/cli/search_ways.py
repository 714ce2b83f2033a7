"""What `goalsight perf plan` measures: models, searches, and ways to carry them out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import torch

from goalsight.errors import UserError
from goalsight.models import WorldModel, WorldModelConfig
from goalsight.models.execution import Execution, Precision
from goalsight.models.imagination import StepByStep
from goalsight_planners import PLANNERS, SearchConfig

MODELS: dict[str, dict[str, Any]] = {
    "tiny": {"size": "tiny"},
    "small": {"size": "small"},
    "base": {"size": "base"},
    "peer": {
        "size": "base",
        "predictor": "transformer",
        "conditioning": "adaln",
        "context": 3,
        "predictor_options": {"width": 192, "depth": 6, "heads": 16, "head": 64, "hidden": 2048},
    },
}
"""What a size is made of; `peer` is the predictor of LeWM (arXiv:2603.19312), one token a frame."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """How a search is carried out."""

    plain: bool = False
    """Every step of every plan from scratch."""
    execution: Execution = "eager"
    """How rollouts are run."""
    precision: Precision = "float32"
    """Of their matrix products."""


WAYS: dict[str, Way] = {
    "plain": Way(plain=True),
    "once": Way(),
    "bfloat16": Way(precision="bfloat16"),
    "compile": Way(execution="compile"),
    "compile-bfloat16": Way(execution="compile", precision="bfloat16"),
    "graph": Way(execution="graph"),
    "graph-bfloat16": Way(execution="graph", precision="bfloat16"),
}
"""By name; `once`, with nothing done twice, is what an agent does by default."""


def make_model(size: str, device: str) -> WorldModel:
    """An untrained model of a size of `MODELS` in which every layer does something.

    Raises:
        UserError: if there is no such size; lists those that exist.
    """
    if size not in MODELS:
        raise UserError(f"no size {size!r}; there are: {', '.join(MODELS)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = WorldModel(WorldModelConfig(**MODELS[size]))
        for weight in model.predictor.parameters():
            if not weight.any():  # zero until trained: all plans would cost the same
                torch.nn.init.normal_(weight, std=0.02)
    return model.to(device).eval()


def make_search(planner: str, *, samples: int, iterations: int, horizon: int) -> SearchConfig:
    """A planner's config; elites are a tenth of the samples.

    Raises:
        UserError: if there is no such planner, or its numbers do not fit.
    """
    usable = [name for name in PLANNERS if name != "adam"]  # an agent keeps no gradients
    if planner not in usable:
        raise UserError(f"no planner {planner!r}; there are: {', '.join(usable)}")
    kind = PLANNERS[planner].config
    wanted: dict[str, Any] = {
        "samples": samples,
        "iterations": iterations,
        "horizon": horizon,
        "elites": max(2, samples // 10),
    }
    kept = {field.name: field.default for field in fields(kind)}.get("keep_elites")
    if isinstance(kept, int):
        wanted["keep_elites"] = min(kept, wanted["elites"])
    try:
        return kind(**wanted)
    except ValueError as error:
        raise UserError(str(error)) from error


@contextmanager
def carried_out(model: WorldModel, way: Way) -> Iterator[None]:
    """Searches with this model are carried out in this way meanwhile."""
    model.prepare(way.execution, way.precision)
    if way.plain:
        # An attribute of the object comes before the method of its class.
        object.__setattr__(model.predictor, "imagine", partial(StepByStep, model.predictor))
    try:
        yield
    finally:
        if way.plain:
            object.__delattr__(model.predictor, "imagine")
        model.prepare()
