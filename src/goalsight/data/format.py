"""What a dataset looks like on disk: LeRobot v3 names, paths and features, and our provenance.

Facts of the LeRobot v3.0 format: https://huggingface.co/docs/lerobot/lerobot-dataset-v3. Each
episode has a parquet and a video file of its own, so that it is there whole or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from goalsight.errors import DatasetError
from goalsight.io import inside, read_json, seal, unseal

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

CODEBASE_VERSION = "v3.0"
"""LeRobot format version written and read."""
SCHEMA = 1
"""Version of `meta/goalsight.json` and `meta/goalsight_episodes.jsonl`."""
CHUNK = 1000
"""Files per chunk folder."""
EPISODES_PER_FILE = 100
"""Rows of one `meta/episodes` file: what is rewritten when an episode is committed."""

VideoMode = Literal["h264", "none"]
"""Where frames are kept: an mp4 per episode, or only the decoded cache."""

INFO = Path("meta/info.json")
STATS = Path("meta/stats.json")
TASKS = Path("meta/tasks.parquet")
PROVENANCE = Path("meta/goalsight.json")
RECORDS = Path("meta/goalsight_episodes.jsonl")
DATA_TEMPLATE = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_TEMPLATE = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"

ACTION = "action"
PROPRIO = "observation.state"
SUCCESS = "next.success"
TRUTH_PREFIX = "state."
INDEX_COLUMNS = {
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}
"""Columns every LeRobot dataset has."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a dataset comes from; kept in `meta/goalsight.json`."""

    schema: int = SCHEMA
    """Version of this record."""
    env: str
    """Gymnasium id."""
    policy: str
    """Name of the policy that acted."""
    seed: int
    """Episode i is a function of this and of i alone."""
    steps: int
    """Control steps per episode."""
    size: int
    """Height and width of the frames [pixels]."""
    video: VideoMode
    """How frames are kept."""
    control_dt: float
    """Seconds per control step."""
    camera: str
    """Name of the camera."""
    renderer: str
    """GL backend that drew the frames; two backends' pictures are never mixed."""
    mujoco: str | None
    """Version of MuJoCo installed, None if there is none."""
    action_names: list[str]
    """What each of the A numbers of an action means."""
    action_low: list[float]
    """(A,) lower bounds."""
    action_high: list[float]
    """(A,) upper bounds."""
    proprio_names: list[str]
    """What each of the Q numbers of proprio means."""
    truth: dict[str, int]
    """Simulator truth by name: how many numbers."""
    goalsight: str
    """Version of this package at the first episode."""
    commit: str | None
    """Commit of the code at the first episode, if it ran from a checkout."""
    other_cameras: list[str] | None = None
    """Cameras recorded beside the main one."""
    factors: Any = None
    """What varied between episodes, as asked for; each record has the values."""
    redraw: bool | None = None
    """True where looks varied from frame to frame; left out where not."""
    mix: dict[str, Any] | None = None
    """Content of the mix of policies that acted, None if it was one policy."""
    agent: dict[str, str] | None = None
    """Checkpoint and settings of the agent that acted; left out where none did."""
    sources: list[dict[str, Any]] | None = None
    """The datasets it was merged from, in order, see `goalsight.data.merge`."""

    def to_json(self) -> dict[str, Any]:
        """As plain values; what is optional and absent is left out."""
        return without_absent(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any], path: Path) -> Provenance:
        """Read what `to_json` gave, sealed or not.

        Raises:
            DatasetError: if a field is missing or unknown, the schema is not ours, or the seal
                does not fit.
        """
        if value.get("schema") != SCHEMA:
            raise DatasetError(
                f"{path}: schema {value.get('schema')!r} is not {SCHEMA}; this version of "
                "goalsight cannot read it"
            )
        content = unseal(value, path, error=DatasetError)
        wrong = wrong_names(cls, content)
        if wrong:
            raise DatasetError(f"{path}: missing or unknown fields: {', '.join(wrong)}")
        for name in ("camera", "other_cameras"):
            for camera in _listed(content[name]) if name in content else []:
                inside(path.parent, camera, source=path, field=name, error=DatasetError)
        control_dt = content["control_dt"]
        if not isinstance(control_dt, int | float) or not 0 < control_dt < float("inf"):
            raise DatasetError(f"{path}: control_dt must be seconds above 0, got {control_dt!r}")
        return cls(**content)

    def difference(self, other: Provenance) -> str | None:
        """Name of the first field in which two datasets do not fit together, or None.

        The versions of this package may differ: an episode's content is a matter of the rest.
        """
        for item in fields(self):
            if item.name in {"goalsight", "commit"}:
                continue
            if getattr(self, item.name) != getattr(other, item.name):
                return item.name
        return None

    @property
    def fps(self) -> int | float:
        """Control steps per second, a whole number where LeRobot can have one."""
        fps = round(1 / self.control_dt, 6)
        return round(fps) if fps == round(fps) else fps

    @property
    def cameras(self) -> list[str]:
        """Every camera recorded, the main one first."""
        return [self.camera, *(self.other_cameras or [])]

    @property
    def video_key(self) -> str:
        """Feature name of the main camera's frames."""
        return video_key(self.camera)

    @property
    def task(self) -> str:
        """LeRobot wants a sentence per task."""
        return f"{self.policy} in {self.env}"


def read_meta(path: Path) -> dict[str, Any]:
    """A JSON file of a dataset's `meta/`.

    Raises:
        DatasetError: if it is missing, not JSON, or not an object.
    """
    return read_json(path, error=DatasetError, advice="collect the dataset again")


def video_key(camera: str) -> str:
    """Feature name of a camera's frames."""
    return f"observation.images.{camera}"


def chunk_and_file(index: int) -> tuple[int, int]:
    """Chunk folder and file number of the index-th file."""
    return divmod(index, CHUNK)


def data_path(episode: int) -> Path:
    """Parquet of an episode, relative to the dataset."""
    chunk, file = chunk_and_file(episode)
    return Path(DATA_TEMPLATE.format(chunk_index=chunk, file_index=file))


def goal_path(episode: int) -> Path:
    """Picture of what an episode sought, relative to the dataset."""
    chunk, file = chunk_and_file(episode)
    return Path(f"goals/chunk-{chunk:03d}/goal-{file:03d}.png")


def cache_path(camera: str, episode: int) -> Path:
    """Decoded frames of an episode, relative to the dataset."""
    folder = inside(Path("cache"), camera, source=PROVENANCE, field="camera", error=DatasetError)
    return folder / f"episode-{episode:06d}.npy"


def frames_path(provenance: Provenance, episode: int, camera: str = "") -> Path:
    """The file that holds an episode's frames, relative to the dataset: mp4 or cache file.

    Args:
        provenance: of the dataset.
        episode: which.
        camera: whose frames; the main camera's unless one is named.
    """
    camera = camera or provenance.camera
    if provenance.video == "none":
        return cache_path(camera, episode)
    return video_path(video_key(camera), episode)


def video_path(key: str, episode: int) -> Path:
    """The mp4 of an episode, relative to the dataset.

    Args:
        key: feature that it is of.
        episode: which.
    """
    chunk, file = chunk_and_file(episode)
    # A name that holds a slash is a folder below for LeRobot, too.
    path = VIDEO_TEMPLATE.format(video_key=key, chunk_index=chunk, file_index=file)
    return inside(Path(), path, source=INFO, field="features", nested=True, error=DatasetError)


def episodes_path(block: int) -> Path:
    """The `meta/episodes` file of episodes 100 block to 100 block + 99, relative."""
    chunk, file = chunk_and_file(block)
    return Path(f"meta/episodes/chunk-{chunk:03d}/file-{file:03d}.parquet")


def features(provenance: Provenance) -> dict[str, dict[str, Any]]:
    """LeRobot's `features` of `meta/info.json`: dtype, shape and names of every column."""

    def feature(dtype: str, width: int, names: list[str] | None = None) -> dict[str, Any]:
        return {"dtype": dtype, "shape": [width], "names": names}

    described: dict[str, dict[str, Any]] = {}
    if provenance.video == "h264":
        for camera in provenance.cameras:
            described[video_key(camera)] = _video_feature(provenance)
    if provenance.proprio_names:  # a log may have recorded none
        names = provenance.proprio_names
        described[PROPRIO] = feature("float32", len(names), names)
    described[ACTION] = feature("float32", len(provenance.action_names), provenance.action_names)
    for name, width in provenance.truth.items():
        described[TRUTH_PREFIX + name] = feature("float32", width)
    described[SUCCESS] = feature("bool", 1)
    for name, dtype in INDEX_COLUMNS.items():
        described[name] = feature(dtype, 1)
    return described


def _video_feature(provenance: Provenance) -> dict[str, Any]:
    return {
        "dtype": "video",
        "shape": [provenance.size, provenance.size, 3],
        "names": ["height", "width", "channels"],
        "info": {
            "video.height": provenance.size,
            "video.width": provenance.size,
            "video.codec": "h264",
            "video.pix_fmt": "yuv444p",
            "video.is_depth_map": False,
            "video.fps": provenance.fps,
            "video.channels": 3,
            "has_audio": False,
        },
    }


def info(provenance: Provenance, lengths: list[int]) -> dict[str, Any]:
    """`meta/info.json` of a dataset with episodes of these lengths."""
    return {
        "codebase_version": CODEBASE_VERSION,
        "robot_type": None,
        "total_episodes": len(lengths),
        "total_frames": sum(lengths),
        "total_tasks": 1,
        "chunks_size": CHUNK,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": provenance.fps,
        "splits": {"train": f"0:{len(lengths)}"},
        "data_path": DATA_TEMPLATE,
        "video_path": VIDEO_TEMPLATE if provenance.video == "h264" else None,
        "features": features(provenance),
    }


def starts(lengths: list[int]) -> list[int]:
    """Global index of each episode's first row, and the total at the end."""
    return list(accumulate(lengths, initial=0))


def _listed(names: object) -> list[object]:
    """One name, several or none, as a list."""
    if names is None:
        return []
    return list(names) if isinstance(names, list | tuple) else [names]


@dataclass(frozen=True)
class EpisodeRecord:
    """One line of `meta/goalsight_episodes.jsonl`: what must be found on disk."""

    episode: int
    """Index from 0."""
    length: int
    """Control steps, rows of the parquet."""
    frames: int
    """Frames in the video (or the cache file with `video: none`)."""
    data_sha256: str
    """Of the parquet."""
    frames_sha256: str
    """Of the mp4, or of the cache file with `video: none`."""
    policy: str | None = None
    """Who acted, where that differs from episode to episode; else see `Provenance.policy`."""
    origin: int | None = None
    """Index that the seed made it from, where that is no longer `episode`: bad ones were taken
    out before it."""

    goal: dict[str, Any] | None = None
    """Of a goal-seeking policy's episode: `image_sha256`, `is_success` and `frame`, see
    `goalsight.data.format.Goal`; left out elsewhere."""

    other_sha256: dict[str, str] | None = None
    """What `frames_sha256` is, for cameras beside the main one, by name."""
    factors: dict[str, Any] | None = None
    """Factors of variation that were not nominal in this episode."""
    env: str | None = None
    """Gymnasium id, where that differs from episode to episode; else see `Provenance.env`."""

    def sha256_of(self, camera: str) -> str:
        """Checksum of a camera's frames."""
        return (self.other_sha256 or {}).get(camera, self.frames_sha256)

    def to_json(self) -> dict[str, Any]:
        """As plain values; what is optional and absent is left out."""
        return without_absent(self)

    def to_line(self) -> str:
        """As the sealed line of `meta/goalsight_episodes.jsonl`."""
        return json.dumps(seal(self.to_json())) + "\n"

    @classmethod
    def from_line(cls, line: str, path: Path) -> EpisodeRecord:
        """Read what `to_line` gave.

        Raises:
            DatasetError: if the line is damaged.
        """
        try:
            value = json.loads(line)
        except ValueError as error:
            raise DatasetError(f"{path} cannot be read: {error}") from None
        if not isinstance(value, dict):
            raise DatasetError(f"{path} cannot be read: a line is not a JSON object")
        content = unseal(value, path, error=DatasetError)
        wrong = wrong_names(cls, content)
        if wrong:
            raise DatasetError(
                f"{path} cannot be read: missing or unknown fields: {', '.join(wrong)}"
            )
        length = content["length"]
        if not isinstance(length, int) or length < 1:
            raise DatasetError(f"{path}: length must be a number above 0, got {length!r}")
        return cls(**content)


def without_absent(value: DataclassInstance) -> dict[str, Any]:
    """Fields as plain values, without the optional ones that are None."""
    optional = {field.name for field in fields(value) if field.default is None}
    plain = asdict(value).items()
    return {name: item for name, item in plain if item is not None or name not in optional}


def wrong_names(kind: type[DataclassInstance], value: Mapping[str, Any]) -> list[str]:
    """Names that are missing or that nobody knows, sorted."""
    known = {field.name for field in fields(kind)}
    needed = {field.name for field in fields(kind) if field.default is MISSING}
    return sorted((set(value) - known) | (needed - set(value)))


@dataclass(frozen=True)
class Goal:
    """What an episode of a goal-seeking policy was after, and what it is good for in hindsight."""

    image: NDArray[np.uint8] = field(compare=False)
    """(H, W, 3) the goal image it was shown."""
    is_success: bool
    """Whether the task was solved after the last action."""
    frame: int
    """Frame that the episode leads to: for a success the first of those that stayed solved, for a
    failure the last, which is what it reached instead."""


@dataclass(frozen=True)
class Episode:
    """What happened in one episode of L control steps; row t is (frame t, action t)."""

    index: int
    """Which episode of the dataset."""
    proprio: NDArray[np.float32]
    """(L, Q) what the robot measured before each action, SI units."""
    actions: NDArray[np.float32]
    """(L, A)."""
    success: NDArray[np.bool_]
    """(L,) whether the task was solved after each action."""
    frames_file: Path = field(compare=False)
    """mp4 (or npy) with the L frames, not yet in its place."""
    frames_sha256: str
    """Of that file."""
    truth: dict[str, NDArray[np.float32]]
    """Simulator truth by name, each (L, d), before each action."""
    policy: str | None = None
    """Who acted, where that differs from episode to episode."""
    origin: int | None = None
    """Index that the seed made it from, where that is not `index`."""
    goal: Goal | None = None
    """What it sought; None where the policy seeks nothing."""
    other_frames: dict[str, tuple[Path, str]] = field(default_factory=dict, compare=False)
    """File and its SHA-256 by name for cameras beside the main one."""
    factors: dict[str, Any] = field(default_factory=dict)
    """Factors of variation that were not nominal, as JSON values."""
    env: str | None = None
    """Gymnasium id, where that differs from episode to episode."""

    @property
    def length(self) -> int:
        """L."""
        return len(self.actions)
