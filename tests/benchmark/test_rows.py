"""Which rows there are, what each plays by, and how two of them are compared."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from goalsight.agent import Agent
from goalsight.agent.config import agent_config
from goalsight.benchmark.policies import (
    ROWS,
    PolicySpec,
    check_policies,
    check_rows,
    default_rows,
    load_agent,
    row_config,
)
from goalsight.benchmark.results import (
    LEARNED_ROWS,
    Outcome,
    Results,
    compare,
    comparisons,
    load_results,
    to_json,
)
from goalsight.checkpoint import save_checkpoint
from goalsight.environments import Env
from goalsight.errors import CheckpointError, UserError
from goalsight.models import WorldModel, WorldModelConfig
from goalsight.policy import AgentPolicy

ACTOR = {"width": 8, "depth": 1, "furthest": 20}
CLONE = {**ACTOR, "components": 1, "std": 0.3, "clock": False}
LEARNT = ("gcbc", "agent", "shuffled", "actor", "search", "hybrid")
ENV = cast("Env", SimpleNamespace(unwrapped=None))


def saved(folder: Path, **heads: dict[str, Any]) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = WorldModel(
            WorldModelConfig(image_size=32, action_dim=4, frameskip=2, heads=heads)
        ).eval()
    save_checkpoint(folder, model, {"heads": {name: {} for name in heads}})
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with both heads."""
    return saved(tmp_path_factory.mktemp("rows") / "model", actor=dict(ACTOR), gcbc=dict(CLONE))


def spec(checkpoint: Path | None, settings: str = "planner.samples=30") -> PolicySpec:
    return PolicySpec(checkpoint=checkpoint, device="cpu", settings=settings)


def agent_of(checkpoint: Path, row: str = "agent", settings: str = "planner.samples=30") -> Agent:
    return load_agent(spec(checkpoint, settings), row)


@pytest.mark.parametrize("said", ["", "mode=hybrid", "mode=actor"])
def test_a_rows_name_says_who_decides_whatever_the_settings_say(said: str) -> None:
    made = {row: row_config(row, spec(None, said)) for row in LEARNT}
    own = agent_config(said).mode
    assert {row: config.mode for row, config in made.items()} == {
        "gcbc": "actor",
        "agent": own,
        "shuffled": own,
        "actor": "actor",
        "search": "search",
        "hybrid": "hybrid",
    }
    assert [row for row, config in made.items() if config.actor.head == "gcbc"] == ["gcbc"]


def test_settings_of_a_search_do_not_keep_the_actor_from_acting_alone() -> None:
    said = spec(None, "hysteresis=1,cost.actor_nll_weight=0.1,replan=2,planner.samples=60")
    for row in ("actor", "gcbc"):
        alone = row_config(row, said)
        assert (alone.hysteresis, alone.cost.actor_nll_weight, alone.replan) == (0.0, 0.0, 2)
    both = row_config("hybrid", said)
    assert (both.hysteresis, both.cost.actor_nll_weight, both.planner.samples) == (1.0, 0.1, 60)
    with pytest.raises(UserError, match=r"row hybrid with these settings: .*15 proposals"):
        row_config("hybrid", spec(None, "planner.samples=20,planner.elites=4"))


def test_a_search_asks_no_actor_how_likely_plans_are() -> None:
    search = row_config("search", spec(None, "mode=hybrid,cost.actor_nll_weight=0.1"))
    assert (search.mode, search.cost.actor_nll_weight) == ("search", 0.0)


CARD = {
    "agent": {
        "settings": {
            "mode": "hybrid",
            "planner": {"samples": 64},
            "cost": {"actor_nll_weight": 0.1},
        },
        "modes": {"search": {"planner": {"samples": 200}}},
        "tiers": {
            "near": {"actor": {"time_to_goal": 30}},
            "far": {"actor": {"time_to_goal": 110}},
        },
    }
}


def test_rows_plan_as_the_card_says_for_their_mode_and_tier() -> None:
    found = {
        (row, tier): row_config(row, replace(spec(None, ""), tier=tier), CARD)
        for row in ("agent", "search", "actor")
        for tier in ("near", "far")
    }
    assert {key: made.actor.time_to_goal for key, made in found.items()} == {
        key: 30 if key[1] == "near" else 110 for key in found
    }
    samples = {row: found[row, "far"].planner.samples for row in ("agent", "search")}
    assert samples == {"agent": 64, "search": 200}
    assert found["agent", "near"].mode == "hybrid"
    assert found["agent", "near"].cost.actor_nll_weight == 0.1


def test_every_row_of_a_whole_checkpoint_acts_and_says_what_it_costs(whole: Path) -> None:
    black = np.zeros((32, 32, 3), np.uint8)
    costs, acted = {}, {}
    for row in LEARNT:
        policy = ROWS[row].make(spec(whole, "planner.samples=30,planner.iterations=2"), ENV)
        assert isinstance(policy, AgentPolicy)
        policy.reset(black + 200, 0)
        acted[row] = policy.act({"pixels": black, "observation": np.zeros(11, np.float32)})
        costs[row] = policy.evaluations_per_decision
    assert costs == {
        "gcbc": 1,
        "agent": 60,
        "shuffled": 60,
        "actor": 1,
        "search": 60,
        "hybrid": 76,
    }
    np.testing.assert_array_equal(acted["agent"], acted["search"])
    for row in ("gcbc", "actor", "hybrid"):
        assert not np.array_equal(acted[row], acted["search"])
    assert not np.array_equal(acted["gcbc"], acted["actor"])


def test_a_missing_head_is_one_line_that_says_how_to_make_it(tmp_path: Path) -> None:
    bare = agent_of(saved(tmp_path / "bare"))
    check_policies(("agent", "search", "shuffled"), bare, ENV, spec(None))
    for row, head in (("actor", "actor"), ("hybrid", "actor"), ("gcbc", "gcbc")):
        how = rf"has no {head}, .*goalsight train --config {head} --checkpoint RUN"
        with pytest.raises(CheckpointError, match=how):
            check_policies(("agent", row), bare, ENV, spec(None))


def test_a_shuffle_of_nothing_is_refused_before_anything_is_played(whole: Path) -> None:
    for settings in ("mode=actor", "planner.horizon=1"):
        agent = agent_of(whole, settings=settings)
        with pytest.raises(UserError, match="the shuffled row needs a search over at least 2 bl"):
            check_policies(("shuffled",), agent, ENV, spec(None, settings))
        with pytest.raises(UserError, match="the shuffled row needs a search"):
            agent_of(whole, "shuffled", settings)


def test_rows_by_default_are_those_the_checkpoint_has_heads_for() -> None:
    assert default_rows([]) == ("random", "zero", "expert", "agent")
    assert default_rows(["gcbc", "probe"]) == ("random", "zero", "expert", "agent")
    assert default_rows(["actor"], expert=False) == ("random", "zero", "actor", "search", "hybrid")
    assert default_rows(["actor", "gcbc"])[3:] == ("gcbc", "actor", "search", "hybrid")
    assert set(default_rows(["actor", "gcbc"])) < set(ROWS)
    assert LEARNT == LEARNED_ROWS


def test_a_row_of_an_agent_without_a_checkpoint_is_refused() -> None:
    with pytest.raises(CheckpointError, match="an agent needs a checkpoint: add --checkpoint DIR"):
        load_agent(spec(None), "hybrid")


def outcome(row: str, pair: int, terminal: bool) -> Outcome:
    return Outcome(
        row=row,
        pair=pair,
        terminal=terminal,
        anytime=terminal,
        distance_m=(1.0,),
        latency_ms=(),
        evaluations_per_decision=0,
    )


def test_one_line_says_how_often_a_later_row_won_and_lost() -> None:
    rows = ("zero", "actor", "hybrid")
    solved = {"zero": [0] * 14, "actor": [1, 1, 0] + [0] * 11, "hybrid": [0, 1] + [1] * 12}
    played = [outcome(row, i, bool(s)) for row in rows for i, s in enumerate(solved[row])]
    results = cast("Results", SimpleNamespace(mcnemar=compare(rows, played)))
    assert comparisons(results, LEARNED_ROWS) == ["hybrid against actor: 12 won, 1 lost, p = 0.003"]
    everything = comparisons(results, rows)
    assert everything[1] == "hybrid against zero: 13 won, 0 lost, p < 0.001"
    assert len(everything) == 3
    assert comparisons(results, ["zero"]) == []


def test_the_lines_stand_under_the_table(results_of: Callable[..., Results]) -> None:
    printed = str(results_of(random=[0], actor=[0], hybrid=[1]))
    assert printed.index("terminal") < printed.index(
        "hybrid against actor: 1 won, 0 lost, p = 1.00"
    )
    assert re.search(r"hybrid +100 % \[21, 100\]", printed)
    assert "random against" not in printed


@pytest.mark.parametrize(("old", "now"), [("both", "hybrid"), ("hold", "zero")])
def test_an_old_name_of_a_row_is_one_line_on_the_command_line(old: str, now: str) -> None:
    with pytest.raises(UserError, match=f"row {old} is called {now} now"):
        check_rows(("random", old))


def test_results_of_version_0_1_load_by_the_new_names_of_their_rows(
    results_of: Callable[..., Results], tmp_path: Path
) -> None:
    wanted = results_of(zero=[0, 0], actor=[0, 1], hybrid=[1, 1])
    text = json.dumps(to_json(wanted)).replace('"hybrid"', '"both"').replace('"zero"', '"hold"')
    (tmp_path / "results.json").write_text(text)
    assert '"both"' in text
    assert to_json(load_results(tmp_path / "results.json")) == to_json(wanted)
