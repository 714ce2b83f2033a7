"""What `goalsight perf plan` measures: models, searches, and ways to carry them out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import torch

from goalsight.agent import ActorUse, AgentConfig
from goalsight.agent.config import Mode
from goalsight.checkpoint import IN_A_RUN, Checkpoint, find_checkpoint, load_checkpoint
from goalsight.errors import UserError
from goalsight.models import WorldModel, WorldModelConfig
from goalsight.models.execution import Execution, Precision
from goalsight.models.heads.actor import Actor
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


def make_untrained(size: str, device: str) -> Checkpoint:
    """An untrained model and actor of a size of `MODELS`, in which every layer does something.

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
    return _with_actor(Checkpoint(model.to(device).eval(), model.config, {}, sha256=""))


def open_trained(checkpoint: str, device: str) -> tuple[str, Checkpoint]:
    """Name and contents of a checkpoint; one without an actor is lent an untrained one.

    Raises:
        CheckpointError: if there is none or it is damaged.
    """
    folder = find_checkpoint(checkpoint)
    name = folder.resolve().parent.name if folder.name == IN_A_RUN else folder.name
    return name, _with_actor(load_checkpoint(folder, device))


def _with_actor(checkpoint: Checkpoint) -> Checkpoint:
    """An untrained actor decides at the cost of a trained one, though not as well."""
    model = checkpoint.model
    if "actor" not in model.heads:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            actor = Actor(model.config, model.patches, model.latent_dim)
        model.heads["actor"] = actor.to(next(model.parameters()).device).eval()
    return checkpoint


def make_config(
    who: str, planners: Sequence[str], *, samples: int, iterations: int, horizon: int
) -> tuple[str, AgentConfig]:
    """How an agent decides.

    Args:
        who: a planner's name, `actor`, or `both`: a search around what the actor proposes.
        planners: the first of them searches in `both`; CEM if there is none.
        samples: candidate plans per iteration; with fewer than 60, `both` takes fewer proposals.
        iterations: refits of the sampling distribution.
        horizon: action blocks looked ahead.

    Returns:
        What to call it, and its settings.

    Raises:
        UserError: if there is no such planner, or its numbers do not fit.
    """
    mode: Mode = "actor" if who == "actor" else "both" if who == "both" else "search"
    planner = who if mode == "search" else next(iter(planners), "cem")
    search = make_search(planner, samples=samples, iterations=iterations, horizon=horizon)
    use = ActorUse()
    use = replace(use, proposals=min(use.proposals, samples // 4))
    name = f"both, {planner}" if mode == "both" else who
    return name, AgentConfig(planner=search, mode=mode, actor=use)


def make_search(planner: str, *, samples: int, iterations: int, horizon: int) -> SearchConfig:
    """A planner's config; elites are a tenth of the samples.

    Raises:
        UserError: if there is no such planner, or its numbers do not fit.
    """
    usable = [name for name in PLANNERS if name != "adam"]  # an agent keeps no gradients
    if planner not in usable:
        raise UserError(
            f"no planner {planner!r}; there are: {', '.join(usable)}, and actor and both"
        )
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
    """Searches with this model are carried out in this way meanwhile; agents say the rest of it."""
    if way.plain:
        # An attribute of the object comes before the method of its class.
        object.__setattr__(model.predictor, "imagine", partial(StepByStep, model.predictor))
    try:
        yield
    finally:
        if way.plain:
            object.__delattr__(model.predictor, "imagine")
        model.prepare()
