"""HDF5 logs: robomimic's `data/demo_N`, Minari's `episode_N`, and ALOHA's one file an episode."""

from __future__ import annotations

import json
import re
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goalsight.data.importers.source import (
    Frame,
    Keys,
    Log,
    LogEpisode,
    Rows,
    check_rows,
    choose_array,
    join_columns,
    names_for,
    require_keys,
    split_keys,
)
from goalsight.errors import DatasetError, UserError
from goalsight.io import read_json

UNREADABLE = (OSError, RuntimeError, ValueError, KeyError)
"""What h5py raises where a file is damaged."""
HDF5 = (".hdf5", ".h5")
"""Suffixes, in capitals or not."""
FRAMES_AT_ONCE = 64
"""Frames read together."""


class _Hdf5Log(Log):
    """What they have in common: episodes are groups, features the arrays inside."""

    usual_action = "actions"
    """Key of the action if none is asked for."""

    def __init__(self, path: Path, file: Path, keys: Keys) -> None:
        self.path, self._path = path, file
        self._file = open_hdf5(file)
        self._groups = self._find_groups()
        if not self._groups:
            raise DatasetError(f"{file} has no episodes of the {self.format} layout")
        self.action_key = keys.action or self.usual_action
        lengths = [self._length(index) for index in range(len(self._groups))]
        self.episodes = [
            LogEpisode(group.rpartition("/")[2], length)
            for group, length in zip(self._groups, lengths, strict=True)
        ]
        # An episode that was given up is none; it is left out with --skip.
        shown = next((index for index, length in enumerate(lengths) if length), 0)
        actions = self._array(shown, self.action_key)
        first = self._features(shown)
        self.camera = choose_array(
            keys.camera, {key: (array.shape, array.dtype) for key, array in first.items()}, file
        )
        numbers = [key for key, array in first.items() if array.ndim <= 2 and _is_number(array)]
        self._states = self._default_states(numbers, keys)
        self._truth = split_keys(keys.truth) or []
        require_keys([*self._states, *self._truth], numbers, "feature", file)
        if not _is_number(actions) or actions.ndim > 2 or not actions.size:
            raise DatasetError(f"{self._where(shown)}: {self.action_key} is not (steps, numbers)")
        self.action_names = names_for("action", _wide(actions))
        self.proprio_names = [n for key in self._states for n in names_for(key, _wide(first[key]))]

    def rows(self, index: int) -> Rows:
        """See `Log.rows`."""
        length, where = self.episodes[index].length, self._where(index)
        features = self._features(index)
        require_keys([*self._states, *self._truth], list(features), "feature", where)

        def read(key: str) -> NDArray[np.float32]:
            # One row more than actions: the observation after the last action.
            values = self._read(index, features[key], slice(length)).astype(np.float32)
            return values.reshape(len(values), -1)

        actions = self._read(index, self._array(index, self.action_key)).astype(np.float64)
        rows = Rows(
            actions=actions.reshape(len(actions), -1),
            proprio=join_columns([read(key) for key in self._states], length),
            success=self._success(index)[:length],
            truth={key.replace("/", "."): read(key) for key in self._truth},
        )
        return check_rows(rows, length, where)

    def frames(self, index: int) -> Iterator[Frame]:
        """See `Log.frames`."""
        length, where = self.episodes[index].length, self._where(index)
        features = self._features(index)
        require_keys([self.camera], list(features), "camera", where)
        pictures = features[self.camera]
        if len(pictures) not in {length, length + 1}:
            raise DatasetError(
                f"{where}: {self.camera} has {len(pictures)} frames for {length} actions; leave "
                f"it out with --skip {self.episodes[index].name}"
            )
        for first in range(0, length, FRAMES_AT_ONCE):
            yield from self._read(
                index, pictures, slice(first, min(first + FRAMES_AT_ONCE, length))
            )

    def close(self) -> None:
        """See `Log.close`."""
        self._file.close()

    @abstractmethod
    def _find_groups(self) -> list[str]:
        """Paths of the episodes' groups, in order."""

    @abstractmethod
    def _features(self, index: int) -> dict[str, Any]:
        """Arrays of an episode's observations by key."""

    @abstractmethod
    def _default_states(self, numbers: Sequence[str], keys: Keys) -> list[str]:
        """Features that become proprio."""

    @abstractmethod
    def _success(self, index: int) -> NDArray[np.bool_]:
        """(L,) whether the task was solved."""

    def _group(self, index: int) -> Any:  # noqa: ANN401  (h5py.Group)
        """The group of an episode."""
        return self._file[self._groups[index]]

    def _length(self, index: int) -> int:
        """Rows of an episode; 0 if it holds no actions."""
        array = self._group(index).get(self.action_key)
        return len(array) if getattr(array, "shape", ()) else 0

    def _array(self, index: int, key: str) -> Any:  # noqa: ANN401  (h5py.Dataset)
        found = self._group(index)
        if key not in found:
            known = ", ".join(sorted(found)) or "nothing"
            raise DatasetError(f"{self._where(index)}: no {key!r}; there is: {known}")
        return found[key]

    def _read(self, index: int, array: Any, rows: slice = slice(None)) -> NDArray[Any]:  # noqa: ANN401
        """Rows of an array.

        Raises:
            DatasetError: if they are damaged.
        """
        try:
            return np.asarray(array[rows])
        except UNREADABLE as error:
            raise DatasetError(
                f"{self._where(index)}: {array.name} cannot be read ({error}); the file is "
                "damaged: restore it, or leave the episode out with --skip "
                f"{self.episodes[index].name}"
            ) from None

    def _where(self, index: int) -> str:
        return f"{self._path}, {self._groups[index]}"


class RobomimicLog(_Hdf5Log):
    """`data/demo_N/{actions, obs/KEY}`; the control rate is in the attribute `env_args`."""

    format = "hdf5"
    normalised = True

    def __init__(self, path: Path, keys: Keys) -> None:
        """Open the file.

        Raises:
            DatasetError: if it is damaged, of another layout, or lacks what is asked for.
            UserError: if h5py is not installed.
        """
        super().__init__(path, path, keys)
        self.fps = self._control_rate()

    def _find_groups(self) -> list[str]:
        data = self._file.get("data")
        names = [] if data is None else [name for name in data if re.search(r"\d+$", name)]
        return [f"data/{name}" for name in sorted(names, key=_number)]

    def _features(self, index: int) -> dict[str, Any]:
        return _leaves(self._array(index, "obs"))

    def _default_states(self, numbers: Sequence[str], keys: Keys) -> list[str]:
        wanted = split_keys(keys.state)
        return [key for key in numbers if key.startswith("robot")] if wanted is None else wanted

    def _success(self, index: int) -> NDArray[np.bool_]:
        """Sparse rewards are successes; others say nothing about it."""
        group, length = self._group(index), self._length(index)
        rewards = self._read(index, group["rewards"]) if "rewards" in group else np.zeros(length)
        sparse = rewards.shape == (length,) and np.isin(rewards, (0, 1)).all()
        return rewards > 0 if sparse else np.zeros(length, np.bool_)

    def _control_rate(self) -> float | None:
        try:
            arguments = json.loads(self._file["data"].attrs["env_args"])
            return float(arguments["env_kwargs"]["control_freq"])
        except (KeyError, TypeError, ValueError):
            return None


class MinariLog(_Hdf5Log):
    """`data/main_data.hdf5` of a Minari dataset, with the action bounds in `data/metadata.json`."""

    format = "minari"
    fps = None

    def __init__(self, path: Path, keys: Keys) -> None:
        """Open the file.

        Raises:
            DatasetError: if it is damaged, of another layout, or lacks what is asked for.
            UserError: if h5py is not installed.
        """
        file = path if path.is_file() else path / "data" / "main_data.hdf5"
        super().__init__(path, file, keys)
        self.bounds = _box_bounds(file.with_name("metadata.json"))

    def _find_groups(self) -> list[str]:
        names = [name for name in self._file if re.fullmatch(r"episode_\d+", name)]
        return sorted(names, key=_number)

    def _features(self, index: int) -> dict[str, Any]:
        seen = self._array(index, "observations")
        return _leaves(seen) if hasattr(seen, "keys") else {"observations": seen}

    def _default_states(self, numbers: Sequence[str], keys: Keys) -> list[str]:
        wanted = split_keys(keys.state)
        usual = ("observation", "state", "proprio", "robot_state")
        return [key for key in numbers if key in usual] if wanted is None else wanted

    def _success(self, index: int) -> NDArray[np.bool_]:
        """`infos/success` or `infos/is_success`, which may begin with the reset's."""
        length, infos = self._length(index), self._group(index).get("infos")
        for name in ("success", "is_success"):
            if hasattr(infos, "keys") and name in infos:
                solved: NDArray[np.bool_] = self._read(index, infos[name]).reshape(-1) > 0
                return solved[-length:] if len(solved) >= length else np.zeros(length, np.bool_)
        return np.zeros(length, np.bool_)


class AlohaLog(_Hdf5Log):
    """ACT's and ALOHA's: an episode a file, `action`, `observations/{qpos, images/KEY}`."""

    format = "aloha"
    fps = None
    usual_action = "action"

    def __init__(self, path: Path, keys: Keys) -> None:
        """Open a file, or the first of a folder.

        Raises:
            DatasetError: if it is damaged, of another layout, or lacks what is asked for.
            UserError: if h5py is not installed.
        """
        self._files = hdf5_files(path) if path.is_dir() else [path]
        if not self._files:
            raise DatasetError(f"{path} has no .hdf5")
        self._now = 0
        super().__init__(path, self._files[0], keys)

    def _find_groups(self) -> list[str]:
        return [file.stem for file in self._files]

    def _group(self, index: int) -> Any:  # noqa: ANN401
        if index != self._now:
            self._file.close()
            self._file, self._now = open_hdf5(self._files[index]), index
        return self._file

    def _features(self, index: int) -> dict[str, Any]:
        found = _leaves(self._array(index, "observations"))
        packed = [key for key, array in found.items() if "images/" in key and array.ndim < 3]
        if packed:
            raise DatasetError(
                f"{self._where(index)}: {packed[0]} holds compressed pictures, of which it is not "
                "said whether red or blue comes first; write them as uint8 (steps, height, width, "
                "3) RGB"
            )
        return found

    def _default_states(self, numbers: Sequence[str], keys: Keys) -> list[str]:
        wanted = split_keys(keys.state)
        return [key for key in numbers if key == "qpos"] if wanted is None else wanted

    def _success(self, index: int) -> NDArray[np.bool_]:
        """Nothing is said of it."""
        return np.zeros(self._length(index), np.bool_)

    def _where(self, index: int) -> str:
        return str(self._files[index])


def hdf5_files(folder: Path) -> list[Path]:
    """HDF5 files of a folder by number, `episode_2` before `episode_10`."""
    files = [file for file in folder.iterdir() if file.suffix.lower() in HDF5]
    return sorted(files, key=lambda file: _number(file.stem))


def hdf5_layout(path: Path) -> str:
    """Name of the format of an HDF5 file, by what it holds.

    Raises:
        UserError: if h5py is not installed.
        DatasetError: if the file is damaged, or of no known layout; says what was looked for.
    """
    with open_hdf5(path) as file:
        names = list(file)
        if "data" in names:
            return RobomimicLog.format
        if "observations" in names and "action" in names:
            return AlohaLog.format
        if any(re.fullmatch(r"episode_\d+", name) for name in names):
            return MinariLog.format
    raise DatasetError(
        f"{path} is HDF5 of no known layout: looked for data/demo_N (robomimic), action and "
        f"observations (ALOHA), episode_N (Minari); there is: {', '.join(names) or 'nothing'}"
    )


def open_hdf5(path: Path) -> Any:  # noqa: ANN401  (h5py.File)
    """Open an HDF5 file for reading.

    Raises:
        UserError: if h5py is not installed.
        DatasetError: if the file is missing or damaged.
    """
    try:
        import h5py
    except ImportError:
        raise UserError(
            "HDF5 logs need h5py; install it with: pip install 'goalsight[import]'"
        ) from None
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing") from None
    except OSError as error:
        raise DatasetError(f"{path} cannot be read as HDF5 ({error})") from None
    outside = file.visititems(_stored_elsewhere) or file.visititems_links(_linked_elsewhere)
    if outside:
        file.close()
        raise DatasetError(f"{path}: {outside} is kept in another file; a log is read from one")
    return file


def _stored_elsewhere(name: str, item: Any) -> str | None:  # noqa: ANN401  (h5py)
    """The name of an array whose numbers are in another file."""
    return name if getattr(item, "external", None) or getattr(item, "is_virtual", False) else None


def _linked_elsewhere(name: str, link: Any) -> str | None:  # noqa: ANN401  (h5py)
    """The name of a link to another file."""
    return name if hasattr(link, "filename") else None


def _leaves(group: Any) -> dict[str, Any]:  # noqa: ANN401  (h5py.Group)
    """Arrays in a group and the groups below it, by path."""
    found: dict[str, Any] = {}

    def visit(name: str, item: Any) -> None:  # noqa: ANN401
        if hasattr(item, "dtype"):
            found[name] = item

    group.visititems(visit)
    return found


def _is_number(array: Any) -> bool:  # noqa: ANN401
    return hasattr(array, "dtype") and array.dtype.kind in "fiub"


def _wide(array: Any) -> int:  # noqa: ANN401
    return int(np.prod(array.shape[1:], dtype=int))


def _number(name: str) -> tuple[int, str]:
    """Key that sorts demo_2 before demo_10."""
    digits = re.search(r"\d+$", name)
    return int(digits[0]) if digits else -1, name


def _box_bounds(path: Path) -> tuple[list[float], list[float]] | None:
    """Finite bounds of a Box action space in Minari's metadata; None where it has none."""
    if not path.is_file():
        return None
    space = read_json(path, error=DatasetError).get("action_space")
    try:
        box: Any = json.loads(space) if isinstance(space, str) else space
        low, high = np.ravel(box["low"]), np.ravel(box["high"])
        if box["type"] != "Box" or not np.isfinite([*low, *high]).all():
            return None
        return low.astype(float).tolist(), high.astype(float).tolist()
    except (KeyError, TypeError, ValueError):
        return None
