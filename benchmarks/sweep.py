"""What settings of planning are worth on one trained model: success on identical pairs.

    python -m benchmarks.sweep --checkpoint runs/push --memory runs/push.memory --pairs 50 \
      --out runs/switches --page docs/results/DATE-switches.md
    python -m benchmarks.sweep --checkpoint runs/push --budgets 100 300 1000 --out runs/curves

The first plays the switches of configs/bench/switches.yaml, the first of them the base, all at
equal plan evaluations. The second plays every planner at so many evaluations a decision, its
defaults scaled to the budget, and draws OUT/curves.png. One benchmark a line. What is finished is
kept: the same command goes on where it was stopped. A switch that needs a head which the checkpoint
lacks, or a memory that was not given, says so in its line. OUT/table.md is made of what is there.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import yaml

from benchmarks.planners.table import budgeted
from benchmarks.timing import in_one_line
from goalsight.agent import Agent
from goalsight.agent.config import agent_config
from goalsight.benchmark import Manifest, Results, SuccessRate, find_manifest, load_manifest
from goalsight.benchmark.results import RowResult, compare_runs, load_results, verdict
from goalsight.cli.compare import write_page
from goalsight.errors import CheckpointError, MemoryFileError, UserError
from goalsight.paths import config_dir
from goalsight_planners import PLANNERS

MARKER = "switches"
"""Name of the table's place in a page."""
HEADS = ["switch", "settings", "terminal", "anytime", "against the base", "plans a control step"]
HEADS += ["decision p50"]
HORIZON, BLOCK = 5, 5
"""Of a search on a budget: action blocks ahead and control steps in one, as shipped models have."""
Found = Results | str
"""What was measured, or why it could not be."""


@dataclass(frozen=True, kw_only=True)
class Switch:
    """One line of the table."""

    settings: str = ""
    """Of the agent where they differ from the default."""
    memory: bool = False
    """Whether it takes sub-goals from the memory."""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What all lines of a table share."""

    checkpoint: Path
    memory: Path | None
    manifest: str
    pairs: int
    workers: int
    device: str
    out: Path


def read_switches(path: Path) -> dict[str, Switch]:
    """The switches of a YAML file by name, the base first.

    Raises:
        UserError: if the file is missing or not one of switches.
    """
    try:
        rows = yaml.safe_load(path.read_text(encoding="utf-8"))["rows"]
        switches = {str(name): Switch(**row) for name, row in rows.items()}
        if not switches:
            raise KeyError("rows")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except (yaml.YAMLError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path} is not a file of switches: {error}") from None
    for switch in switches.values():
        agent_config(switch.settings)  # refuses unknown settings before anything is played
    return switches


def planner_switches(budgets: Sequence[int]) -> dict[str, Switch]:
    """Every planner at every budget of evaluations a decision, by `planner budget`."""
    return {
        f"{planner} {budget}": Switch(settings=_on_budget(planner, budget))
        for planner in PLANNERS
        for budget in budgets
    }


def _on_budget(planner: str, evaluations: int) -> str:
    """The line of settings that spends at most so many evaluations."""
    config = budgeted(planner, evaluations, HORIZON, BLOCK)
    names = {field.name for field in fields(config)}
    numbers = ("samples", "iterations", "elites", "keep_elites")
    chosen = [f"planner.{name}={getattr(config, name)}" for name in numbers if name in names]
    return ",".join(["mode=search", f"planner.kind={planner}", *chosen])


def agent_of(sweep: Sweep, switch: Switch, tier: str) -> Agent | str:
    """The agent of a line as `goalsight bench` plays it on goals of a tier, or what it lacks."""
    if switch.memory and sweep.memory is None:
        return "needs --memory"
    try:
        return Agent.load(
            sweep.checkpoint,
            settings=switch.settings,
            tier=tier,
            device=sweep.device,
            memory=sweep.memory if switch.memory else None,
        )
    except (CheckpointError, MemoryFileError) as error:
        return str(error).partition(";")[0]


def measure(sweep: Sweep, name: str, switch: Switch, *, play: bool = True) -> Found | None:
    """Play what is missing of a line; None if something is and it is not to be played.

    Raises:
        SystemExit: if the benchmark failed; it has said why.
    """
    manifest = load_manifest(find_manifest(sweep.manifest, config_dir() / "bench"))
    agent = agent_of(sweep, switch, manifest.tier)
    if isinstance(agent, str):
        return agent
    folder = sweep.out / re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")
    if not is_done(folder, sweep, agent, manifest):
        if not play:
            return None
        command = [
            *(sys.executable, "-m", "goalsight.cli.main", "bench", "--rows", "agent"),
            *("--checkpoint", str(sweep.checkpoint), "--manifest", sweep.manifest),
            *("--pairs", str(sweep.pairs), "--workers", str(sweep.workers)),
            *("--device", sweep.device, "--out", str(folder)),
            *(("--settings", switch.settings) if switch.settings else ()),
            *(("--memory", str(sweep.memory)) if switch.memory else ()),
        ]
        print("goalsight", *command[3:], flush=True)
        status = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
        if status:
            raise SystemExit(status)
    return load_results(folder / "results.json")


def measure_all(
    sweep: Sweep, switches: Mapping[str, Switch], names: Sequence[str]
) -> dict[str, Found]:
    """Play what is missing of the base and of some lines; the others are there if finished.

    Raises:
        UserError: if there is no switch of a name, or the base cannot be measured.
    """
    base = next(iter(switches))
    if unknown := [name for name in names if name not in switches]:
        raise UserError(f"no switch {unknown[0]!r}; there are: {', '.join(switches)}")
    found: dict[str, Found] = {}
    for name, switch in switches.items():
        one = measure(sweep, name, switch, play=name in {base, *names})
        if name == base and isinstance(one, str):
            raise UserError(f"the base {base!r} cannot be measured: {one}")
        if one is not None:
            found[name] = one
    return found


def is_done(folder: Path, sweep: Sweep, agent: Agent, manifest: Manifest) -> bool:
    """Whether a folder has these pairs of this agent; else the benchmark continues or refuses."""
    if not (folder / "results.json").is_file():
        return False
    found = load_results(folder / "results.json")
    memory = {} if agent.memory_sha256 is None else {"memory": agent.memory_sha256}
    wanted = json.loads(json.dumps(asdict(agent.config) | memory))
    same = found.checkpoint is not None and found.checkpoint.sha256 == agent.checkpoint_sha256
    return (
        same
        and found.agent == wanted
        and found.manifest.sha256 == manifest.hash
        and _agent(found).pairs == min(sweep.pairs, len(manifest.pairs))
    )


def render(switches: Mapping[str, Switch], found: Mapping[str, Found]) -> str:
    """Markdown: a line for each switch, then what was measured on what.

    Args:
        switches: by name.
        found: what came of those that were tried, the base first.
    """
    base = next(iter(found.values()))
    assert not isinstance(base, str), "measure_all refuses"
    lines = [_line(HEADS), "|---" * len(HEADS) + "|"]
    for name, one in found.items():
        settings = f"`{switches[name].settings}`" if switches[name].settings else ""
        settings += " `--memory`" if switches[name].memory else ""
        if isinstance(one, str):
            cells = [f"not measured: {one}", *("" for _ in HEADS[3:])]
        else:
            cells = _cells(one, None if one is base else base)
        lines.append(_line([name, settings.strip(), *cells]))
    runs = [one for one in found.values() if not isinstance(one, str)]
    return "\n".join([*lines, "", _origin(runs, next(iter(found)))]) + "\n"


def _cells(results: Results, base: Results | None) -> list[str]:
    row = _agent(results)
    plans = row.evaluations_per_decision * row.decisions_per_episode / results.manifest.budget
    return [
        _percent(row.terminal),
        _percent(row.anytime),
        "" if base is None else verdict(compare_runs(results, base)),
        f"{plans:.3g}",
        f"{row.latency_ms.p50:.0f} ms" if row.latency_ms else "",
    ]


def _origin(runs: Sequence[Results], base: str) -> str:
    first = runs[0]
    assert first.checkpoint is not None  # the agent row has one
    commits = dict.fromkeys(f"`{str(run.commit)[:12]}`" for run in runs)
    labels = ", ".join(first.checkpoint.labels_used) or "none"
    return (
        f"{first.manifest.name}, {_agent(first).pairs} pairs, identical for all; terminal success "
        f"decides, 95 % Wilson intervals; pairs won and lost against the row {base}, exact "
        f"McNemar. Checkpoint {first.checkpoint.name} (`{first.checkpoint.sha256[:12]}`), labels "
        f"used: {labels}; one training seed; commit {', '.join(commits)}, {first.hardware}."
    )


def _agent(results: Results) -> RowResult:
    return next(row for row in results.rows if row.row == "agent")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _percent(rate: SuccessRate) -> str:
    return f"{100 * rate.rate:.0f} % [{100 * rate.low:.0f}, {100 * rate.high:.0f}]"


def draw(found: Mapping[str, Found], path: Path) -> None:
    """Success against evaluations: a line for each planner of `planner_switches`."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(5, 3.6))
    for shift, planner in enumerate(PLANNERS):
        rows = [
            _agent(one)
            for name, one in found.items()
            if name.startswith(f"{planner} ") and not isinstance(one, str)
        ]
        # Moved apart a little, or the whiskers would lie on each other.
        spent = [row.evaluations_per_decision * (1 + 0.03 * shift) for row in rows]
        rates = [100 * row.terminal.rate for row in rows]
        below = [100 * (row.terminal.rate - row.terminal.low) for row in rows]
        above = [100 * (row.terminal.high - row.terminal.rate) for row in rows]
        axis.errorbar(spent, rates, [below, above], label=planner, marker="o", capsize=2)
    axis.set(xscale="log", xlabel="model evaluations a decision", ylim=(0, 102))
    axis.set_ylabel("terminal success [%]")
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sweep",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="of the agent")
    parser.add_argument("--memory", type=Path, help="file of `goalsight memory build`")
    parser.add_argument("--manifest", default="push-near-dev")
    parser.add_argument("--pairs", type=int, default=50)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path("runs/switches"))
    parser.add_argument("--page", type=Path, help=f"Markdown file with a part {MARKER}")
    parser.add_argument("--only", nargs="+", help="names of the switches to play now")
    parser.add_argument("--switches", type=Path, default=config_dir() / "bench" / "switches.yaml")
    parser.add_argument(
        "--budgets", type=int, nargs="+", help="play planners at these, in place of switches"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is missing, then write the table; 2 after a line for what the user can mend."""
    given = _arguments(arguments)
    sweep = Sweep(**{field.name: getattr(given, field.name) for field in fields(Sweep)})

    def play() -> None:
        chosen = planner_switches(given.budgets) if given.budgets else read_switches(given.switches)
        found = measure_all(sweep, chosen, given.only or list(chosen))
        text = render(chosen, found)
        (sweep.out / "table.md").write_text(text, encoding="utf-8")
        if given.budgets:
            draw(found, sweep.out / "curves.png")
        if given.page is not None:
            write_page(given.page, MARKER, text)
        print(text)

    return in_one_line("python -m benchmarks.sweep", play)


if __name__ == "__main__":
    raise SystemExit(main())
