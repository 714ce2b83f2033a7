"""Ctrl-C, kill -9 and a full disk: what was committed stays, the next run goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from goalsight.data import open_dataset, validate
from goalsight.data.collect import CollectConfig, collect
from goalsight.data.writer import DatasetWriter
from goalsight.errors import OutputError

MakeConfig = Callable[..., CollectConfig]
HERE = Path(__file__).parent
SLOW = "fake_env:Fake/Slow-v0"
RUN = """
import sys; sys.path.insert(0, sys.argv[1])
from goalsight.cli.main import main
from goalsight.data.collect import run
run.git_commit = lambda: None
if __name__ == "__main__":
    sys.exit(main(sys.argv[2:]))
"""


def start(folder: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    script = folder / "run.py"
    script.write_text(RUN)
    command = ["collect", "--env", SLOW, "--out", str(out), "--steps", "12", "--size", "20"]
    return subprocess.Popen(
        [sys.executable, str(script), str(HERE), *command, *more],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def committed(out: Path) -> int:
    info = out / "meta/info.json"
    return int(json.loads(info.read_text())["total_episodes"]) if info.exists() else 0


def wait_for_episodes(run: subprocess.Popen[str], out: Path, count: int) -> None:
    while committed(out) < count:  # pytest ends a test that hangs
        assert run.poll() is None, run.communicate()
        time.sleep(0.01)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_leaves_a_whole_dataset_with_statistics(tmp_path: Path, workers: str) -> None:
    out = tmp_path / "d"
    run = start(tmp_path, out, "--episodes", "500", "--workers", workers)
    wait_for_episodes(run, out, 2)
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does: parent and workers alike
    _, errors = run.communicate()
    assert run.returncode == 130
    assert "Traceback" not in errors
    assert validate(out) == []
    rows = json.loads((out / "meta/stats.json").read_text())["index"]["count"]
    assert rows == [12 * committed(out)]
    assert not (out / ".partial").exists()


def test_after_kill_9_the_next_run_gives_what_one_run_gives(
    tmp_path: Path, config_for: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit is no part of it: it may be another one by the time of the next run."""
    monkeypatch.setattr("goalsight.data.collect.run.git_commit", lambda: None)
    out = tmp_path / "killed"
    run = start(tmp_path, out, "--episodes", "500", "--workers", "2", "--video", "none")
    wait_for_episodes(run, out, 3)
    run.kill()
    run.communicate()
    assert validate(out) == []
    episodes = committed(out) + 2
    collect(config_for(out, env=SLOW, episodes=episodes, video="none"))
    collect(config_for(tmp_path / "whole", env=SLOW, episodes=episodes, video="none"))
    killed, whole = open_dataset(out), open_dataset(tmp_path / "whole")
    assert killed.fingerprint() == whole.fingerprint()
    assert validate(out) == []
    names = {str(file.relative_to(out)) for file in out.rglob("*")}
    assert names == {str(file.relative_to(whole.path)) for file in whole.path.rglob("*")}


def test_what_was_written_but_not_committed_does_not_count(
    video_dataset: Path, config_for: MakeConfig, made_once: dict[str, Path]
) -> None:
    """A run killed between the episode's files and info.json leaves them behind."""
    collect(config_for(video_dataset, episodes=5))
    info = (made_once["h264"] / "meta/info.json").read_bytes()
    (video_dataset / "meta/info.json").write_bytes(info)
    with (video_dataset / "meta/goalsight_episodes.jsonl").open("a") as records:
        records.write('{"episode": 5, "leng')
    dataset = open_dataset(video_dataset)
    assert dataset.fingerprint() == open_dataset(made_once["h264"]).fingerprint()
    summary = collect(config_for(video_dataset, episodes=5))
    assert (summary.kept, summary.episodes) == (4, 5)
    assert validate(video_dataset) == []


def test_a_full_disk_ends_in_one_line_and_a_usable_dataset(
    tmp_path: Path, config_for: MakeConfig
) -> None:
    """A limit on file size stands for the full disk: the same OSError from the same calls."""
    resource = pytest.importorskip("resource")
    collect(config_for(tmp_path / "d", episodes=2, video="none"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(
            OutputError, match=r"cannot write to .* episodes committed are kept \(2\)"
        ):
            collect(config_for(tmp_path / "d", episodes=4, video="none"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert validate(tmp_path / "d") == []
    assert collect(config_for(tmp_path / "d", episodes=4, video="none")).episodes == 4


def test_two_runs_never_write_to_one_dataset(bare_dataset: Path, config_for: MakeConfig) -> None:
    provenance = open_dataset(bare_dataset).provenance
    with DatasetWriter(bare_dataset, provenance), pytest.raises(OutputError, match="another"):
        collect(config_for(bare_dataset, episodes=9, video="none"))


def test_statistics_that_do_not_cover_every_row_are_made_again(
    bare_dataset: Path, config_for: MakeConfig
) -> None:
    path = bare_dataset / "meta/stats.json"
    wanted = path.read_text()
    stale = json.loads(wanted)
    stale["index"]["count"] = [12]
    path.write_text(json.dumps(stale))
    collect(config_for(bare_dataset, video="none"))
    assert path.read_text() == wanted
