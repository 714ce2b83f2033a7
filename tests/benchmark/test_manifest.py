"""A manifest is what it was when it was made, or it is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripts.make_manifests import NEAR, RECIPES, TASKS

from goalsight.benchmark.manifest import (
    AHEAD,
    Manifest,
    Recipe,
    find_manifest,
    generate_manifest,
    load_manifest,
    save_manifest,
)
from goalsight.benchmark.policies import ROWS, PolicySpec
from goalsight.benchmark.run import check_task, play_pair
from goalsight.environments import make_env, task_of
from goalsight.errors import ManifestError
from goalsight.paths import config_dir

BENCH = config_dir() / "bench"


def test_what_was_saved_is_what_is_loaded(manifest: Manifest, tmp_path: Path) -> None:
    loaded = load_manifest(save_manifest(manifest, tmp_path))
    assert loaded.hash == manifest.hash
    assert np.array_equal(loaded.start, manifest.start)
    assert np.array_equal(loaded.goal, manifest.goal)
    assert loaded.pairs == manifest.pairs


@pytest.mark.parametrize(
    ("field", "value"),
    [("budget", 500), ("threshold", 0.5), ("env", "Other-v0"), ("name", "x"), ("pairs", [])],
)
def test_a_changed_field_is_noticed(
    manifest: Manifest, tmp_path: Path, field: str, value: object
) -> None:
    path = save_manifest(manifest, tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    with pytest.raises(ManifestError, match="was changed since its hash was taken"):
        load_manifest(path)


def test_a_changed_state_is_noticed(manifest: Manifest, tmp_path: Path) -> None:
    path = save_manifest(manifest, tmp_path)
    np.savez(path.with_suffix(".npz"), start=manifest.start + 1e-12, goal=manifest.goal)
    with pytest.raises(ManifestError, match=r"written.npz does not have the hash that written.js"):
        load_manifest(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[1]", "must hold a JSON object"),
        ('{"pairs": 1}', "does not have the ha"),
    ],
)
def test_what_is_no_manifest_is_refused_in_one_line(
    manifest: Manifest, tmp_path: Path, content: str, message: str
) -> None:
    path = save_manifest(manifest, tmp_path)
    path.write_text(content)
    with pytest.raises(ManifestError, match=message) as error:
        load_manifest(path)
    assert "\n" not in str(error.value)


def test_missing_states_are_named(manifest: Manifest, tmp_path: Path) -> None:
    path = save_manifest(manifest, tmp_path)
    path.with_suffix(".npz").unlink()
    with pytest.raises(ManifestError, match=r"cannot read .*written.npz: No such file"):
        load_manifest(path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"schema": 2}, "schema 2, this goalsight reads 1"),
        ({"threshold": 2.0}, r"pairs solved at their start: \[0, 1\]"),
        ({"start": np.zeros((3, 3))}, "2 pairs but states of shape"),
        ({"goal": np.full((2, 3), np.nan)}, "not finite"),
    ],
)
def test_fields_that_do_not_fit_each_other_are_refused(
    manifest: Manifest, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(ManifestError, match=message):
        replace(manifest, **changed)


def test_a_manifest_is_found_by_file_or_by_name(manifest: Manifest, tmp_path: Path) -> None:
    path = save_manifest(manifest, tmp_path)
    assert find_manifest(str(path), tmp_path / "elsewhere") == path
    assert find_manifest("written", tmp_path) == path
    with pytest.raises(ManifestError, match=r"no manifest 'push-nae'; .* one of: written$"):
        find_manifest("push-nae", tmp_path)


def test_making_a_manifest_again_gives_the_same_and_more_pairs_extend_it(reach: Manifest) -> None:
    """The first pairs do not depend on how many follow: `--pairs N` means the same everywhere."""
    recipe = Recipe(name=reach.name, env=reach.env, pairs=4, seed_base=3_000_000)
    more = generate_manifest(recipe)
    assert more.pairs[:3] == reach.pairs
    assert np.array_equal(more.start[:3], reach.start)
    assert generate_manifest(replace(recipe, pairs=3)).hash == reach.hash


def test_pairs_are_further_apart_than_the_task_asks_and_come_one_an_episode(
    reach: Manifest,
) -> None:
    env = task_of(make_env(reach.env, observe_pixels=False))
    for pair, start, goal in zip(reach.pairs, reach.start, reach.goal, strict=True):
        assert env.distance_between(start, goal) == pytest.approx(pair.displacement, abs=1e-6)
        assert pair.displacement > reach.min_displacement > 0
        assert 0 <= pair.step <= 100 - AHEAD
    assert len({pair.episode for pair in reach.pairs}) == len(reach.pairs)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_the_shipped_manifests_fit_the_installed_scene(recipe: Recipe) -> None:
    """A changed scene needs `make manifests`."""
    manifest = load_manifest(BENCH / f"{recipe.name}.json")
    assert len(manifest.pairs) == recipe.pairs
    env = make_env(manifest.env, observe_pixels=False)
    check_task(manifest, env)
    for i in range(0, recipe.pairs, 10):
        apart = task_of(env).distance_between(manifest.start[i], manifest.goal[i])
        assert apart == pytest.approx(manifest.pairs[i].displacement, abs=1e-4)


@pytest.mark.parametrize("task", TASKS)
def test_no_pair_is_in_two_shipped_manifests_of_a_task(task: str) -> None:
    paths = [path for path in sorted(BENCH.glob(f"{task}-[nf]*.json")) if "ood" not in path.name]
    shipped = [load_manifest(path) for path in paths]
    seeds = [pair.seed for manifest in shipped for pair in manifest.pairs]
    assert len(shipped) == (4 if task in NEAR else 2)
    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize("task", TASKS)
def test_a_far_pair_is_a_complete_task_that_has_not_begun(task: str) -> None:
    """Goals show the task done, also those of near pairs; no start does it already."""
    for path in sorted(BENCH.glob(f"{task}-[nf]*.json")):
        manifest = load_manifest(path)
        env = make_env(manifest.env, observe_pixels=False)
        for pair, start, goal in list(
            zip(manifest.pairs, manifest.start, manifest.goal, strict=True)
        )[::10]:
            states = {"state": start, "goal_state": goal, "factors": pair.factors}
            observation, info = env.reset(options=states)
            assert task_of(env).is_goal(observation["desired_goal"])
            assert info["distance"] > manifest.min_displacement
            assert not info["is_success"]
        env.close()


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_the_expert_solves_the_shipped_far_pairs_and_chance_does_not(task: str) -> None:
    """What `goalsight bench --manifest TASK-far --rows expert,random` measures."""
    manifest = load_manifest(BENCH / f"{task}-far.json")
    env = make_env(manifest.env, observe_pixels=False)
    held = {}
    for row in ("expert", "random"):
        policy = ROWS[row].make(PolicySpec(checkpoint=None, device="cpu"), env)
        held[row] = sum(
            play_pair(env, policy, manifest, pair, film_every=150)[0].terminal
            for pair in range(len(manifest.pairs))
        )
    env.close()
    assert held["expert"] >= 0.95 * len(manifest.pairs)
    assert held["random"] < 0.05 * len(manifest.pairs)


def test_a_tier_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="tier must be one of near, far, got 'middle'"):
        Recipe(name="x", env="Goalsight/Push-v0", pairs=1, seed_base=0, tier="middle")
