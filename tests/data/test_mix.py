"""Mixes of policies: shares, records, shared starts, and YAML that is refused in one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goalsight.data import open_dataset, validate
from goalsight.data.collect import CollectConfig, PolicyMix, collect, load_mix
from goalsight.data.collect.mix import turn
from goalsight.errors import OutputError, UserError
from goalsight.paths import config_dir
from goalsight_envs.policies import BEHAVIOURS

MakeConfig = Callable[..., CollectConfig]
SHIPPED = sorted(path.stem for path in (config_dir() / "collect").glob("*.yaml"))
ALL = list(BEHAVIOURS)


def push(out: Path, **changes: object) -> CollectConfig:
    settings: dict[str, object] = {
        "env": "Goalsight/Push-v0",
        "episodes": 6,
        "out": out,
        "size": 32,
        "steps": 12,
        "video": "none",
    }
    return CollectConfig(**{**settings, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_mix_can_be_read_and_names_policies_that_exist(name: str) -> None:
    mix = load_mix(name)
    assert mix.name == name
    assert set(mix.shares) <= set(ALL)


@given(
    shares=st.dictionaries(st.sampled_from(ALL), st.floats(0.05, 1), min_size=2),
    seed=st.integers(0, 2**16),
)
def test_every_stretch_of_episodes_has_the_shares_asked_for(
    shares: dict[str, float], seed: int
) -> None:
    mix = PolicyMix(name="any", shares=shares)
    counted = Counter(turn(mix, ALL, seed, episode).policy for episode in range(100, 200))
    for name, share in shares.items():
        # The golden angle keeps within a few of the expected number; chance would be out by ten.
        assert abs(counted[name] - 100 * share / sum(shares.values())) < 4


def test_branches_come_in_groups_of_the_width_asked_for() -> None:
    mix = PolicyMix(name="any", shares={"play": 1, "branches": 1}, branch_width=3)
    groups = [turn(mix, ALL, 0, episode).group for episode in range(60)]
    counted = Counter(group for group in groups if group is not None)
    assert list(counted) == list(range(len(counted)))
    assert set(list(counted.values())[:-1]) == {3}


def test_a_policy_the_task_has_no_object_for_is_left_out_and_none_at_all_is_refused() -> None:
    mix = PolicyMix(name="any", shares={"recover": 0.9, "play": 0.1})
    assert {turn(mix, ["play"], 0, episode).policy for episode in range(9)} == {"play"}
    with pytest.raises(UserError, match=r"mix 'any' has no policy for this task; it has: hold"):
        turn(mix, ["hold"], 0, 0)


def test_each_episode_records_who_acted_and_the_workers_change_nothing(
    tmp_path: Path, config_for: MakeConfig
) -> None:
    mix = PolicyMix(name="two", shares={"one": 0.75, "other": 0.25})
    for workers in (1, 2):
        collect(config_for(tmp_path / str(workers), episodes=8, mix=mix, workers=workers))
    one, two = (open_dataset(tmp_path / str(workers)) for workers in (1, 2))
    assert one.fingerprint() == two.fingerprint()
    assert Counter(record.policy for record in one.records) == {"one": 6, "other": 2}
    assert one.provenance.policy == "mix two"
    assert validate(one.path) == []


def test_another_mix_is_not_appended(tmp_path: Path, config_for: MakeConfig) -> None:
    for share in (0.5, 0.4):
        mix = PolicyMix(name="two", shares={"one": share, "other": 0.5})
        if share == 0.5:
            collect(config_for(tmp_path / "d", mix=mix))
            continue
        with pytest.raises(OutputError, match="use the same settings"):
            collect(config_for(tmp_path / "d", mix=mix, episodes=9))


def test_play_in_a_mix_is_the_play_of_the_policy_byte_for_byte(tmp_path: Path) -> None:
    collect(push(tmp_path / "policy", episodes=2))
    mix = PolicyMix(name="play", shares={"play": 1.0})
    collect(push(tmp_path / "mix", episodes=2, mix=mix))
    for name in ("data/chunk-000/file-001.parquet", "cache/front/episode-000001.npy"):
        assert (tmp_path / "mix" / name).read_bytes() == (tmp_path / "policy" / name).read_bytes()


def test_branches_begin_in_one_state_and_part(tmp_path: Path) -> None:
    mix = PolicyMix(name="b", shares={"branches": 1.0}, branch_width=3, branch_steps=7)
    collect(push(tmp_path / "d", mix=mix))
    dataset = open_dataset(tmp_path / "d")
    assert dataset.episodes.tolist() == [7] * 6
    names = [name for name in dataset.widths() if name.startswith(("state.", "observation"))]
    episodes = [dataset.columns([*names, "action"], [e]) for e in range(6)]
    frames = [np.load(dataset.path / f"cache/front/episode-{e:06d}.npy") for e in range(6)]
    for group in ((0, 1, 2), (3, 4, 5)):
        first = group[0]
        for other in group[1:]:
            assert np.array_equal(frames[first][0], frames[other][0])
            for name in names:
                assert np.array_equal(episodes[first][name][0], episodes[other][name][0])
            assert not np.array_equal(episodes[first]["action"][0], episodes[other]["action"][0])
    assert not np.array_equal(frames[0][0], frames[3][0])


def test_an_episode_that_begins_at_the_goal_shows_it_solved(tmp_path: Path) -> None:
    mix = PolicyMix(name="h", shares={"hold-goal": 1.0}, noise=(0.0, 0.1))
    collect(push(tmp_path / "d", mix=mix, episodes=3))
    solved = open_dataset(tmp_path / "d").columns(["next.success"], range(3))["next.success"]
    assert solved.mean() > 0.9


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("speed: [0.1, 1]", "a mix is a mapping with `shares"),
        ("shares: {play: 1}\nspeeed: [0.1, 1]", "no field 'speeed' in a mix; it has: shares"),
        ("shares: {play: -1}", "shares must be 0 or more and not all 0"),
        ("shares: {play: much}", "could not convert string to float: 'much'"),
        ("shares: {play: 1}\nnoise: [1, 0]", "noise must be a range in [0.0, 2.0], got [1.0, 0.0]"),
        ("shares: {play: 1}\nnoise: 3", "noise must be two numbers, got 3"),
        ("shares: {play: 1}\nbranch_width: 1", "branch_width must be at least 2, got 1"),
        ("shares: {play: 1}\nbranch_width: wide", "branch_width must be a number, got 'wide'"),
        ("shares: {play: [", "is not a mix"),
    ],
)
def test_a_mix_that_is_none_is_refused_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as refused:
        load_mix(str(path))
    assert said in str(refused.value)


def test_an_unknown_mix_and_an_unknown_policy_list_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no mix 'covver'; there are: branches, cover"):
        load_mix("covver")
    mix = PolicyMix(name="mine", shares={"pley": 1.0})
    with pytest.raises(UserError, match=r"mix 'mine': no policy 'pley'; there are: play, random"):
        collect(push(tmp_path / "d", mix=mix))
    with pytest.raises(ValueError, match="a policy or a mix, not both"):
        push(tmp_path / "d", mix=mix, policy="random")
