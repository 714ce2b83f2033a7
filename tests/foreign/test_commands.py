"""Every command on environments that nobody here wrote, by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from goalsight.benchmark import load_manifest
from goalsight.data import open_dataset

DOT = "toy_env:Toy/Dot-v0?goal=observation:0:2,threshold=0.05,proprio=0:2"
BALL = "toy_env:Toy/Ball-v0?camera=above"
Run = Callable[..., tuple[int, str, str]]


def test_the_same_seed_draws_the_same_pairs_and_a_rerun_takes_them(
    tmp_path: Path, run: Run
) -> None:
    argv = ["bench", "--env", BALL, "--rows", "zero", "--pairs", "3", "--workers", "1", "--json"]
    hashes = []
    for name in ("a", "a", "b"):
        status, out, err = run(*argv, "--budget", "6", "--out", str(tmp_path / name))
        assert status == 0, err
        hashes.append(json.loads(out)["manifest"]["sha256"])
    assert len(set(hashes)) == 1
    path = next((tmp_path / "a" / "manifest").glob("*.json"))
    manifest = load_manifest(path)
    assert (manifest.name, len(manifest.pairs)) == ("toy-ball-v0-near-0", 3)
    assert min(pair.displacement for pair in manifest.pairs) > 0.1
    status, _, err = run(*argv, "--seed", "1", "--out", str(tmp_path / "a"))
    assert status == 2
    assert "are not those asked for; choose another --out" in err
    states = path.with_suffix(".npz")
    states.write_bytes(states.read_bytes()[:-1] + b"?")
    assert "does not have the hash" in run(*argv, "--out", str(tmp_path / "a"))[2]


def test_a_policy_of_the_users_own_collects(tmp_path: Path, run: Run) -> None:
    argv = ["collect", "--env", BALL, "--episodes", "1", "--size", "32", "--video", "none"]
    argv += ["--steps", "12", "--workers", "1"]
    theirs = [*argv, "--policy", "toy_env:Circle", "--out", str(tmp_path / "d")]
    assert run(*theirs)[0] == 0
    dataset = open_dataset(tmp_path / "d")
    assert dataset.provenance.policy == "toy_env:Circle"
    actions = dataset.episode(0).actions if hasattr(dataset, "episode") else None
    if actions is not None:
        np.testing.assert_allclose(np.linalg.norm(actions, axis=-1), 1.0, atol=1e-5)
    wrong = run(*argv, "--policy", "toy_env:Cirle", "--out", str(tmp_path / "e"))
    assert wrong[0] == 2
    assert "give module:function" in wrong[2]


def test_fast_render_says_what_it_gains_and_is_kept_with_the_data(tmp_path: Path, run: Run) -> None:
    argv = ["collect", "--env", BALL, "--episodes", "1", "--size", "32", "--video", "none"]
    status, _, err = run(
        *argv, "--steps", "3", "--workers", "1", "--fast-render", "--out", str(tmp_path / "d")
    )
    assert status == 0, err
    assert "ms instead of" in err
    assert open_dataset(tmp_path / "d").provenance.env == f"{BALL},fast_render=true"
    status, _, err = run(
        "collect",
        "--env",
        "Goalsight/Reach-v0",
        "--episodes",
        "1",
        "--fast-render",
        "--out",
        str(tmp_path / "e"),
    )
    assert (status, "drawn fast already" in err) == (2, True)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ["--env", "toy_env:Toy/Dt-v0"],
            "no environment 'toy_env:Toy/Dt-v0', did you mean 'Toy/Dot-v0'? there are: ",
        ),
        (["--env", "nowhere:Toy/Dot-v0"], "no module 'nowhere'"),
        (["--env", "CartPole-v1"], "this environment has Discrete(2)"),
        (["--env", f"{DOT},camera=x"], "camera and distance need a MuJoCo model"),
        (["--env", "Goalsight/Push-v0?camera=x"], "takes no settings"),
        (["--env", BALL, "--manifest", "push-near"], "give one of --manifest"),
        (["--env", BALL, "--rows", "expert"], "has no expert"),
        (["--env", f"{BALL},displacement=50"], "gave 0 of 1 near pairs"),
        ([], "give one of --manifest"),
    ],
)
def test_what_cannot_be_benchmarked_is_refused_in_one_line(
    argv: list[str], message: str, tmp_path: Path, run: Run
) -> None:
    rows = [] if "--rows" in argv else ["--rows", "zero"]
    status, out, err = run("bench", *argv, *rows, "--pairs", "1", "--out", str(tmp_path / "b"))
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
