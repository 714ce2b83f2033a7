"""`goalsight perf plan`: how fast an agent decides here, beside its floor and the plain way."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from goalsight.cli.perf import Measurement, median_ms, print_measurement
from goalsight.errors import UserError

if TYPE_CHECKING:
    from torch import nn

    from goalsight.agent import AgentConfig
    from goalsight.checkpoint import Checkpoint
    from goalsight.cli.search_speed import Row
    from goalsight.data.progress import Report
    from goalsight_planners import Plan


def plan(
    *,
    size: str = "tiny",
    checkpoint: str | None = None,
    planner: str = "cem,icem,mppi,random_shooting,actor,both",
    ways: str = "plain,once",
    samples: int = 200,
    iterations: int = 5,
    horizon: int = 5,
    batch: int = 64,
    decisions: int = 20,
    threads: int = 1,
    device: str = "cpu",
    json: bool = False,
) -> None:
    """Measure planning decisions: the first beside its floor, then all of them as a table.

    A decision looks at one picture and searches, or asks an actor, or searches around what an actor
    proposes. The floor is the predictor's matrix products for every step alone. Ways to carry out
    the same search: plain is every step of every plan from scratch, once what an agent does,
    bfloat16 the same in that precision, compile through torch.compile, graph on CUDA in one launch;
    also compile-bfloat16, graph-bfloat16. "off" is how far the actions are from those of the plain
    way. Without a checkpoint models are untrained, as is an actor that a checkpoint lacks: that
    costs as much.

    Args:
        size: of the untrained model, or several, separated by commas; peer is LeWM's predictor.
        checkpoint: folder of a checkpoint or of a training run, or the name of a shipped one, to
            measure in place of an untrained model.
        planner: what decides, several separated by commas: planners, actor for one alone, both for
            the first of the planners around its proposals.
        ways: to carry out the search, separated by commas.
        samples: candidate plans per iteration.
        iterations: refits of the sampling distribution.
        horizon: action blocks looked ahead.
        batch: problems planned at once in the last measurement, but not plain; 0 leaves it out.
        decisions: decisions to time, after two short ones to warm up; ten times as many of an
            actor alone, which is quick.
        threads: processor threads PyTorch may use.
        device: where the model runs, such as cpu or cuda.
        json: print JSON for a machine to read.

    Example:
        goalsight perf plan --samples 200 --iterations 5 --horizon 5
    """
    import torch

    from goalsight.cli.search_ways import make_config
    from goalsight.data.progress import delayed_bar

    names = _names(planner)
    searching = [name for name in names if name not in ("actor", "both")]
    configs = dict(
        make_config(name, searching, samples=samples, iterations=iterations, horizon=horizon)
        for name in names
    )
    torch.set_num_threads(threads)
    models = _models(_names(size), checkpoint, device)
    measure = _Measuring(_names(ways), batch, decisions)
    rows: list[Row] = []
    with torch.inference_mode(), delayed_bar("Measuring", "decisions") as report:
        measure.begin([config for _ in models for config in configs.values()], report)
        for one, model in models.items():
            for name, config in configs.items():
                rows += [replace(row, size=one, planner=name) for row in measure(model, config)]
        first = next((row for row in rows if row.way == "once"), rows[0])
        shape = (samples, iterations, horizon) if first.mode != "actor" else (1, 1, 1)
        measurement = _beside_floor(first, models[first.size], shape, device)
    _show(measurement, rows, batch, json)


def _models(sizes: list[str], trained: str | None, device: str) -> dict[str, Checkpoint]:
    """What to measure, by name: a checkpoint, or untrained models of some sizes."""
    from goalsight.cli.search_ways import make_untrained, open_trained

    if trained is not None:
        return dict([open_trained(trained, device)])
    return {size: make_untrained(size, device) for size in sizes}


def _beside_floor(
    row: Row, checkpoint: Checkpoint, shape: tuple[int, int, int], device: str
) -> Measurement:
    """A row beside what a decision of so many samples, iterations and blocks cannot be faster than.

    PyTorch's threads are those of the measurement.
    """
    import torch

    from goalsight.provenance import hardware

    samples, iterations, horizon = shape
    products = _matrix_products(checkpoint.model.predictor, samples, device)
    return Measurement(
        what=f"one decision: {row.size}, {row.planner}, {samples} samples x {iterations} "
        f"iterations x {horizon} blocks, {device}, {torch.get_num_threads()} threads",
        milliseconds=row.p50_ms,
        floor="the predictor's matrix products",
        floor_milliseconds=iterations * horizon * median_ms(products, 20, device),
        hardware=hardware(),
    )


def _show(measurement: Measurement, rows: list[Row], batch: int, json: bool) -> None:
    """For a machine or for a person."""
    if json:
        values = asdict(measurement) | {"overhead": measurement.overhead, "batch": batch}
        print(jsonlib.dumps(values | {"rows": [asdict(row) for row in rows]}, indent=2))
        return
    print_measurement(measurement, False, unit="decisions/s")
    print(_table(rows, batch))


class _Measuring:
    """Measures one way to decide after the other in the same ways, and says how far it is."""

    def __init__(self, ways: list[str], batch: int, decisions: int) -> None:
        from goalsight.cli.search_ways import WAYS
        from goalsight.data.progress import silent

        if decisions < 1 or batch < 0:
            raise UserError(
                f"--decisions must be at least 1 and --batch at least 0, got {decisions} and "
                f"{batch}"
            )
        if unknown := [name for name in ways if name not in WAYS]:
            raise UserError(f"no way {unknown[0]!r}; there are: {', '.join(WAYS)}")
        self._decisions = decisions
        self._ways = {way: 0 if way == "plain" and len(ways) > 1 else batch for way in ways}
        self._rates: dict[str, float] = {}
        self._done = self._total = 0
        self._report: Report = silent

    def begin(self, configs: list[AgentConfig], report: Report) -> None:
        """Say what will be measured; an actor's plans take no time beside those of a search."""
        searches = sum(config.mode != "actor" for config in configs)
        batches = sum(self._ways.values())
        self._total = searches * (self._decisions * len(self._ways) + batches)
        self._report = report

    def __call__(self, model: Checkpoint, config: AgentConfig) -> Iterator[Row]:
        """Its rows; size and planner are the caller's to fill in."""
        from goalsight.cli.search_speed import measure

        plain: tuple[Row, Plan] | None = None
        quick = config.mode == "actor"
        for way, batch in self._ways.items():
            row, found = measure(
                model,
                config,
                way,
                batch=batch,
                decisions=(10 if quick else 1) * self._decisions,
                rates=self._rates,
                progress=self._pass if quick else self._count,
            )
            plain = (row, found) if way == "plain" else plain
            if plain is not None:
                on_host = found.actions.device.type == "cpu"
                took = [one.processor_ms if on_host else one.p50_ms for one in (plain[0], row)]
                off = float((found.actions - plain[1].actions).abs().max())
                row = replace(row, gain=took[0] / max(took[1], 1e-6), off=off)
            yield row

    def _count(self, plans: int) -> None:
        self._done += plans
        self._report(self._done, self._total)

    def _pass(self, plans: int) -> None:
        """Not counted."""


def _names(text: str) -> list[str]:
    """Names separated by commas."""
    names = [part.strip() for part in text.split(",") if part.strip()]
    if not names:
        raise UserError("give at least one size, planner and way")
    return names


def _matrix_products(predictor: nn.Module, rows: int, device: str) -> Callable[[], None]:
    """A function that does the products of the predictor's layers for so many plans, no more."""
    import torch

    pairs = [
        (torch.ones(rows, layer.in_features, device=device), layer.weight.detach().T.contiguous())
        for layer in predictor.modules()
        if isinstance(layer, torch.nn.Linear)
    ]
    outputs = [left @ right for left, right in pairs]

    def multiply() -> None:
        for (left, right), output in zip(pairs, outputs, strict=True):
            torch.mm(left, right, out=output)

    return multiply


def _table(rows: list[Row], batch: int) -> str:
    """The rows as a Markdown table."""
    head = [
        "size", "planner", "way", "p50 / p95 [ms]", "processor [ms]", f"of {batch}, each [ms]",
        "evaluations", "GFLOP", "of the matrix rate", "gain", "off",
    ]  # fmt: skip
    lines = [head, ["---"] * len(head), *(_cells(row) for row in rows)]
    if not batch:
        lines = [[*line[:5], *line[6:]] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(row: Row) -> list[str]:
    return [
        row.size,
        row.planner,
        row.way,
        f"{row.p50_ms:.1f} / {row.p95_ms:.1f}",
        f"{row.processor_ms:.1f}",
        "" if row.batch_ms is None else f"{row.batch_ms:.1f}",
        str(row.evaluations),
        f"{row.gflop:.2f}",
        f"{row.rate:.0%}",
        "" if row.gain is None else f"{row.gain:.2f}",
        "" if row.off is None else f"{row.off:.0e}",
    ]
