"""What a run found: every pair, the table with its intervals, where they come from; and its files.

In the folder of a run lie `results.json` and `episodes/ROW-PAIR.npz`, the pictures of a pair; in
that of a suite lies `suite.json`.
"""

from __future__ import annotations

import io
import shlex
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from goalsight import __version__
from goalsight.environments import Env, task_of
from goalsight.errors import OutputError, UserError
from goalsight.io import inside, npz_bytes, read_json, replace_file

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from goalsight.agent import Agent
    from goalsight.benchmark.manifest import Manifest

SCHEMA = 1
"""Version of the shape of `results.json` and `suite.json`."""
HOLD = 5
"""Control steps at the end of the budget that must all be inside the threshold."""
EPISODES, RESULTS, SUITE = "episodes", "results.json", "suite.json"
LEARNED_ROWS = ("gcbc", "agent", "shuffled", "actor", "search", "hybrid")
"""Rows that act by a learned model: they need its checkpoint and are compared with each other."""
RENAMED_ROWS = {"both": "hybrid", "hold": "zero"}
"""What rows of version 0.1 are called now; its files still load."""
_AND = " + "
"""Between what several machines or commits are called."""


# -- statistics -------------------------------------------------------------------------------
# scipy.stats takes most of a second to import, so it is imported where it is used: workers never
# are kept waiting for it.


@dataclass(frozen=True, kw_only=True)
class SuccessRate:
    """Successes out of pairs, with a 95 % Wilson interval."""

    successes: int
    rate: float
    """Successes / pairs, in [0, 1]."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""


@dataclass(frozen=True, kw_only=True)
class PairedTest:
    """Two rows on the same pairs, compared by McNemar's exact test."""

    rows: tuple[str, str]
    only_first: int
    """Pairs that the first row alone solved."""
    only_second: int
    """Pairs that the second row alone solved."""
    p: float
    """Two-sided probability of a split at least this uneven if the rows were equally good."""


def success_rate(outcomes: NDArray[np.bool_]) -> SuccessRate:
    """Rate and 95 % Wilson interval (Wilson 1927, JASA 22:209) of independent outcomes.

    Args:
        outcomes: (P,) True where a pair succeeded.

    Raises:
        ValueError: if there are no outcomes.

    >>> rate = success_rate(np.array([True] * 45 + [False] * 5))
    >>> round(rate.low, 3), rate.rate, round(rate.high, 3)
    (0.786, 0.9, 0.957)
    """
    from scipy.stats import binomtest

    if outcomes.size == 0:
        raise ValueError("a success rate needs at least one pair")
    test = binomtest(int(outcomes.sum()), outcomes.size)
    interval = test.proportion_ci(confidence_level=0.95, method="wilson")
    return SuccessRate(
        successes=int(outcomes.sum()),
        rate=float(outcomes.mean()),
        low=float(interval.low),
        high=float(interval.high),
    )


def mcnemar(
    rows: tuple[str, str], first: NDArray[np.bool_], second: NDArray[np.bool_]
) -> PairedTest:
    """Exact McNemar test (McNemar 1947): only pairs on which the rows differ say anything.

    Args:
        rows: names of the two rows.
        first: (P,) outcomes of the first row.
        second: (P,) outcomes of the second on the same pairs.

    Raises:
        ValueError: if the rows were not run on equally many pairs.

    >>> mcnemar(("a", "b"), np.array([True] * 5 + [False]), np.zeros(6, bool)).p
    0.0625
    """
    from scipy.stats import binomtest

    if first.shape != second.shape:
        raise ValueError(f"rows must share their pairs, got {first.size} and {second.size}")
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    differ = only_first + only_second
    p = float(binomtest(only_first, differ).pvalue) if differ else 1.0
    return PairedTest(rows=rows, only_first=only_first, only_second=only_second, p=p)


def p_value(p: float) -> str:
    """A probability with as many digits as say something.

    >>> p_value(2e-7), p_value(0.0526), p_value(0.8918)
    ('p < 0.001', 'p = 0.053', 'p = 0.89')
    """
    if p < 0.001:
        return "p < 0.001"
    return f"p = {p:.3f}" if p < 0.095 else f"p = {p:.2f}"


# -- one pair ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What happened to one pair in one row."""

    row: str
    pair: int
    terminal: bool
    """Inside the threshold at each of the last 5 control steps of the budget."""
    anytime: bool
    """Inside the threshold after some control step."""
    distance_m: tuple[float, ...]
    """Distance to the goal at the start and after each control step, budget + 1 numbers."""
    latency_ms: tuple[float, ...]
    """Time of each decision; empty for rows that do not plan."""
    evaluations_per_decision: int
    inside: tuple[tuple[int, int], ...] | None = None
    """First and last control step of each stretch of success, with all that the task asks beside
    the distance; None where a run is older than this field."""


def stretches(inside: Sequence[bool]) -> tuple[tuple[int, int], ...]:
    """First and last control step of each stretch inside the threshold; steps count from 1.

    >>> stretches([False, True, True, False, True])
    ((2, 3), (5, 5))
    """
    edges = np.flatnonzero(np.diff([False, *inside, False]))
    return tuple((int(a) + 1, int(b)) for a, b in edges.reshape(-1, 2))


@dataclass(frozen=True, kw_only=True)
class Film:
    """What it looked like."""

    frames: NDArray[np.uint8]
    """(n, H, W, 3) pictures."""
    steps: NDArray[np.int64]
    """(n,) control step of each; the first is 0, the last the budget."""
    goal: NDArray[np.uint8]
    """(H, W, 3) goal image."""


# -- tables -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Time of a decision at batch 1 [ms]."""

    p50: float
    p95: float


@dataclass(frozen=True, kw_only=True)
class RowResult:
    """One line of the table."""

    row: str
    pairs: int
    terminal: SuccessRate
    anytime: SuccessRate
    latency_ms: Latency | None
    """None for rows that do not plan."""
    evaluations_per_decision: int
    decisions_per_episode: float


@dataclass(frozen=True, kw_only=True)
class ManifestRef:
    """Which manifest the pairs came from."""

    name: str
    sha256: str
    env: str
    tier: str
    budget: int
    threshold: float
    """[m]"""
    control_dt: float
    """Seconds per control step."""


@dataclass(frozen=True, kw_only=True)
class ModelRef:
    """Which model the agent's rows used."""

    name: str
    sha256: str
    labels_used: list[str]
    """Simulator truth that was used in training; empty if none."""
    taught_by: str = ""
    """What training learned from, see `goalsight.provenance.taught_by`; empty if nobody says."""


@dataclass(frozen=True, kw_only=True)
class CheckpointRef(ModelRef):
    """The same with all that the checkpoint says of itself."""

    card: dict[str, Any]
    """The checkpoint's own card."""


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """Where a table comes from."""

    schema: int
    goalsight: str
    commit: str | None
    """Of goalsight when the pairs were played; several if it changed."""
    command: str
    hardware: str
    """Of every machine that played."""
    device: str
    """Torch device the agent ran on."""
    agent: dict[str, Any] | None
    """How the agent planned, every setting of `AgentConfig`; None if no row needed one."""
    renderer: str
    mujoco: str
    seed: int


@dataclass(frozen=True, kw_only=True, repr=False)
class Results(Metadata):
    """Everything in `results.json`; field by field its shape. Prints as its table."""

    manifest: ManifestRef
    checkpoint: CheckpointRef | None
    """None if no row needed one."""
    rows: list[RowResult]
    mcnemar: list[PairedTest]
    """Every two rows compared on terminal success."""
    pairs: list[Outcome]
    player: dict[str, Any] | None = None
    """Who the row `player` is, see `goalsight.benchmark.policies`; None if there was none."""

    def row(self, name: str) -> RowResult:
        """A line of the table.

        Raises:
            UserError: if there is none of that name; lists those that there are.
        """
        for row in self.rows:
            if row.row == name:
                return row
        names = ", ".join(row.row for row in self.rows)
        raise UserError(f"no row {name!r} in the run of {self.manifest.name}; it has: {names}")

    def __rich__(self) -> RenderableType:
        """The table for a terminal, and how the rows with a model compare."""
        from rich.console import Group
        from rich.text import Text

        lines = comparisons(self, LEARNED_ROWS)
        told = ["pair by pair, exact McNemar:", *(f"  {line}" for line in lines)] if lines else []
        return Group(_table(self), *map(Text, told))

    def __str__(self) -> str:
        """The same as text."""
        return _printed(self)

    __repr__ = __str__


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """One manifest of a suite; its pairs are in its own folder's `results.json`."""

    folder: str
    """Name of its folder in the suite's."""
    manifest: ManifestRef
    rows: list[RowResult]
    mcnemar: list[PairedTest]
    """Rows that act by a learned model, every two of them, on terminal success."""
    left_out: str
    """Which rows are not there and why; empty where all are."""


@dataclass(frozen=True, kw_only=True, repr=False)
class SuiteResults(Metadata):
    """Everything in `suite.json`; field by field its shape. Prints as its table."""

    suite: str
    """Name of the suite."""
    checkpoint: ModelRef | None
    tasks: list[TaskResult]

    def __rich__(self) -> RenderableType:
        """The table for a terminal."""
        return _suite_table(self)

    def __str__(self) -> str:
        """The same as text."""
        return _printed(self)

    __repr__ = __str__


def _printed(results: Results | SuiteResults) -> str:
    from rich.console import Console

    console = Console(file=io.StringIO(), width=100, color_system=None)
    with console.capture() as captured:
        console.print(results)
    return "\n".join(line.rstrip() for line in captured.get().splitlines()).strip("\n")


def _table(results: Results) -> Table:
    """The table of a run, intervals in percent."""
    from rich import box
    from rich.table import Table

    title = f"{results.manifest.name}, {results.rows[0].pairs} pairs, 95 % intervals"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("row")
    for name in ("terminal", "anytime", "decision p50/p95", "plans"):
        table.add_column(name, justify="right")
    for row in results.rows:
        plans = str(row.evaluations_per_decision or "")
        table.add_row(row.row, _rate(row.terminal), _rate(row.anytime), _speed(row), plans)
    return table


def _suite_table(results: SuiteResults) -> Table:
    """The table of a suite, terminal success with its interval."""
    from rich import box
    from rich.table import Table

    title = f"{results.suite}, 95 % intervals, decisions p50/p95"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("task", "row"):
        table.add_column(name, no_wrap=name == "row")
    for name in ("pairs", "terminal", "anytime", "decision"):
        table.add_column(name, justify="right", no_wrap=True)
    for task in results.tasks:
        for number, row in enumerate(task.rows, start=1):
            table.add_row(
                task.manifest.name if number == 1 else "",
                row.row,
                str(row.pairs),
                _rate(row.terminal),
                f"{100 * row.anytime.rate:.0f} %",
                _speed(row),
                end_section=number == len(task.rows),
            )
    return table


def _rate(rate: SuccessRate) -> str:
    """A rate and its interval, in percent, as rich prints it."""
    text = f"{100 * rate.rate:.0f} % [{100 * rate.low:.0f}, {100 * rate.high:.0f}]"
    return text.replace("[", r"\[")


def _speed(row: RowResult) -> str:
    """Median and 95th percentile of a decision's time, empty for a row that does not plan."""
    latency = row.latency_ms
    return f"{latency.p50:.0f}/{latency.p95:.0f} ms" if latency else ""


def row_result(row: str, outcomes: Sequence[Outcome]) -> RowResult:
    """Summarise the pairs of one row."""
    latencies = np.array([ms for outcome in outcomes for ms in outcome.latency_ms])
    latency = None
    if latencies.size:
        p50, p95 = np.percentile(latencies, [50, 95])
        latency = Latency(p50=round(float(p50), 3), p95=round(float(p95), 3))
    return RowResult(
        row=row,
        pairs=len(outcomes),
        terminal=success_rate(np.array([outcome.terminal for outcome in outcomes])),
        anytime=success_rate(np.array([outcome.anytime for outcome in outcomes])),
        latency_ms=latency,
        evaluations_per_decision=max(outcome.evaluations_per_decision for outcome in outcomes),
        decisions_per_episode=latencies.size / len(outcomes),
    )


def compare(rows: Sequence[str], outcomes: Sequence[Outcome]) -> list[PairedTest]:
    """McNemar's test on terminal success between every two rows."""
    terminal = {
        row: np.array([outcome.terminal for outcome in outcomes if outcome.row == row])
        for row in rows
    }
    return [mcnemar((a, b), terminal[a], terminal[b]) for a, b in combinations(rows, 2)]


def comparisons(results: Results, rows: Collection[str]) -> list[str]:
    """One line for every two of some rows, the later one of the table against the earlier one.

    Args:
        results: of a run.
        rows: that are worth comparing; those that were not played are left out.
    """
    tests = [test for test in results.mcnemar if set(test.rows) <= set(rows)]
    return [
        f"{test.rows[1]} against {test.rows[0]}: {test.only_second} won, {test.only_first} lost, "
        + p_value(test.p)
        for test in tests
    ]


def compare_runs(
    first: Results,
    second: Results,
    rows: tuple[str, str] = ("agent", "agent"),
    *,
    pairs: int | None = None,
) -> PairedTest:
    """McNemar's exact test on the terminal success of a row of one run and a row of another.

    Args:
        first: results of one run.
        second: results of the other, on the same manifest.
        rows: whose row of each.
        pairs: compare the first so many pairs; None wants both runs to have played the same ones.

    Returns:
        `only_first` are the pairs that `first` won, `only_second` those it lost.

    Raises:
        UserError: if the runs are of two manifests or of different pairs, a row is missing, or
            pairs is not a number of pairs.
    """
    one, other = first.manifest, second.manifest
    if one.sha256 != other.sha256:
        raise UserError(
            f"the runs are of two manifests, {one.name} ({one.sha256[:12]}) and {other.name} "
            f"({other.sha256[:12]}); only identical pairs can be compared"
        )
    if pairs is not None and pairs < 1:
        raise UserError(f"pairs must be at least 1, got {pairs}")
    won, lost = _terminal(first, rows[0]), _terminal(second, rows[1])
    if pairs is not None:
        won, lost = _first(won, pairs), _first(lost, pairs)
    if won.keys() != lost.keys():
        most = min(len(won), len(lost))
        raise UserError(
            f"the runs played {len(won)} and {len(lost)} pairs of {one.name}; compare the first "
            f"ones of both with --pairs {most}"
        )
    order = sorted(won)
    return mcnemar(rows, _outcomes(won, order), _outcomes(lost, order))


def verdict(test: PairedTest) -> str:
    """The test in words, the first run's wins first.

    >>> verdict(PairedTest(rows=("a", "b"), only_first=45, only_second=23, p=0.0103))
    '45 won, 23 lost, p = 0.010'
    """
    return f"{test.only_first} won, {test.only_second} lost, {p_value(test.p)}"


def _terminal(results: Results, row: str) -> dict[int, bool]:
    found = {outcome.pair: outcome.terminal for outcome in results.pairs if outcome.row == row}
    if not found:
        names = ", ".join(one.row for one in results.rows)
        raise UserError(f"no row {row!r} in the run of {results.manifest.name}; it has: {names}")
    return found


def _first(outcomes: dict[int, bool], pairs: int) -> dict[int, bool]:
    """The first so many pairs of the manifest; what was not played of them stays missing."""
    return {pair: terminal for pair, terminal in outcomes.items() if pair < pairs}


def _outcomes(found: dict[int, bool], order: list[int]) -> NDArray[np.bool_]:
    return np.array([found[pair] for pair in order], bool)


# -- metadata ---------------------------------------------------------------------------------


def metadata(
    manifest: Manifest, device: str, seed: int, agent: Agent | None, env: Env
) -> dict[str, Any]:
    """The fields of `Results` that are known before a pair is played."""
    import mujoco

    return {
        "schema": SCHEMA,
        "goalsight": __version__,
        "device": device,
        "agent": _settings(agent),
        "renderer": task_of(env).renderer,
        "mujoco": mujoco.__version__,
        "seed": seed,
        "manifest": ManifestRef(
            name=manifest.name,
            sha256=manifest.hash,
            env=manifest.env,
            tier=manifest.tier,
            budget=manifest.budget,
            threshold=manifest.threshold,
            control_dt=task_of(env).control_dt,
        ),
        "checkpoint": None if agent is None else _reference(agent),
        "player": None,
    }


def joined(values: Iterable[str | None]) -> str | None:
    """What several places say: each once, in order of appearance.

    >>> joined(["a processor", "another", None, "another + a third"])
    'a processor + another + a third'
    """
    parts = [part for value in values if value for part in value.split(_AND)]
    return _AND.join(dict.fromkeys(parts)) or None


def command() -> str:
    """The command line of this process, without the shard: the table is that of all of them."""
    words, kept = iter(sys.argv[1:]), list[str]()
    for word in words:
        if word == "--shard":
            next(words, None)
        elif not word.startswith("--shard="):
            kept.append(word)
    program = Path(sys.argv[0]).name
    return shlex.join(["goalsight" if program == "main.py" else program, *kept])


def _settings(agent: Agent | None) -> dict[str, Any] | None:
    """How the agent plans, and from which memory it takes sub-goals if it does."""
    if agent is None:
        return None
    memory = {} if agent.memory_sha256 is None else {"memory": agent.memory_sha256}
    return asdict(agent.config) | memory


def _reference(agent: Agent) -> CheckpointRef:
    """What the results say of the agent's model."""
    return CheckpointRef(
        name=agent.name,
        sha256=agent.checkpoint_sha256,
        labels_used=agent.labels_used,
        taught_by=agent.taught_by,
        card=agent.card,
    )


# -- files ------------------------------------------------------------------------------------


def to_json(results: Results | SuiteResults) -> dict[str, Any]:
    """`results.json` or `suite.json` as plain types."""
    return asdict(results)


def load_results(path: Path) -> Results:
    """Read a `results.json`.

    Raises:
        UserError: if the file is missing or not of this schema.
    """
    content = _read(path, "goalsight bench")
    try:
        checkpoint = content["checkpoint"]
        return Results(
            **{
                "agent": None,  # runs from before it was written down
                **content,
                **_table_from_json(content),
                "checkpoint": CheckpointRef(**checkpoint) if checkpoint else None,
                "pairs": [outcome_from_json(pair) for pair in content["pairs"]],
            }
        )
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a results.json of goalsight: {error}") from None


def load_suite_results(path: Path) -> SuiteResults:
    """Read a `suite.json`.

    Raises:
        UserError: if the file is missing or not of this schema.
    """
    content = _read(path, "goalsight bench --suite")
    try:
        model = content["checkpoint"]
        tasks = [TaskResult(**{**task, **_table_from_json(task)}) for task in content["tasks"]]
        return SuiteResults(
            **{**content, "checkpoint": ModelRef(**model) if model else None, "tasks": tasks}
        )
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a suite.json of goalsight: {error}") from None


def outcome_from_json(fields: Mapping[str, Any]) -> Outcome:
    """An outcome as it was before `asdict` and JSON.

    Raises:
        TypeError, KeyError: if the fields are not those of an outcome.
    """
    sequences = {name: tuple(fields[name]) for name in ("distance_m", "latency_ms")}
    inside = fields.get("inside")
    spans = None if inside is None else tuple((first, last) for first, last in inside)
    return Outcome(**{**fields, **sequences, "row": row_name(fields["row"]), "inside": spans})


def row_name(name: str) -> str:
    """What a row is called now."""
    return RENAMED_ROWS.get(name, name)


def _read(path: Path, command: str) -> dict[str, Any]:
    """The content of a file of this schema."""
    content = read_json(path, advice=f"give the folder of a run of {command}")
    if "schema" in content and content["schema"] != SCHEMA:
        raise UserError(f"{path} has schema {content['schema']}, this goalsight reads {SCHEMA}")
    return content


def _table_from_json(content: Mapping[str, Any]) -> dict[str, Any]:
    """Manifest, rows and tests as they were before `asdict` and JSON."""
    rows = [
        RowResult(
            **{
                **row,
                "row": row_name(row["row"]),
                "terminal": SuccessRate(**row["terminal"]),
                "anytime": SuccessRate(**row["anytime"]),
                "latency_ms": Latency(**row["latency_ms"]) if row["latency_ms"] else None,
            }
        )
        for row in content["rows"]
    ]
    tests = [
        PairedTest(**{**test, "rows": tuple(map(row_name, test["rows"]))})
        for test in content["mcnemar"]
    ]
    return {"manifest": ManifestRef(**content["manifest"]), "rows": rows, "mcnemar": tests}


def save_film(folder: Path, outcome: Outcome, film: Film) -> None:
    """Keep the pictures of a pair, losslessly."""
    replace_file(film_path(folder, outcome.row, outcome.pair), film_bytes(film))


def film_bytes(film: Film) -> bytes:
    """The content of a film's file."""
    return npz_bytes(frames=film.frames, steps=film.steps, goal=film.goal)


def film_path(folder: Path, row: str, pair: int) -> Path:
    """Where the pictures of a pair lie in the folder of a run."""
    name = f"{row}-{int(pair):04d}.npz"
    return inside(folder / EPISODES, name, source=folder / RESULTS, field="row", error=OutputError)


def load_film(folder: Path, row: str, pair: int) -> Film:
    """The pictures of a pair.

    Raises:
        OutputError: if the file is missing or damaged.
    """
    path = film_path(folder, row, pair)
    for old, now in RENAMED_ROWS.items():  # of version 0.1
        if row == now and not path.exists() and film_path(folder, old, pair).exists():
            path = film_path(folder, old, pair)
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            return Film(frames=arrays["frames"], steps=arrays["steps"], goal=arrays["goal"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise OutputError(
            f"cannot read {path} ({error}); run the benchmark again with another --out"
        ) from None
