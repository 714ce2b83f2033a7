"""A suite: one table of several tasks, whoever played which pair, however often it was stopped."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.benchmark.test_runner import wait_until

from goalsight.benchmark import (
    BenchmarkConfig,
    Manifest,
    find_manifest,
    load_manifest,
    save_manifest,
)
from goalsight.benchmark.policies import PolicySpec
from goalsight.benchmark.results import SUITE, load_suite_results, to_json
from goalsight.benchmark.run import Job, Worker
from goalsight.benchmark.suite import find_suite, prepare_suite, read_suite
from goalsight.checkpoint import save_checkpoint
from goalsight.cli.main import main
from goalsight.errors import UserError
from goalsight.models import WorldModel, WorldModelConfig
from goalsight.paths import config_dir

BENCH = config_dir() / "bench"
SUITES = BENCH / "suites"
ROWS = ["random", "zero"]
Bench = Callable[..., list[str]]


def shortened(name: str, manifest: Manifest, pairs: int) -> Manifest:
    return replace(
        manifest,
        name=name,
        budget=20,
        pairs=manifest.pairs[:pairs],
        start=manifest.start[:pairs],
        goal=manifest.goal[:pairs],
    )


@pytest.fixture(scope="module")
def bench(reach: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Arguments that play five pairs of two tasks into a folder, by rows that need no model."""
    folder = tmp_path_factory.mktemp("suite")
    manifests = [shortened("reach-a", reach, 3), shortened("reach-b", reach, 2)]
    files = [str(save_manifest(manifest, folder)) for manifest in manifests]
    suite = folder / "small.yaml"
    suite.write_text(yaml.safe_dump({"manifests": files, "rows": ROWS}), encoding="utf-8")
    given = ["--suite", str(suite), "--workers", "1"]
    return lambda out, *more: ["bench", *given, "--out", str(out), *more]


@pytest.fixture(scope="module")
def whole(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The suite, played in one go."""
    out = tmp_path_factory.mktemp("whole") / "out"
    assert main(bench(out)) == 0
    return out


def process(arguments: list[str]) -> subprocess.Popen[bytes]:
    """The command in a process of its own."""
    command = [sys.executable, "-m", "goalsight.cli.main", *arguments]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


# After three finished pairs nothing more is written down, until somebody ends the process.
STUCK = """
import sys, time
from goalsight.benchmark.run import Store
from goalsight.cli.main import main
add, left = Store.add, [3]
def stuck(*given, **named):
    if not left[0]:
        time.sleep(3600)
    left[0] -= 1
    add(*given, **named)
Store.add = stuck
main(sys.argv[1:])
"""


def timeless(value: Any) -> Any:
    """A result without what may differ: times, and what wrote it."""
    differs = {"latency_ms", "command", "commit"}
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if k not in differs}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def read(path: Path) -> Any:
    return timeless(json.loads(path.read_text(encoding="utf-8")))


def same(out: Path, other: Path) -> bool:
    """Whether two folders of the suite say the same, task by task and all together."""
    files = ["suite.json", "reach-a/results.json", "reach-b/results.json"]
    return all(read(out / file) == read(other / file) for file in files)


def lines(out: Path) -> list[str]:
    """Every pair that was ever written down as finished."""
    files = sorted(out.glob("*/pairs*.jsonl"))
    return [line for file in files for line in file.read_text().splitlines()]


def played(out: Path) -> Counter[tuple[str, str, int]]:
    """How often each pair of each row of each task was finished."""
    found: Counter[tuple[str, str, int]] = Counter()
    for file in out.glob("*/pairs*.jsonl"):
        for line in file.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                pair = json.loads(line)
                found[file.parent.name, pair["row"], pair["pair"]] += 1
    return found


def test_a_suite_is_a_folder_a_task_and_one_table(whole: Path) -> None:
    for task in ("reach-a", "reach-b"):
        assert (whole / task / "report.html").is_file()
        assert len(list((whole / task / "episodes").glob("*.npz"))) == 2 * (2 + (task[-1] == "a"))
    results = load_suite_results(whole / SUITE)
    assert [task.manifest.name for task in results.tasks] == ["reach-a", "reach-b"]
    assert [[row.pairs for row in task.rows] for task in results.tasks] == [[3] * 2, [2] * 2]
    assert json.loads(json.dumps(to_json(results))) == json.loads((whole / SUITE).read_text())
    table = (whole / "suite.md").read_text()
    assert "| reach-b | zero | 2 | 0 % [0, 66] |" in table
    assert all(fact in table for fact in ("command `", "commit `", "hardware ", "seed 0"))


def test_a_suite_of_version_0_1_loads_by_the_new_names_of_its_rows(
    whole: Path, tmp_path: Path
) -> None:
    text = (whole / SUITE).read_text()
    old = text.replace('"zero"', '"hold"')
    (tmp_path / SUITE).write_text(old)
    assert old != text
    assert load_suite_results(tmp_path / SUITE) == load_suite_results(whole / SUITE)


def test_shards_that_play_at_once_in_one_folder_make_the_same_table(
    bench: Bench, whole: Path, tmp_path: Path
) -> None:
    """Two processes; the one that ends last finds everything there and writes the table."""
    out = tmp_path / "out"
    other = process(bench(out, "--shard=2/2"))
    assert main(bench(out, "--shard", "1/2")) == 0
    assert other.wait() == 0
    assert set(played(out).values()) == {1}
    assert same(out, whole)
    assert "--shard" not in json.loads((out / SUITE).read_text())["command"]


def test_a_shard_whose_others_are_not_done_says_what_is_missing(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last of eight has none of the six pairs of the one task and none of the four."""
    out = tmp_path / "out"
    assert main(bench(out, "--shard", "8/8")) == 0
    said = capsys.readouterr().out
    assert f"this shard is played; no table of {out} yet: 10 of 10 pairs are missing" in said
    assert "(reach-a: random 3, zero 3; reach-b: random 2, zero 2)" in said
    assert not (out / SUITE).exists()
    assert not list(out.glob("*/results.json"))


def test_a_killed_suite_goes_on_without_losing_or_repeating_a_pair(
    bench: Bench, whole: Path, tmp_path: Path
) -> None:
    """SIGKILL, in the middle: what was finished stays to the byte, the rest is played once."""
    out = tmp_path / "out"
    run = subprocess.Popen([sys.executable, "-c", STUCK, *bench(out)], stdout=subprocess.DEVNULL)
    wait_until(lambda: run.poll() is not None or sum(played(out).values()) >= 3)
    run.kill()
    run.wait()
    kept = played(out)
    assert sum(kept.values()) == 3
    assert main(bench(out)) == 0
    again = played(out)
    assert set(again.values()) == {1}
    assert len(again) == 10
    assert set(kept) <= set(again)
    assert same(out, whole)


def test_a_finished_suite_is_read_not_played_and_its_reports_stay(
    bench: Bench, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = whole / "reach-a" / "report.html"
    before = report.stat().st_mtime_ns, lines(whole)
    assert main(bench(whole, "--json")) == 0
    assert (report.stat().st_mtime_ns, lines(whole)) == before
    content = json.loads(capsys.readouterr().out)
    assert content["suite"] == "small"
    assert Path(content["index"]).is_file()


def test_progress_counts_the_pairs_of_all_tasks(bench: Bench, whole: Path) -> None:
    config = BenchmarkConfig(out=whole, rows=("zero",))
    path = Path(bench(whole)[2])
    run = prepare_suite(path, config, BENCH)
    steps: list[tuple[int, int]] = []
    done = list(run.play(lambda done, total: steps.append((done, total))))
    assert [folder.name for folder in done] == ["reach-a", "reach-b"]
    assert steps == [(6, 10), (10, 10)]


def test_an_agent_plays_a_pair_alike_whatever_it_played_before(
    reach: Manifest, tmp_path: Path
) -> None:
    """What makes shards harmless: another shard's worker meets the pairs in another order."""
    save_checkpoint(tmp_path / "model", WorldModel(WorldModelConfig(image_size=32)).eval(), {})
    settings = "planner.samples=8,planner.iterations=2,planner.horizon=2"
    spec = PolicySpec(checkpoint=tmp_path / "model", device="cpu", settings=settings)
    manifest = shortened("reach-c", reach, 2)
    job = Job(manifest=manifest, spec=spec, size=32, film_every=5, seed=0)
    orders = ((0, 1), (1, 0))
    found = [
        {pair: worker.play("agent", pair) for pair in order}
        for order in orders
        for worker in [Worker(job)]
    ]
    for pair in (0, 1):
        one, other = (timeless(asdict(played[pair].outcome)) for played in found)
        assert one == other
        assert found[0][pair].film == found[1][pair].film


def test_a_model_plays_where_its_actions_fit_and_the_table_says_where_not(
    bench: Bench, tmp_path: Path
) -> None:
    """A model of six numbers: only the rows without one are left."""
    model = WorldModel(WorldModelConfig(image_size=32, action_dim=6)).eval()
    save_checkpoint(tmp_path / "arm6", model, {})
    more = ["--checkpoint", str(tmp_path / "arm6"), "--pairs", "1", "--rows", "random,zero,agent"]
    assert main(bench(tmp_path / "out", *more)) == 0
    task = load_suite_results(tmp_path / "out" / SUITE).tasks[0]
    assert [row.row for row in task.rows] == ["random", "zero"]
    why = "agent: arm6 plans actions of 6 numbers, the task takes 4"
    assert task.left_out == why
    assert f"reach-a, not played: {why}" in (tmp_path / "out" / "suite.md").read_text()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--manifest", "reach-near"], "give one of --manifest NAME, --suite NAME, or --env ID"),
        (["--suite", "croe"], "no suite 'croe', did you mean 'core'? give a YAML file or one of: "),
        (["--shard", "4/3"], "shard must be 1/N to N/N, got 4/3"),
        (["--seed", "3"], "holds a run with seed 0, this one has 3; choose another --out"),
    ],
)
def test_what_a_user_can_mend_is_one_line(
    bench: Bench, whole: Path, more: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (whole / SUITE).read_bytes()
    assert main(bench(whole, *more)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert (whole / SUITE).read_bytes() == before


def test_a_folder_with_something_else_is_left_alone(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    assert main(bench(tmp_path)) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    "text", ["[]", "manifests: push-near", "rows: [zero]", "manifests: [a]\nsleep: 3", "a: [", "3"]
)
def test_a_file_that_is_no_suite_says_so(text: str, tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"s.yaml is not a suite of manifests, rows and pairs"):
        read_suite(file)


@pytest.mark.parametrize("name", sorted(path.stem for path in SUITES.glob("*.yaml")))
def test_every_shipped_suite_names_manifests_that_are_there(name: str) -> None:
    for manifest in read_suite(find_suite(name, SUITES)).manifests:
        assert load_manifest(find_manifest(manifest, BENCH)).name == manifest


def test_dev_is_core_on_pairs_of_its_own_and_full_is_all_the_rest() -> None:
    suites = {name: read_suite(SUITES / f"{name}.yaml") for name in ("core", "dev", "full")}
    core, dev, full = (asdict(suites[name])["manifests"] for name in ("core", "dev", "full"))
    assert dev == tuple(f"{name}-dev" for name in core)
    shipped = {path.stem for path in BENCH.glob("*.json")}
    assert set(full) == {name for name in shipped if not name.endswith("-dev")}
