"""The front door: any policy, the numbers of the benchmark, in a table that prints."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import goalsight
from goalsight.agent import Agent
from goalsight.agent.config import agent_config
from goalsight.benchmark import (
    BenchmarkConfig,
    Manifest,
    load_results,
    make_env,
    one_thread,
    play_pair,
    run_benchmark,
    save_manifest,
)
from goalsight.checkpoint import save_checkpoint
from goalsight.errors import OutputError, UserError
from goalsight.models import WorldModel, WorldModelConfig
from goalsight.policy import AgentPolicy, Observation, ScriptedPolicy, pair_seed

SEARCH = "planner.samples=8,planner.iterations=2,planner.horizon=2"


class Drift:
    """Goes one way; remembers what it was shown."""

    image_size = 32

    def __init__(self, step: float = 0.2) -> None:
        self.step = step
        self.goals: list[tuple[int, ...]] = []
        self.seeds: list[int] = []

    def reset(self, goal: Any, seed: int) -> None:
        self.goals.append(goal.shape)
        self.seeds.append(seed)

    def act(self, observation: Observation) -> Any:
        assert observation["pixels"].shape == (32, 32, 3)
        return np.full(4, self.step, np.float32)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluate") / "model"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_checkpoint(folder, WorldModel(WorldModelConfig(image_size=32)).eval(), {})
    return folder


def test_an_object_is_played_here_on_every_pair_and_prints_its_interval(reach: Manifest) -> None:
    policy = Drift()
    result = goalsight.evaluate(policy, reach, rows=["zero"])
    assert [row.row for row in result.rows] == ["zero", "player"]
    assert policy.goals == [(32, 32, 3)] * 3, "this very object has played"
    assert len(set(policy.seeds)) == 3
    rate = result.row("player").terminal
    assert result.row("player").pairs == 3
    shown = f"{100 * rate.rate:.0f} % [{100 * rate.low:.0f}, {100 * rate.high:.0f}]"
    assert re.search(rf"player +{re.escape(shown)}", str(result))
    assert repr(result) == str(result)
    with pytest.raises(UserError, match="no row 'agent' in the run of reach-test; it has: zero, p"):
        result.row("agent")


def test_what_is_kept_is_a_run_like_any_other(
    reach: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    monkeypatch.chdir(tmp_path)
    path = str(save_manifest(reach, tmp_path / "pairs"))
    result = goalsight.evaluate(Drift(), path, pairs=2, out=str(out))
    assert load_results(out / "results.json") == result
    assert (out / "report.html").is_file()
    assert len(list((out / "episodes").iterdir())) == 2
    with pytest.raises(OutputError, match="holds a run with player"):
        goalsight.evaluate(Drift(0.1), path, pairs=2, out=out)
    goalsight.evaluate(Drift(0.1), path, pairs=1)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out", "pairs"]


def test_agent_checkpoint_and_single_pairs_give_the_numbers_of_the_benchmark(
    reach: Manifest, checkpoint: Path, tmp_path: Path
) -> None:
    """In this process, in others, one pair at a time: to the digit."""
    agent = Agent.load(checkpoint, config=agent_config(SEARCH, {}, tier=reach.tier))
    threads = torch.get_num_threads()
    here = goalsight.evaluate(agent, reach, pairs=2)
    assert torch.get_num_threads() == threads
    there = goalsight.evaluate(checkpoint, reach, pairs=2, settings=SEARCH, workers=1)
    config = BenchmarkConfig(
        out=tmp_path / "run", checkpoint=checkpoint, settings=SEARCH, rows=("agent",), pairs=2
    )
    bench = run_benchmark(reach, config)
    env = make_env(reach.env, size=32)
    with one_thread():
        alone = [play_pair(env, AgentPolicy(agent), reach, pair)[0] for pair in range(2)]
    env.close()
    expected = [outcome.distance_m for outcome in bench.pairs]
    for outcomes in (here.pairs, there.pairs, alone):
        assert [outcome.distance_m for outcome in outcomes] == expected
    assert here.agent == there.agent == bench.agent
    assert here.checkpoint == bench.checkpoint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"policy": object()}, "policy is a object without reset; it needs reset"),
        ({"rows": ["search"]}, "the row search needs a checkpoint in place of the policy"),
        ({"rows": ["dance"]}, "unknown row 'dance'; there are: random"),
        ({"settings": "samples=3"}, "settings are those of a checkpoint's agent"),
        ({"manifest": "push-naer"}, "no manifest 'push-naer'; give a JSON file or one of"),
        ({"policy": "nowhere"}, "no checkpoint 'nowhere'"),
        ({"pairs": 0}, "pairs must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(
    reach: Manifest, change: dict[str, Any], message: str
) -> None:
    given: dict[str, Any] = {"policy": Drift(), "manifest": reach, **change}
    with pytest.raises(UserError, match=message):
        goalsight.evaluate(given.pop("policy"), given.pop("manifest"), **given)


def test_a_policy_that_cannot_be_sent_elsewhere_plays_here_alone(
    reach: Manifest,
) -> None:
    class Local(Drift):
        """Of a function: no other process can find it."""

    with pytest.raises(UserError, match=r"cannot be sent to 2 processes .*leave out workers"):
        goalsight.evaluate(Local(), reach, workers=2)
    assert len(goalsight.evaluate(Local(), reach, pairs=1, workers=1).pairs) == 1


def test_a_script_gets_the_whole_seed_and_others_what_every_library_takes() -> None:
    """Scripts draw as `default_rng([seed, pair])` does, as every published run of theirs did."""
    made: Callable[[int], Any] = lambda seed: None  # noqa: E731
    script = ScriptedPolicy(made)
    for seed, pair in ((0, 0), (0, 7), (5, 0), (2**40 + 1, 3)):
        whole = np.random.default_rng(pair_seed(script, seed, pair)).random()
        assert whole == np.random.default_rng([seed, pair]).random()
        assert 0 <= pair_seed(Drift(), seed, pair) < 2**32
