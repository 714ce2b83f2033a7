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

    from goalsight.cli.search_speed import Row
    from goalsight.models import WorldModel
    from goalsight_planners import Plan, SearchConfig


def plan(
    *,
    size: str = "tiny",
    planner: str = "cem,icem,mppi,random_shooting",
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

    A decision looks at one picture and searches. The floor is the predictor's matrix products for
    every step alone. Ways to carry out the same search: plain is every step of every plan from
    scratch, once what an agent does, bfloat16 the same in that precision, compile through
    torch.compile, graph on CUDA in one launch; also compile-bfloat16, graph-bfloat16. "off" is how
    far the actions are from those of the plain way. The models are untrained: that costs as much.

    Args:
        size: of the world model, or several, separated by commas; peer is LeWM's predictor.
        planner: name of a planner, several separated by commas.
        ways: to carry out the search, separated by commas.
        samples: candidate plans per iteration.
        iterations: refits of the sampling distribution.
        horizon: action blocks looked ahead.
        batch: problems planned at once in the last measurement; 0 leaves it out.
        decisions: decisions to time, after two short ones to warm up.
        threads: processor threads PyTorch may use.
        device: where the model runs, such as cpu or cuda.
        json: print JSON for a machine to read.

    Example:
        goalsight perf plan --samples 200 --iterations 5 --horizon 5
    """
    import torch

    from goalsight.cli.search_ways import make_model, make_search
    from goalsight.data.progress import delayed_bar
    from goalsight.provenance import hardware

    measure = _Measuring(_names(ways), batch, decisions)
    sizes = _names(size)
    searches = {
        name: make_search(name, samples=samples, iterations=iterations, horizon=horizon)
        for name in _names(planner)
    }
    torch.set_num_threads(threads)
    rows: list[Row] = []
    with torch.inference_mode(), delayed_bar("Measuring", "searches") as progress:
        for one in sizes:
            model = make_model(one, device)
            for name, search in searches.items():
                for row in measure(model, search):
                    rows.append(replace(row, size=one, planner=name))
                    progress(len(rows), len(sizes) * len(searches) * len(measure.ways))
        products = _matrix_products(make_model(sizes[0], device).predictor, samples, device)
        floor_ms = iterations * horizon * median_ms(products, 20, device)
    measurement = Measurement(
        what=f"one decision: {sizes[0]}, {samples} samples x {iterations} iterations x {horizon} "
        f"blocks, {device}, {threads} threads",
        milliseconds=next((row for row in rows if row.way == "once"), rows[0]).p50_ms,
        floor="the predictor's matrix products",
        floor_milliseconds=floor_ms,
        hardware=hardware(),
    )
    _show(measurement, rows, batch, json)


def _show(measurement: Measurement, rows: list[Row], batch: int, json: bool) -> None:
    """For a machine or for a person."""
    if json:
        values = asdict(measurement) | {"overhead": measurement.overhead, "batch": batch}
        print(jsonlib.dumps(values | {"rows": [asdict(row) for row in rows]}, indent=2))
        return
    print_measurement(measurement, False, unit="decisions/s")
    print(_table(rows, batch))


class _Measuring:
    """Measures one search after the other in the same ways."""

    def __init__(self, ways: list[str], batch: int, decisions: int) -> None:
        from goalsight.cli.search_ways import WAYS

        if decisions < 1 or batch < 0:
            raise UserError(
                f"--decisions must be at least 1 and --batch at least 0, got {decisions} and "
                f"{batch}"
            )
        if unknown := [name for name in ways if name not in WAYS]:
            raise UserError(f"no way {unknown[0]!r}; there are: {', '.join(WAYS)}")
        self.ways, self._batch, self._decisions = ways, batch, decisions
        self._rates: dict[str, float] = {}

    def __call__(self, model: WorldModel, search: SearchConfig) -> Iterator[Row]:
        """Its rows; size and planner are the caller's to fill in."""
        from goalsight.cli.search_speed import measure

        plain: tuple[Row, Plan] | None = None
        for way in self.ways:
            row, found = measure(
                model,
                search,
                way,
                batch=self._batch,
                decisions=self._decisions,
                rates=self._rates,
            )
            plain = (row, found) if way == "plain" else plain
            if plain is not None:
                on_host = found.actions.device.type == "cpu"
                took = [one.processor_ms if on_host else one.p50_ms for one in (plain[0], row)]
                off = float((found.actions - plain[1].actions).abs().max())
                row = replace(row, gain=took[0] / max(took[1], 1e-6), off=off)
            yield row


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
