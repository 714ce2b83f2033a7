"""How good is it? `goalsight.evaluate` plays frozen pairs and prints a table with intervals."""

from __future__ import annotations

import pickle
import tempfile
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from goalsight.benchmark.manifest import (
    Manifest,
    another_simulator,
    find_manifest,
    load_manifest,
)
from goalsight.benchmark.policies import PLAYER, as_policy
from goalsight.benchmark.results import LEARNED_ROWS, Results
from goalsight.benchmark.run import BenchmarkConfig, run_benchmark
from goalsight.devices import resolve_device
from goalsight.errors import UserError
from goalsight.policy import AgentPolicy, Policy
from goalsight.progress import progress_bar

if TYPE_CHECKING:
    from goalsight.agent import Agent


def evaluate(
    policy: Policy | Agent | str | Path,
    manifest: Manifest | str | Path,
    *,
    pairs: int | None = 50,
    rows: Sequence[str] = (),
    out: str | Path | None = None,
    workers: int | None = 0,
    seed: int = 0,
    device: str = "auto",
    settings: str = "",
) -> Results:
    """Success rates of a policy on frozen start and goal pairs, with 95 % intervals.

    Every pair is played alone, with random streams that depend on the seed and the pair alone, as
    `goalsight bench` does: the numbers are the same.

    >>> result = goalsight.evaluate("arm-tiny", "push-near", pairs=50)  # doctest: +SKIP
    >>> print(result)  # doctest: +SKIP

    Args:
        policy: anything with `reset(goal, seed)` and `act(observation)`, see `goalsight.policy`; an
            `Agent`; or a checkpoint by its folder or shipped name.
        manifest: name of a shipped manifest such as `push-near`, its file, or itself.
        pairs: play the first so many; None plays all.
        rows: other rows of the table, such as `["random", "expert"]`; they come first. Rows with a
            learned model want a checkpoint as the policy.
        out: folder for results.json, report.html and the films; a run that is there is continued.
            None keeps nothing.
        workers: processes that play; 0 for this one. None: one for each core, of a checkpoint.
        seed: of every random choice.
        device: PyTorch device of a checkpoint's agent; `auto` for a GPU where there is one.
        settings: of a checkpoint's agent where they differ from its own, such as `samples=100`.

    Returns:
        The table and every pair; prints as the table.

    Raises:
        UserError: if the policy does not fit the task, cannot be sent to other processes where it
            should, or `out` holds something else.
    """
    if not isinstance(manifest, Manifest):
        manifest = load_manifest(find_manifest(manifest))
    if warning := another_simulator(manifest):
        warnings.warn(warning, stacklevel=2)
    config = BenchmarkConfig(
        out=Path(out or "."),
        rows=("random",),
        pairs=pairs,
        workers=workers,
        seed=seed,
        device=resolve_device(device),
        settings=settings,
    )
    played: Policy | None = None
    if isinstance(policy, str | Path):
        config = replace(config, checkpoint=Path(policy), rows=_with(rows, "agent"))
    else:
        played = as_policy(policy, "policy is a")
        config = _in_process(config, played, tuple(rows))
    with nullcontext(out) if out else tempfile.TemporaryDirectory() as folder:
        return measure(manifest, replace(config, out=Path(folder)), played, report=bool(out))


def measure(
    manifest: Manifest, config: BenchmarkConfig, policy: Policy | None = None, *, report: bool
) -> Results:
    """Play a manifest behind a progress bar and write what is to be kept.

    Args:
        manifest: the frozen pairs.
        config: what to measure and how.
        policy: as `run_benchmark` takes it.
        report: whether to write report.html, too.

    Raises:
        UserError: as `run_benchmark`.
    """
    with progress_bar(f"Playing {manifest.name}", "pairs") as progress:
        results = run_benchmark(manifest, config, progress, policy)
    if report:
        from goalsight.report import write_report

        with progress_bar("Writing the report") as progress:
            write_report(config.out, progress)
    return results


def _in_process(config: BenchmarkConfig, policy: Policy, rows: tuple[str, ...]) -> BenchmarkConfig:
    """How a policy that is an object is played.

    Raises:
        UserError: if that cannot be done as it was asked for.
    """
    if config.settings:
        raise UserError("settings are those of a checkpoint's agent; give this one its own")
    if learned := [row for row in rows if row in LEARNED_ROWS or row == PLAYER]:
        raise UserError(f"the row {learned[0]} needs a checkpoint in place of the policy")
    workers = config.workers or 0
    if workers > 1:
        try:
            pickle.dumps(policy)
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            raise UserError(
                f"the policy cannot be sent to {workers} processes ({error}); leave out workers, "
                "and this process plays"
            ) from None
    if isinstance(policy, AgentPolicy):
        return replace(config, rows=_with(rows, "agent"), workers=workers if workers > 1 else 0)
    kind = type(policy)
    return replace(
        config,
        rows=_with(rows, PLAYER),
        player=f"{kind.__module__}:{kind.__qualname__}",
        workers=workers if workers > 1 else 0,
    )


def _with(rows: Sequence[str], row: str) -> tuple[str, ...]:
    return (*(name for name in rows if name != row), row)
