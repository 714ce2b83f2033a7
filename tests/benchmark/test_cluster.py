"""The same pairs over Ray: two workers of a Ray on this machine, where Ray is installed."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from goalsight.benchmark import BenchmarkConfig, Manifest, load_results, run_benchmark
from goalsight.benchmark.manifest import save_manifest
from goalsight.errors import UserError

# Half a minute each on two free cores, minutes on busy ones: a Ray of one's own starts slowly.
# Where Ray is installed: python -m pytest -m slow tests/benchmark/test_cluster.py
HAS_RAY = importlib.util.find_spec("ray") is not None


@pytest.mark.skipif(HAS_RAY, reason="Ray is installed")
def test_without_ray_the_command_says_what_to_install(reach: Manifest, tmp_path: Path) -> None:
    config = BenchmarkConfig(out=tmp_path / "run", rows=("zero",), ray="auto")
    with pytest.raises(UserError, match=r"--ray needs Ray: pip install 'goalsight\[ray\]'"):
        run_benchmark(reach, config)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not HAS_RAY, reason="needs Ray: pip install 'goalsight[ray]'")
def test_two_ray_workers_make_the_table_of_one_process(reach: Manifest, tmp_path: Path) -> None:
    """A process of its own: Ray leaves threads and sockets behind until its process ends."""
    path, out = save_manifest(reach, tmp_path), tmp_path / "ray"
    words = ["bench", "--manifest", str(path), "--rows", "random,zero,expert", "--pairs", "2"]
    words += ["--ray", "local", "--workers", "2", "--out", str(out)]
    command = [sys.executable, "-m", "goalsight.cli.main", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    config = BenchmarkConfig(out=tmp_path / "one", rows=("random", "zero", "expert"), pairs=2)
    assert load_results(out / "results.json").pairs == run_benchmark(reach, config).pairs
    films = {path.name: path.read_bytes() for path in (tmp_path / "one" / "episodes").iterdir()}
    assert {path.name: path.read_bytes() for path in (out / "episodes").iterdir()} == films


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not HAS_RAY, reason="needs Ray: pip install 'goalsight[ray]'")
def test_a_cluster_that_is_not_there_is_one_line(reach: Manifest, tmp_path: Path) -> None:
    words = ["bench", "--manifest", str(save_manifest(reach, tmp_path)), "--rows", "zero"]
    words += ["--ray", "auto", "--out", str(tmp_path / "run")]
    command = [sys.executable, "-m", "goalsight.cli.main", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no Ray cluster at auto" in done.stderr
    assert "give --ray local" in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not HAS_RAY, reason="needs Ray: pip install 'goalsight[ray]'")
def test_what_a_user_can_mend_comes_back_from_a_worker_as_it_is(
    reach: Manifest, tmp_path: Path
) -> None:
    program = f"""
from pathlib import Path
from functools import partial
from goalsight.benchmark.manifest import load_manifest
from goalsight.benchmark.policies import PolicySpec
from goalsight.benchmark.run import Job, make_worker
from goalsight.errors import CheckpointError
from goalsight.executor import Executor
spec = PolicySpec(checkpoint=Path("nowhere"), device="cpu")
manifest = load_manifest(Path({str(save_manifest(reach, tmp_path))!r}))
job = Job(manifest=manifest, spec=spec, size=32, film_every=5, seed=0)
try:
    with Executor(partial(make_worker, job), workers=1, ray="local") as players:
        list(players.run([("agent", 0)]))
except CheckpointError as error:
    print("refused:", error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "refused: no checkpoint 'nowhere'" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not HAS_RAY, reason="needs Ray: pip install 'goalsight[ray]'")
def test_an_actor_that_dies_costs_its_job_once(tmp_path: Path) -> None:
    program = f"""
import sys
from functools import partial
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from test_executor import Work
from goalsight.executor import Executor, WorkerLostError
with Executor(partial(Work, Path({str(tmp_path)!r})), workers=2, ray="local") as cluster:
    print(sorted(cluster.run([("die once", 2.0), ("sleep", 0.0), ("sleep", 0.1)])))
    try:
        list(cluster.run([("die", 0.0)]))
    except WorkerLostError as error:
        print("lost:", error)
"""
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert "[(('die once', 2.0), 2.0), (('sleep', 0.0), 0.0), (('sleep', 0.1), 0.1)]" in done.stdout
    assert "lost: a worker died, and another one" in done.stdout
