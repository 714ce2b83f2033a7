"""Pairs with factors of variation: frozen, applied to start and goal alike, old hashes kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripts.make_manifests import RECIPES, SHIFTED

from goalsight.benchmark import Manifest, load_manifest, save_manifest
from goalsight.benchmark.manifest import ManifestConfig, Recipe, generate_manifest, manifest_in
from goalsight.benchmark.policies import ROWS, PolicySpec
from goalsight.benchmark.run import play_pair
from goalsight.cli.bench import bench
from goalsight.environments import make_env, task_of
from goalsight.errors import ManifestError, OutputError, UserError
from goalsight.paths import config_dir

BENCH = config_dir() / "bench"


@pytest.fixture(scope="module")
def shifted() -> Manifest:
    """Three pairs of Reach with other looks, drawn from the seeds of the fixture `reach`."""
    return generate_manifest(
        Recipe(
            name="reach-look",
            env="Goalsight/Reach-v0",
            pairs=3,
            seed_base=3_000_000,
            level="ood-visual",
        )
    )


def test_other_looks_are_of_the_same_pairs(shifted: Manifest, reach: Manifest) -> None:
    np.testing.assert_array_equal(shifted.start, reach.start)
    np.testing.assert_array_equal(shifted.goal, reach.goal)
    assert [replace(pair, factors={}) for pair in shifted.pairs] == list(reach.pairs)
    assert len({json.dumps(dict(pair.factors)) for pair in shifted.pairs}) == 3


def test_pairs_of_an_environment_are_drawn_under_the_factors_asked_for(tmp_path: Path) -> None:
    config = ManifestConfig(env="Goalsight/Reach-v0", pairs=2, tier="near")
    moved = replace(config, factors={"camera.shift": [0.1, 0.0, 0.05]})
    plain = manifest_in(tmp_path / "plain", config)
    manifest = manifest_in(tmp_path / "moved", moved)
    assert [list(pair.factors["camera.shift"]) for pair in manifest.pairs] == [[0.1, 0.0, 0.05]] * 2
    assert [replace(pair, factors={}) for pair in manifest.pairs] == list(plain.pairs)
    np.testing.assert_array_equal(manifest.goal, plain.goal)
    assert manifest_in(tmp_path / "moved", moved).hash == manifest.hash
    for other in (config, replace(config, factors={"camera.shift": [0.2, 0.0, 0.05]})):
        with pytest.raises(OutputError, match="not those asked for; choose another --out"):
            manifest_in(tmp_path / "moved", other)


def test_a_shipped_manifest_takes_no_factors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--env ID with --tier, --budget and --factors"):
        bench(out=tmp_path, manifest="reach-near", factors="mild")


def test_a_nominal_manifest_says_nothing_of_factors(reach: Manifest, tmp_path: Path) -> None:
    assert "factors" not in save_manifest(reach, tmp_path).read_text()
    assert load_manifest(tmp_path / "reach-test.json").hash == reach.hash


def test_a_manifest_with_factors_is_read_back_whole(shifted: Manifest, tmp_path: Path) -> None:
    path = save_manifest(shifted, tmp_path)
    again = load_manifest(path)
    assert again.pairs == shifted.pairs
    assert again.hash == shifted.hash
    path.write_text(path.read_text().replace('"distractors": ', '"distractors": 1', 1))
    with pytest.raises(ManifestError, match="was changed since its hash was taken"):
        load_manifest(path)


def test_a_pair_shows_its_factors_at_the_start_and_in_the_goal(
    shifted: Manifest, reach: Manifest
) -> None:
    env = make_env(shifted.env, size=32, observe_pixels=False)
    policy = ROWS["zero"].make(PolicySpec(checkpoint=None, device="cpu"), env)
    shows: dict[str, list[tuple[Any, Any, Any]]] = {}
    for manifest in (reach, shifted, reach):
        outcome, film = play_pair(env, policy, manifest, 0, film_every=50)
        shows.setdefault(manifest.name, []).append((film.frames[0], film.goal, outcome.distance_m))
    (before, after), (look,) = shows["reach-test"], shows["reach-look"]
    for which in (0, 1):
        np.testing.assert_array_equal(before[which], after[which])
        assert np.abs(before[which].astype(int) - look[which]).mean() > 5
    assert before[2] == look[2]
    assert task_of(env).model is not None
    env.close()


def test_factors_that_do_not_fit_are_said_in_one_line(reach: Manifest) -> None:
    pair = replace(reach.pairs[0], factors={"drawer.friction": 1.0})
    env = make_env(reach.env, size=32, observe_pixels=False)
    policy = ROWS["zero"].make(PolicySpec(checkpoint=None, device="cpu"), env)
    wrong = replace(reach, pairs=(pair, *reach.pairs[1:]))
    with pytest.raises(ManifestError, match=r"pair 0 of manifest reach-test does not fit .*drawer"):
        play_pair(env, policy, wrong, 0)
    env.close()


@pytest.mark.parametrize("task", SHIFTED)
def test_the_shipped_shifts_are_complete_and_apart(task: str) -> None:
    tier = SHIFTED[task]
    for use, pairs in (("", 200), ("-dev", 100)):
        plain = load_manifest(BENCH / f"{task}-{tier}{use}.json")
        look, physics = (
            load_manifest(BENCH / f"{task}-{tier}-ood-{kind}{use}.json")
            for kind in ("visual", "physics")
        )
        np.testing.assert_array_equal(look.start, plain.start)
        np.testing.assert_array_equal(look.goal, plain.goal)
        assert not {pair.seed for pair in physics.pairs} & {pair.seed for pair in plain.pairs}
        for manifest in (look, physics):
            assert len(manifest.pairs) == pairs
            assert len({json.dumps(dict(pair.factors)) for pair in manifest.pairs}) == pairs


def test_every_recipe_has_its_file() -> None:
    assert sorted(recipe.name for recipe in RECIPES) == sorted(p.stem for p in BENCH.glob("*.json"))
