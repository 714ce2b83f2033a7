"""A dataset on disk: open it, read its columns, split it by episode."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from goalsight.data import format as layout
from goalsight.data.format import EpisodeRecord, Provenance
from goalsight.errors import DatasetError
from goalsight.io import sha256, sha256_of
from goalsight.progress import Progress, silent

if TYPE_CHECKING:
    from goalsight.data.windows import Windows


@dataclass(frozen=True, repr=False)
class Dataset:
    """A committed dataset on disk; cheap to hold, reads no rows and no frames by itself."""

    path: Path
    """Its folder."""
    info: dict[str, Any]
    """`meta/info.json` (LeRobot)."""
    provenance: Provenance
    """`meta/goalsight.json`: environment, seed, policy, camera."""
    records: tuple[EpisodeRecord, ...]
    """Length and checksums of every episode."""
    cache_gb: float | None = field(default=None, compare=False)
    """Bound of the decode-once cache [GB, 1e9 bytes]; None for no bound, 0 for no cache. Frames
    that do not fit are decoded each time."""
    chosen_camera: str = ""
    """Whose frames are read, see `seen_by`; empty for the main camera's."""

    def __repr__(self) -> str:
        return f"Dataset({self})"

    def __str__(self) -> str:
        """What it is, in a line: folder, episodes, frames and their size, environment."""
        return (
            f"{self.path}: {len(self.records):,} episodes, {self.total_frames:,} frames of "
            f"{self.size} px, {self.provenance.env}"
        )

    def windows(
        self,
        frames: int = 4,
        frameskip: int = 5,
        *,
        episodes: Sequence[int] | None = None,
        size: int | None = None,
        progress: Progress = silent,
    ) -> Windows:
        """What a model trains on, for a PyTorch `DataLoader`; its batches are `Clip`s.

        Args:
            frames: T, frames of a window.
            frameskip: K, control steps between two frames.
            episodes: indices of those to take windows of, each once; all if not given.
            size: height and width to resize to [pixels]; the dataset's if not given.
            progress: told how many videos are decoded, which is done once.

        Raises:
            ValueError: if T or K is below 1.
            DatasetError: if no episode is long enough, or a file is damaged.

        >>> loader = DataLoader(data.windows(frames=4), batch_size=64)  # doctest: +SKIP
        """
        from goalsight.data.windows import Windows

        chosen = range(len(self.records)) if episodes is None else episodes
        return Windows(self, chosen, frames, frameskip, size, progress=progress)

    def seen_by(self, camera: str) -> Dataset:
        """The same dataset with the frames of another camera.

        Args:
            camera: as recorded, `wrist` or `observation.images.wrist`; empty for the main one.

        Raises:
            DatasetError: if it was not recorded; the message lists those that were.
        """
        name = camera.removeprefix(layout.video_key("")) or self.provenance.camera
        if name not in self.provenance.cameras:
            raise DatasetError(
                f"{self.path} has no camera {camera!r}; it has: "
                f"{', '.join(self.provenance.cameras)}"
            )
        return replace(self, chosen_camera=name)

    @property
    def camera(self) -> str:
        """Name of the camera whose frames are read."""
        return self.chosen_camera or self.provenance.camera

    def frames_file(self, episode: int) -> tuple[Path, str]:
        """File of an episode's frames, mp4 or cache file, and the checksum it must have."""
        relative = layout.frames_path(self.provenance, episode, self.camera)
        return self.path / relative, self.records[episode].sha256_of(self.camera)

    @cached_property
    def episodes(self) -> NDArray[np.int64]:
        """(E,) control steps of each episode."""
        return np.array([record.length for record in self.records], np.int64)

    @property
    def total_frames(self) -> int:
        """Rows, and frames, of all episodes."""
        return int(self.episodes.sum())

    @property
    def fps(self) -> float:
        """Control steps per second."""
        return self.provenance.fps

    @property
    def size(self) -> int:
        """Height and width of the frames [pixels]."""
        return self.provenance.size

    @property
    def action_dim(self) -> int:
        """A."""
        return len(self.provenance.action_names)

    @property
    def proprio_dim(self) -> int:
        """Q."""
        return len(self.provenance.proprio_names)

    @property
    def truth_names(self) -> list[str]:
        """Names of the simulator truth stored beside; never a model input."""
        return list(self.provenance.truth)

    def fingerprint(self) -> str:
        """Hex SHA-256 over the committed metadata, and through its checksums over every file."""
        parts = [self.provenance.to_json(), *(record.to_json() for record in self.records)]
        return sha256(*(json.dumps(part, sort_keys=True) for part in parts))

    def widths(self) -> dict[str, int]:
        """Every parquet column and how many numbers a row of it has."""
        columns = layout.features(self.provenance)
        return {key: c["shape"][0] for key, c in columns.items() if c["dtype"] != "video"}

    def columns(self, names: Iterable[str], episodes: Sequence[int]) -> dict[str, NDArray[Any]]:
        """Read columns of some episodes, one after another.

        Args:
            names: parquet columns, e.g. `action`, `observation.state`, `state.cube_pos`.
            episodes: which, in the order wanted.

        Returns:
            (rows, width) arrays by name.

        Raises:
            DatasetError: if a file is damaged or a value is not finite or an action out of bounds.
        """
        known = self.widths()
        widths = {name: known[name] for name in names}
        with ThreadPoolExecutor(4) as pool:
            parts = list(pool.map(lambda e: self.read_episode(e, widths), map(int, episodes)))
        return {
            name: np.concatenate([part[name] for part in parts])
            if parts
            else np.empty((0, width), np.float32)
            for name, width in widths.items()
        }

    def read_episode(self, episode: int, widths: dict[str, int]) -> dict[str, NDArray[Any]]:
        """Read and check columns of one episode; see `columns`."""
        path = self.path / layout.data_path(episode)
        columns = read_table(path, widths, self.records[episode].length)
        if layout.ACTION in columns:
            self.check_bounds(columns[layout.ACTION], path)
        return columns

    def check_bounds(self, actions: NDArray[Any], path: Path) -> None:
        """Compare (L, A) actions with the bounds of the dataset.

        Raises:
            DatasetError: if one is outside.
        """
        low, high = np.array(self.provenance.action_low), np.array(self.provenance.action_high)
        outside = (actions < low - 1e-6) | (actions > high + 1e-6)
        if outside.any():
            row, axis = (int(i) for i in np.argwhere(outside)[0])
            raise DatasetError(
                f"{path}: action {self.provenance.action_names[axis]!r} is {actions[row, axis]:g} "
                f"in row {row}, outside [{low[axis]:g}, {high[axis]:g}] (in all, {outside.sum()} "
                f"of {outside.size} numbers are outside)"
            )


def open_dataset(path: Path | str, *, camera: str = "", cache_gb: float | None = None) -> Dataset:
    """Open a dataset that `goalsight collect` or `goalsight data import` wrote.

    Checks versions, totals, and that every file is there; `goalsight data validate` reads them.

    Args:
        path: folder of the dataset.
        camera: whose frames are read, see `Dataset.seen_by`.
        cache_gb: see `Dataset.cache_gb`.

    Raises:
        DatasetError: if there is none, it is of another kind, its parts do not fit together, or
            the bound is negative.
    """
    root = Path(path)
    if cache_gb is not None and not cache_gb >= 0:
        raise DatasetError(f"the bound of the frame cache must be 0 GB or more, got {cache_gb}")
    if not (root / layout.INFO).is_file():
        raise DatasetError(
            f"no dataset in {root} (meta/info.json is missing); make one with: goalsight collect "
            f"--env Goalsight/Push-v0 --episodes 100 --out {root}"
        )
    info = layout.read_meta(root / layout.INFO)
    if info.get("codebase_version") != layout.CODEBASE_VERSION:
        raise DatasetError(
            f"{root} is a LeRobot dataset of version {info.get('codebase_version')!r}; make it one "
            f"of ours with: goalsight data import {root} --out FOLDER"
        )
    provenance = read_provenance(root)
    records = read_records(root, _count(info, "total_episodes", root))
    dataset = Dataset(root, info, provenance, records, cache_gb)
    for message in (*wrong_totals(dataset), *missing_files(dataset)):
        raise DatasetError(message)
    return dataset.seen_by(camera) if camera else dataset


def read_provenance(root: Path) -> Provenance:
    """Where a dataset comes from.

    Raises:
        DatasetError: if it does not say, or the file is damaged.
    """
    path = root / layout.PROVENANCE
    if not path.is_file():
        raise DatasetError(
            f"{root} was not written by goalsight ({layout.PROVENANCE} is missing); make it a "
            f"dataset of ours with: goalsight data import {root} --out FOLDER"
        )
    return Provenance.from_json(layout.read_meta(path), path)


def read_records(root: Path, count: int) -> tuple[EpisodeRecord, ...]:
    """The first `count` lines of the episode records; lines after them were never committed.

    Raises:
        DatasetError: if lines are missing, damaged, or out of order.
    """
    path = root / layout.RECORDS
    try:
        lines = path.read_text(encoding="utf-8").splitlines()[:count]
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read: {error}") from None
    records = tuple(EpisodeRecord.from_line(line, path) for line in lines)
    if [record.episode for record in records] != list(range(count)):
        raise DatasetError(
            f"{path} records {len(records)} episodes in order where {layout.INFO} counts {count}"
        )
    return records


def _count(info: dict[str, Any], key: str, root: Path) -> int:
    value = info.get(key)
    if not isinstance(value, int) or value < 1:
        raise DatasetError(f"{root / layout.INFO}: {key} must be a number above 0, got {value!r}")
    return value


def wrong_totals(dataset: Dataset) -> Iterator[str]:
    """What `meta/info.json` says that the episodes do not make, one line each."""
    expected = layout.info(dataset.provenance, dataset.episodes.tolist())
    for key in ("total_frames", "fps", "features"):
        if dataset.info.get(key) != expected[key]:
            wanted, got = expected[key], dataset.info.get(key)
            detail = f"{got!r} where the episodes make {wanted!r}"
            if isinstance(wanted, dict):
                detail = f"differs from {layout.PROVENANCE} in {_first_difference(wanted, got)!r}"
            yield f"{dataset.path / layout.INFO}: {key} {detail}"


def _first_difference(wanted: dict[str, Any], got: object) -> str:
    found = got if isinstance(got, dict) else {}
    different = (key for key in {**wanted, **found} if wanted.get(key) != found.get(key))
    return str(next(different))


def missing_files(dataset: Dataset) -> Iterator[str]:
    """Episodes' files that are not there, one line each."""
    for episode in range(len(dataset.records)):
        for relative in (
            layout.data_path(episode),
            *(
                layout.frames_path(dataset.provenance, episode, camera)
                for camera in dataset.provenance.cameras
            ),
            *([layout.goal_path(episode)] if dataset.records[episode].goal else []),
        ):
            if not (dataset.path / relative).is_file():
                yield f"{dataset.path / relative} is missing; restore it or collect again"


UNREADABLE = (OSError, ValueError, LookupError, ArithmeticError, MemoryError, pa.ArrowException)
"""What a damaged parquet file may raise: its names, sizes and codes are all read from the file."""


def read_parquet(path: Path) -> pa.Table:
    """A whole parquet file, whatever it holds.

    Raises:
        DatasetError: if it is missing or cannot be read.
    """
    try:
        with pq.ParquetFile(path) as file:
            return file.read(use_threads=False)
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing; collect the dataset again") from None
    except UNREADABLE as error:
        raise _unreadable(path, error) from None


def count_rows(path: Path) -> int:
    """Rows that a parquet file says it has.

    Raises:
        DatasetError: if it is missing or cannot be read.
    """
    try:
        return int(pq.read_metadata(path).num_rows)
    except UNREADABLE as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> DatasetError:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return DatasetError(f"{path} cannot be read as parquet ({reason})")


def read_table(path: Path, widths: Mapping[str, int], length: int) -> dict[str, NDArray[Any]]:
    """Read columns of one episode's parquet.

    Args:
        path: parquet file.
        widths: column names and how many numbers a row of each has.
        length: rows there must be.

    Returns:
        (length, width) arrays by name.

    Raises:
        DatasetError: if the file is missing or unreadable, a column is missing or has another
            width, rows are missing, or a value is missing or not finite.
    """
    try:
        with pq.ParquetFile(path) as file:
            present = set(file.schema_arrow.names)
            missing = [name for name in widths if name not in present]
            if missing:
                raise DatasetError(
                    f"{path} has no column {missing[0]!r}; it has: {', '.join(sorted(present))}"
                )
            table = file.read(columns=list(widths), use_threads=False)
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing; collect the dataset again") from None
    except UNREADABLE as error:
        raise _unreadable(path, error) from None
    if table.num_rows != length:
        raise DatasetError(
            f"{path} has {table.num_rows} rows where {length} were recorded; it is damaged or not "
            "the file that was written"
        )
    return {
        name: _to_numpy(table.column(name), width, f"{path}: column {name!r}")
        for name, width in widths.items()
    }


def _to_numpy(column: pa.ChunkedArray, width: int, what: str) -> NDArray[Any]:
    """(L, width), checked: right width, nothing missing, everything finite."""
    if pa.types.is_fixed_size_list(column.type):
        found = int(column.type.list_size)
        flat = column.combine_chunks().flatten()
    elif pa.types.is_nested(column.type):
        raise DatasetError(f"{what} must be a list of fixed size, got {column.type}")
    else:
        found, flat = 1, column.combine_chunks()
    if isinstance(flat, pa.ChunkedArray):
        flat = flat.combine_chunks()
    if found != width:
        raise DatasetError(f"{what} has {found} numbers a row where {width} were recorded")
    if column.null_count or flat.null_count:
        raise DatasetError(f"{what} has missing values")
    values: NDArray[Any] = flat.to_numpy(zero_copy_only=False).reshape(-1, width)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        row = int(np.argwhere(~np.isfinite(values))[0, 0])
        raise DatasetError(f"{what} is not finite in row {row}")
    return values


def read_goal(dataset: Dataset, episode: int) -> NDArray[np.uint8]:
    """(H, W, 3) the goal image that an episode's policy was shown.

    Raises:
        DatasetError: if it sought nothing, or the file is missing, damaged or another.
    """
    goal = dataset.records[episode].goal
    path = dataset.path / layout.goal_path(episode)
    if goal is None:
        raise DatasetError(f"episode {episode} of {dataset.path} was not after a goal image")
    if not path.is_file() or sha256_of(path) != goal["image_sha256"]:
        raise DatasetError(
            f"{path} is missing or not the file that was written; restore it or collect again"
        )
    return np.array(Image.open(path))


def split_episodes(
    n: int, validation: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose whole episodes for training and for validation.

    Args:
        n: episodes there are, at least 1.
        validation: share for validation in [0, 1); rounded, but at least one episode if above 0
            and there are two.
        seed: of the choice.

    Returns:
        Sorted, disjoint indices (training, validation) that together are 0 to n - 1; training is
        never empty.

    Raises:
        ValueError: for a share outside [0, 1) or no episodes.

    >>> [part.tolist() for part in split_episodes(5, 0.2, seed=0)]
    [[0, 1, 3, 4], [2]]
    """
    if n < 1 or not 0 <= validation < 1:
        raise ValueError(f"need n >= 1 and validation in [0, 1), got {n} and {validation}")
    held_out = round(n * validation)
    if validation > 0:
        held_out = max(1, held_out)
    held_out = min(held_out, n - 1)
    order = np.random.default_rng(seed).permutation(n).astype(np.int64)
    return np.sort(order[held_out:]), np.sort(order[:held_out])


def action_statistics(dataset: Dataset, episodes: Sequence[int]) -> dict[str, list[float]]:
    """Mean, std, min and max of each action axis over some episodes (the training split).

    Args:
        dataset: where from.
        episodes: indices, at least one.

    Returns:
        `mean`, `std` (standard deviation), `min`, `max`: (A,) lists.

    Raises:
        DatasetError: if there are no episodes or a file is damaged.
    """
    return _statistics(dataset, episodes, layout.ACTION)


def proprio_statistics(dataset: Dataset, episodes: Sequence[int]) -> dict[str, list[float]]:
    """The same of each number of proprio, SI units: (Q,) lists; see `action_statistics`."""
    if not dataset.proprio_dim:
        return {"mean": [], "std": [], "min": [], "max": []}
    return _statistics(dataset, episodes, layout.PROPRIO)


def _statistics(dataset: Dataset, episodes: Sequence[int], column: str) -> dict[str, list[float]]:
    if not len(episodes):
        raise DatasetError(f"no episodes of {dataset.path} to take statistics of {column} from")
    rows = dataset.columns([column], episodes)[column].astype(np.float64)
    return {
        "mean": rows.mean(0).tolist(),
        "std": rows.std(0).tolist(),
        "min": rows.min(0).tolist(),
        "max": rows.max(0).tolist(),
    }
