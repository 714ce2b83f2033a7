"""Environments as other people write them, one quirk each: they work, or say what to do."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

import goalsight
from goalsight.data import open_dataset
from goalsight_envs.foreign import ForeignEnv, WrapConfig, WrapError, WrapWarning
from goalsight_envs.foreign.pictures import to_rgb

DotEnv: Any = import_module("toy_env").DotEnv
CONFIG = WrapConfig(goal="observation:0:2", threshold=0.05)
UP = np.ones(2, np.float32)


def wrapped(kind: Any, config: WrapConfig = CONFIG) -> ForeignEnv:
    return goalsight.wrap(kind(), config, size=20, draw_goals=False)


class Truncates(DotEnv):  # type: ignore[misc]
    """As Meta-World: past the end of an episode `step` raises until the next reset."""

    def step(self, action: Any) -> Any:
        if self.steps >= 4:
            raise ValueError("reset first")
        observation, reward, _, _, info = super().step(action)
        return observation, reward, False, self.steps == 4, info


class Unseeded(DotEnv):  # type: ignore[misc]
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return super().reset()


class Noisy(DotEnv):  # type: ignore[misc]
    """Resets repeat, steps do not."""

    noise = np.random.default_rng(0)

    def step(self, action: Any) -> Any:
        return super().step(
            np.clip(action + self.noise.normal(0, 0.1, 2), -2, 2).astype(np.float32)
        )


class Blind(Unseeded):
    """Shows pictures and no numbers."""

    observation_space = spaces.Box(0, 255, (40, 60, 3), np.uint8)

    def _look(self) -> Any:
        return self.render()


class Nan(DotEnv):  # type: ignore[misc]
    """A simulation that blows up now and then."""

    def _look(self) -> Any:
        return super()._look() * (np.nan if self.steps == 5 else 1)


class DictObs(DotEnv):  # type: ignore[misc]
    """What LeRobot's environments show: pictures and positions by name, a task in words."""

    def _look(self) -> Any:
        return {
            "agent_pos": np.array([*self.place, 0.0]),
            "pixels": {"top": self.render()},
            "pair": (np.zeros(2), 1.0),
            "text": "push it",
        }


class Unbounded(DotEnv):  # type: ignore[misc]
    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self.action_space = spaces.Box(np.array([-np.inf, -3.0]), np.inf, dtype=np.float64)

    def step(self, action: Any) -> Any:
        self.last = action
        return super().step(np.clip(action, -2, 2).astype(np.float32))


class Modes(DotEnv):  # type: ignore[misc]
    """Draws only in the mode that it was made for."""

    def render(self) -> Any:
        if self.render_mode == "rgb_array_list":
            return [np.zeros((4, 4, 3), np.uint8), super().render()]
        return super().render() if self.render_mode == "rgb_array" else None


class Lists(Modes):
    metadata: dict[str, Any] = {"render_modes": ["rgb_array_list"], "render_fps": 10}  # noqa: RUF012


class Kwargs(DotEnv):  # type: ignore[misc]
    def __init__(self, task: str, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        assert task in {"a", "b"}, f"task must be a or b, got {task!r}"


def factory(render_mode: str | None = None) -> Any:
    return Modes(render_mode)


def passing(**more: Any) -> Any:
    return Modes(**more)


def narrow(**more: Any) -> Any:
    """Hands everything on to what takes no mode."""
    return Narrow(**more)


class Narrow(DotEnv):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()


ENTRIES: dict[str, Any] = {
    "Factory": factory,
    "Passing": passing,
    "Narrow": narrow,
    "Lists": Lists,
    "Kwargs": Kwargs,
    "Truncates": Truncates,
    "Nan": Nan,
}
for _name, _entry in ENTRIES.items():
    gym.register(id=f"Quirk/{_name}-v0", entry_point=_entry)


def test_a_time_limit_ends_the_episode() -> None:
    """The step after it raised, since only `terminated` was looked at."""
    env = wrapped(Truncates, WrapConfig(**{**vars(CONFIG), "frameskip": 3}))
    env.reset(seed=0)
    assert [env.step(UP)[2:4] for _ in range(3)] == [(False, False), (False, True), (False, True)]
    env.reset(seed=0)
    assert env.step(UP)[2:4] == (False, False)


@pytest.mark.parametrize(("name", "rows"), [("Truncates", 4), ("Nan", 5)])
def test_an_episode_is_recorded_up_to_its_end(
    name: str, rows: int, run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    """What a simulation that blew up observes made a dataset that nothing could read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", WrapWarning)
        status, _, err = run(
            "collect",
            "--env",
            f"goalsight_envs:Quirk/{name}-v0",
            "--episodes",
            "2",
            "--steps",
            "9",
            "--workers",
            "1",
            "--out",
            str(tmp_path / "d"),
        )
    assert status == 0, err
    assert open_dataset(tmp_path / "d").episodes.tolist() == [rows, rows]


def test_what_is_not_finite_is_never_shown() -> None:
    env = wrapped(Nan)
    env.reset(seed=0)
    with pytest.warns(WrapWarning, match="not finite any more; the episode ends before that"):
        seen = [env.step(UP) for _ in range(7)]
    assert [ended for _, _, _, ended, _ in seen] == [False] * 4 + [True] * 3
    assert all(np.isfinite(observation["observation"]).all() for observation, *_ in seen)


@pytest.mark.parametrize("kind", [Unseeded, Noisy, Blind])
def test_what_cannot_be_repeated_is_noticed_when_it_is_wrapped(kind: Any) -> None:
    config = WrapConfig() if kind is Blind else CONFIG
    with pytest.warns(WrapWarning, match="two resets with one seed, or three steps after them"):
        env = wrapped(kind, config)
    env.reset(seed=0)
    with pytest.raises(WrapError, match=r"draw from self\.np_random alone"):
        env.solver_state()


def test_words_and_pictures_in_an_observation_are_no_numbers() -> None:
    env = wrapped(DictObs, WrapConfig())
    observation, _ = env.reset(seed=0)
    assert observation["observation"].shape == (6,)


def test_pictures_alone_are_enough_to_collect() -> None:
    with pytest.warns(WrapWarning):
        env = wrapped(Blind, WrapConfig())
    assert "achieved_goal" not in env.truth()


def test_an_unbounded_space_takes_the_bounds_that_are_given() -> None:
    """Advice to put RescaleAction around it could not be followed: that refuses such a space."""
    with pytest.raises(WrapError, match=r"bounds=-1\+1 behind the id"):
        wrapped(Unbounded)
    env = wrapped(Unbounded, WrapConfig(**{**vars(CONFIG), "bounds": (-1.0, 4.0)}))
    env.reset(seed=0)
    env.step(UP)
    assert env.inner.unwrapped.last.tolist() == [4.0, 4.0]  # type: ignore[attr-defined]
    env.step(-UP)
    assert env.inner.unwrapped.last.tolist() == [-1.0, -3.0]  # type: ignore[attr-defined]
    with pytest.raises(WrapError, match=r"bounds takes lowest\+highest"):
        WrapConfig(bounds=(1.0,))


@pytest.mark.parametrize("name", ["Factory", "Passing", "Narrow", "Lists"])
def test_whatever_makes_it_is_asked_for_pictures(name: str) -> None:
    """A factory has no metadata; it was made without a mode, and drew nothing."""
    env = goalsight.wrap(f"goalsight_envs:Quirk/{name}-v0", CONFIG, size=20, draw_goals=False)
    observation, _ = env.reset(seed=0)
    assert observation["pixels"].max() > 200


def test_a_constructor_that_refuses_is_one_line(run: Callable[..., tuple[int, str, str]]) -> None:
    status, _, err = run(
        "collect",
        "--env",
        "toy_env:Quirk/Kwargs-v0?make.task=z",
        "--episodes",
        "1",
        "--workers",
        "1",
        "--out",
        "nowhere",
    )
    assert status == 2
    assert "Quirk/Kwargs-v0 cannot be made here: task must be a or b, got 'z'" in err


PICTURE = np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)


@pytest.mark.parametrize(
    "drawn",
    [
        PICTURE[::-1][::-1],
        np.concatenate((PICTURE, PICTURE[..., :1]), -1),
        PICTURE.astype(np.float32) / 255,
        PICTURE / 255,
        np.moveaxis(PICTURE, -1, 0),
        [PICTURE[::-1], PICTURE],
    ],
    ids=["view", "alpha", "float32", "float64", "channels first", "list"],
)
def test_any_picture_is_taken(drawn: Any) -> None:
    assert np.array_equal(to_rgb(drawn), PICTURE)


def test_grey_is_taken_and_nothing_is_refused() -> None:
    assert np.array_equal(to_rgb(PICTURE[..., 0]), np.repeat(PICTURE[..., :1], 3, -1))
    for drawn, found in (
        (None, "nothing"),
        ([], "nothing"),
        (PICTURE / 9.0, r"float64 \(8, 9, 3\)"),
    ):
        with pytest.raises(WrapError, match=rf"render\(\) gave {found}"):
            to_rgb(drawn)


def test_a_warning_is_one_line_at_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import gymnasium, numpy as np\n"
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from toy_env import DotEnv\n"
        "class Mine(DotEnv):\n"
        "    def reset(self, *, seed=None, options=None): return super().reset()\n"
        "gymnasium.register('Mine-v0', Mine)\n"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "goalsight.cli.main",
            "collect",
            "--env",
            "mine:Mine-v0",
            "--episodes",
            "1",
            "--steps",
            "3",
            "--workers",
            "1",
            "--out",
            str(tmp_path / "d"),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if "warning" in line.lower()]
    assert len(said) == 1
    assert said[0].startswith("goalsight: warning: Mine-v0: two resets with one seed")
