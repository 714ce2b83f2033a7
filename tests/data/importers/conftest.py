"""Logs of every kind, written with plain libraries as their own tools write them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

FPS = 20
WIDE = 3
Writer = Callable[..., Path]


def record(seed: int, lengths: tuple[int, ...] = (12, 9, 15)) -> list[Any]:
    """Episodes of a robot whose actions are between -3 and 7, at 32 x 24 pixels."""
    rng = np.random.default_rng(seed)
    episodes = []
    for number, length in enumerate(lengths):
        frames = np.full((length, 24, 32, 3), 60, np.uint8)
        for t in range(length):
            frames[t, 6:14, 2 + t : 10 + t] = (200, 30 + 40 * number, 10)
        episodes.append(
            SimpleNamespace(
                frames=frames,
                actions=rng.uniform(-3, 7, (length, WIDE)).astype(np.float32),
                state=rng.normal(size=(length, 2)).astype(np.float32),
                success=np.arange(length) == length - 1,
                task=f"task {number % 2}",
            )
        )
    return episodes


def write_mp4(path: Path, frames: np.ndarray, pixels: str = "yuv420p") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(FPS), options={"crf": "10"})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pixels
        for frame in frames:
            for packet in stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)


def lerobot_columns(episode: Any, number: int, first: int) -> dict[str, pa.Array]:
    length = len(episode.actions)
    return {
        "observation.state": pa.array(episode.state.tolist(), pa.list_(pa.float32(), 2)),
        "action": pa.array(episode.actions.tolist(), pa.list_(pa.float32())),
        "next.success": pa.array(episode.success.tolist()),
        "timestamp": pa.array((np.arange(length) / FPS).astype(np.float32)),
        "frame_index": pa.array(range(length)),
        "episode_index": pa.array([number] * length),
        "index": pa.array(range(first, first + length)),
        "task_index": pa.array([number % 2] * length),
    }


def lerobot_info(version: str, episodes: list[Any], cameras: list[str]) -> dict[str, Any]:
    video = {"dtype": "video", "shape": [24, 32, 3], "names": ["height", "width", "channel"]}
    vector = {"dtype": "float32", "shape": [2], "names": {"motors": ["shoulder", "elbow"]}}
    action = {"dtype": "float32", "shape": [WIDE], "names": ["x", "y", "grip"]}
    return {
        "codebase_version": version,
        "fps": FPS,
        "total_episodes": len(episodes),
        "chunks_size": 1000,
        "features": {
            **dict.fromkeys(cameras, video),
            "observation.state": vector,
            "action": action,
            "next.success": {"dtype": "bool", "shape": [1], "names": None},
        },
    }


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def write_lerobot_v21(
    root: Path, episodes: list[Any], cameras: tuple[str, ...] = ("observation.images.top",)
) -> Path:
    info = lerobot_info("v2.1", episodes, list(cameras))
    info["data_path"] = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
    info["video_path"] = (
        "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
    )
    write_json(root / "meta/info.json", info)
    lines, first = [], 0
    for number, episode in enumerate(episodes):
        data = root / f"data/chunk-000/episode_{number:06d}.parquet"
        data.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(lerobot_columns(episode, number, first)), data)
        for camera in cameras:
            write_mp4(root / f"videos/chunk-000/{camera}/episode_{number:06d}.mp4", episode.frames)
        length = len(episode.actions)
        first += length
        lines.append({"episode_index": number, "tasks": [episode.task], "length": length})
    text = "\n".join(json.dumps(line) for line in lines)
    (root / "meta/episodes.jsonl").write_text(text + "\n")
    return root


def write_lerobot_v3(root: Path, episodes: list[Any], camera: str = "observation.image") -> Path:
    """All episodes in one parquet and one mp4, as the package packs them."""
    info = lerobot_info("v3.0", episodes, [camera])
    info["data_path"] = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
    info["video_path"] = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
    write_json(root / "meta/info.json", info)
    lengths = [len(episode.actions) for episode in episodes]
    firsts = [sum(lengths[:i]) for i in range(len(lengths))]
    tables = [
        pa.table(lerobot_columns(episode, number, firsts[number]))
        for number, episode in enumerate(episodes)
    ]
    data = root / "data/chunk-000/file-000.parquet"
    data.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.concat_tables(tables), data)
    video = root / f"videos/{camera}/chunk-000/file-000.mp4"
    write_mp4(video, np.concatenate([episode.frames for episode in episodes]))
    count = len(episodes)
    rows = {
        "episode_index": list(range(count)),
        "tasks": [[episode.task] for episode in episodes],
        "length": lengths,
        "data/chunk_index": [0] * count,
        "data/file_index": [0] * count,
        f"videos/{camera}/chunk_index": [0] * count,
        f"videos/{camera}/file_index": [0] * count,
        f"videos/{camera}/from_timestamp": [first / FPS for first in firsts],
        f"videos/{camera}/to_timestamp": [
            (first + length) / FPS for first, length in zip(firsts, lengths, strict=True)
        ],
        "stats/action/min": [[0.0]] * count,
    }
    listing = root / "meta/episodes/chunk-000/file-000.parquet"
    listing.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(rows), listing)
    return root


def write_robomimic(root: Path, episodes: list[Any]) -> Path:
    h5py = pytest.importorskip("h5py")
    path = root.with_suffix(".hdf5")
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["env_args"] = json.dumps({"env_kwargs": {"control_freq": FPS}})
        for number, episode in enumerate(episodes):
            demo = data.create_group(f"demo_{8 + number}")  # demo_8, demo_9, demo_10
            demo["actions"] = episode.actions.astype(np.float64)
            demo["rewards"] = episode.success.astype(np.float64)
            demo["obs/agentview_image"] = episode.frames
            demo["obs/robot0_eef_pos"] = episode.state.astype(np.float64)
            demo["obs/object"] = episode.state[:, :1] * 2
    return path


def write_minari(root: Path, episodes: list[Any]) -> Path:
    h5py = pytest.importorskip("h5py")
    (root / "data").mkdir(parents=True)
    space = {
        "type": "Box",
        "dtype": "float32",
        "shape": [WIDE],
        "low": [-4.0] * WIDE,
        "high": [8.0] * WIDE,
    }
    write_json(root / "data/metadata.json", {"action_space": json.dumps(space)})
    with h5py.File(root / "data/main_data.hdf5", "w") as file:
        for number, episode in enumerate(episodes):
            group = file.create_group(f"episode_{number}")
            after = episode.frames[-1:]  # Minari keeps the observation after the last action
            group["observations/image"] = np.concatenate((episode.frames, after))
            group["observations/observation"] = np.concatenate((episode.state, episode.state[-1:]))
            group["actions"] = episode.actions
            group["infos/success"] = np.concatenate(([False], episode.success))
    return root


def write_ogbench(root: Path, episodes: list[Any]) -> Path:
    path = root.with_suffix(".npz")
    ends = [np.arange(len(e.actions)) == len(e.actions) - 1 for e in episodes]
    np.savez_compressed(
        path,
        observations=np.concatenate([e.frames for e in episodes]),
        actions=np.concatenate([e.actions for e in episodes]),
        terminals=np.concatenate(ends).astype(np.float32),
        qpos=np.concatenate([e.state for e in episodes]),
    )
    return path


def write_folder(root: Path, episodes: list[Any]) -> Path:
    root.mkdir(parents=True)
    for number, episode in enumerate(episodes):
        write_mp4(root / f"run {number}.mp4", episode.frames)
        with (root / f"run {number}.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(
                ["timestamp", "action.x", "action.y", "action.z", "state.a", "state.b", "success"]
            )
            for t in range(len(episode.actions)):
                row = [t / FPS, *episode.actions[t].tolist(), *episode.state[t].tolist()]
                table.writerow([*row, episode.success[t]])
    return root


@pytest.fixture
def log_writers() -> dict[str, Writer]:
    return {
        "lerobot v2.1": write_lerobot_v21,
        "lerobot v3": write_lerobot_v3,
        "hdf5": write_robomimic,
        "minari": write_minari,
        "npz": write_ogbench,
        "folder": write_folder,
    }


@pytest.fixture
def recorded() -> list[Any]:
    return record(0)


@pytest.fixture
def encode() -> Callable[..., None]:
    return write_mp4
