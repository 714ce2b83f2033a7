"""Roll out one episode at a time; runs in the workers, imports no PyTorch."""

from __future__ import annotations

import importlib.metadata
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goalsight.data.collect.config import CollectConfig
from goalsight.data.collect.frames import FrameWriters
from goalsight.data.collect.policies import EpisodePolicies, EpisodeStart, hindsight
from goalsight.data.format import Episode
from goalsight.environments import make_env
from goalsight.executor import stop_requested
from goalsight.io import sha256_of
from goalsight.policy import PolicyFactory

AIMLESS = {"play", "random"}
"""Policies that act without a goal."""


@dataclass(frozen=True, kw_only=True)
class EnvFacts:
    """What an environment says about itself; part of the dataset's provenance."""

    control_dt: float
    """Seconds per control step."""
    camera: str
    renderer: str
    mujoco: str | None
    action_names: list[str]
    action_low: list[float]
    action_high: list[float]
    proprio_names: list[str]
    truth: dict[str, int]
    """Simulator truth by name: how many numbers."""


class Recorder:
    """An environment and a policy; makes episode i from the seed and i."""

    def __init__(
        self, config: CollectConfig, staging: Path, factory: PolicyFactory | None = None
    ) -> None:
        """Make the environment.

        Args:
            config: what to collect.
            staging: folder for frame files; may not be there yet.
            factory: makes the agent of a policy that has one.

        Raises:
            UserError: if there is no such environment, or it is not of our kind.
        """
        self._config, self._staging = config, staging
        # Play wants nothing, and drawing a goal costs a wrapped environment about an episode.
        self._env = make_env(
            config.env,
            size=config.size,
            draw_goals=config.mix is not None or config.policy not in AIMLESS,
            cameras=config.cameras,
            factors=config.factors,
            redraw=config.redraw,
        )
        self._policies = EpisodePolicies(config, self._env, factory)

    def __call__(self, index: int | None) -> EnvFacts | Episode | None:
        """`record` as a job of an executor; without an index, `describe`."""
        return self.describe() if index is None else self.record(index, stop_requested)

    def describe(self) -> EnvFacts:
        """Facts for the provenance; resets the environment."""
        env: Any = self._env.unwrapped
        self._env.reset(seed=0)
        space = env.action_space
        return EnvFacts(
            control_dt=float(env.control_dt),
            camera=str(env.camera),
            renderer=str(env.renderer),
            mujoco=_version_of("mujoco"),
            action_names=list(env.action_names),
            action_low=space.low.astype(float).tolist(),
            action_high=space.high.astype(float).tolist(),
            proprio_names=list(env.proprio_names),
            truth={name: int(np.size(value)) for name, value in env.truth().items()},
        )

    def record(self, index: int, stopped: Callable[[], bool]) -> Episode | None:
        """Roll out an episode and write its frames.

        Args:
            index: which episode.
            stopped: asked before every control step.

        Returns:
            The episode, or None if it was stopped.

        Raises:
            OSError: if the frames cannot be written.
            ValueError: if the policy gives an action that is not finite.
        """
        paths = [self._path(index, key) for key in self._keys]
        fps = 1 / float(self._env.unwrapped.control_dt)  # type: ignore[attr-defined]
        writers = FrameWriters(paths, self._config.video, self._config.size, fps)
        try:
            start = self._policies.begin(index)
            rows = self._roll_out(index, start, writers, stopped)
            if rows is None:
                writers.abandon()
                return None
            writers.close()
        except BaseException:
            writers.abandon()
            raise
        truth = {
            name: np.stack([row.truth[name] for row in rows]).reshape(len(rows), -1)
            for name in rows[0].truth
        }
        success = np.array([row.success for row in rows], np.bool_)
        return Episode(
            index=index,
            proprio=np.stack([row.proprio for row in rows]),
            actions=np.stack([row.action for row in rows]),
            success=success,
            frames_file=paths[0],
            frames_sha256=sha256_of(paths[0]),
            truth=truth,
            policy=self._policies.recorded_name(index),
            goal=None if start.goal is None else hindsight(start.goal, success),
            other_frames={
                camera: (path, sha256_of(path))
                for camera, path in zip(self._config.cameras[1:], paths[1:], strict=True)
            },
            factors=as_json(start.factors),
        )

    @property
    def _keys(self) -> list[str]:
        """Keys of the observation that hold pictures, the main camera's first."""
        return ["pixels", *(f"pixels_{camera}" for camera in self._config.cameras[1:])]

    def close(self) -> None:
        """Free the environment."""
        self._env.close()

    def _path(self, index: int, key: str) -> Path:
        """Where the frames of an episode go until it is committed."""
        suffix = "npy" if self._config.video == "none" else "mp4"
        # The process id keeps a worker whose parent was just killed off the next run's files.
        return self._staging / f"episode-{index:06d}-{key}-{os.getpid()}.{suffix}"

    def _roll_out(
        self, index: int, start: EpisodeStart, writers: FrameWriters, stopped: Callable[[], bool]
    ) -> list[_Row] | None:
        """Rows of the episode; it ends early only where the environment ends it."""
        observation = start.observation
        rows: list[_Row] = []
        for _ in range(start.steps):
            if stopped():
                return None
            writers.add([_checked_frame(observation[key], self._config.size) for key in self._keys])
            truth = self._env.unwrapped.truth()  # type: ignore[attr-defined]
            action = self._checked_action(start.policy.act(observation), index)
            proprio = np.array(observation["observation"], np.float32)
            observation, _, terminated, truncated, info = self._env.step(action)
            rows.append(
                _Row(
                    proprio,
                    action,
                    {name: np.array(value, np.float32) for name, value in truth.items()},
                    bool(info["is_success"]),
                )
            )
            if terminated or truncated:
                break
        return rows

    def _checked_action(self, action: object, episode: int) -> NDArray[np.float32]:
        """What is executed and recorded: (A,), clipped to the bounds."""
        checked = np.array(action, np.float32)
        space: Any = self._env.action_space
        if checked.shape != space.shape or not np.isfinite(checked).all():
            raise ValueError(
                f"policy {self._config.policy!r} gave {action!r} in episode {episode}; an action "
                f"is {space.shape[0]} finite numbers"
            )
        return np.clip(checked, space.low, space.high)


@dataclass(frozen=True)
class _Row:
    proprio: NDArray[np.float32]
    action: NDArray[np.float32]
    truth: dict[str, NDArray[np.float32]]
    success: bool


def as_json(value: Any) -> Any:  # noqa: ANN401  (JSON values are of any type)
    """The value as it would be read back from JSON: tuples are lists there."""
    return json.loads(json.dumps(value))


def _checked_frame(pixels: object, size: int) -> NDArray[np.uint8]:
    frame = np.asarray(pixels)
    if frame.shape != (size, size, 3) or frame.dtype != np.uint8:
        raise ValueError(f"pixels must be uint8 {(size, size, 3)}, got {frame.dtype} {frame.shape}")
    return np.ascontiguousarray(frame)


def _version_of(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
