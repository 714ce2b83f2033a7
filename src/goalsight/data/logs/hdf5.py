"""HDF5 logs: robomimic's `data/demo_N` and Minari's `episode_N`."""

from __future__ import annotations

import json
import re
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goalsight.data.logs.source import (
    Frame,
    Keys,
    Log,
    LogEpisode,
    Rows,
    check_rows,
    choose_camera,
    join_columns,
    names_for,
    require_keys,
    split_keys,
)
from goalsight.errors import DatasetError, UserError
from goalsight.io import read_json

FRAMES_AT_ONCE = 64
"""Frames read together."""


class _Hdf5Log(Log):
    """What the two have in common: episodes are groups, features the arrays inside."""

    def __init__(self, path: Path, file: Path, keys: Keys) -> None:
        self.path, self._path = path, file
        self._file = open_hdf5(file)
        self._groups = self._find_groups()
        if not self._groups:
            raise DatasetError(f"{file} has no episodes of the {self.format} layout")
        first = self._features(0)
        cameras = [key for key, array in first.items() if _is_pictures(array)]
        numbers = [key for key, array in first.items() if array.ndim <= 2 and _is_number(array)]
        self.camera = choose_camera(keys.camera, cameras, file)
        self.action_key = keys.action or "actions"
        self._states = self._default_states(numbers, keys)
        self._truth = split_keys(keys.truth) or []
        require_keys([*self._states, *self._truth], numbers, "feature", file)
        self.action_names = names_for("action", self._actions(0).shape[1])
        self.proprio_names = [n for key in self._states for n in names_for(key, _wide(first[key]))]
        lengths = [len(self._array(group, self.action_key)) for group in self._groups]
        self.episodes = [
            LogEpisode(group.rpartition("/")[2], length)
            for group, length in zip(self._groups, lengths, strict=True)
        ]

    def rows(self, index: int) -> Rows:
        """See `Log.rows`."""
        length, where = self.episodes[index].length, self._where(index)
        features = self._features(index)
        require_keys([*self._states, *self._truth], list(features), "feature", where)

        def read(key: str) -> NDArray[np.float32]:
            # One row more than actions: the observation after the last action.
            values = np.asarray(features[key][:length], np.float32)
            return values.reshape(len(values), -1)

        rows = Rows(
            actions=self._actions(index),
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
                f"{where}: {self.camera} has {len(pictures)} frames for {length} actions"
            )
        for first in range(0, length, FRAMES_AT_ONCE):
            yield from pictures[first : min(first + FRAMES_AT_ONCE, length)]

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

    def _array(self, group: str, key: str) -> Any:  # noqa: ANN401  (h5py.Dataset)
        found = self._file[group]
        if key not in found:
            known = ", ".join(sorted(found))
            raise DatasetError(f"{self._path}, {group}: no {key!r}; there is: {known}")
        return found[key]

    def _actions(self, index: int) -> NDArray[np.float64]:
        array = self._array(self._groups[index], self.action_key)
        values = np.asarray(array, np.float64) if _is_number(array) else np.empty((0, 0))
        if values.ndim > 2 or not values.size:
            raise DatasetError(f"{self._where(index)}: {self.action_key} is not (steps, numbers)")
        return values.reshape(len(values), -1)

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
        return _leaves(self._array(self._groups[index], "obs"))

    def _default_states(self, numbers: Sequence[str], keys: Keys) -> list[str]:
        wanted = split_keys(keys.state)
        return [key for key in numbers if key.startswith("robot")] if wanted is None else wanted

    def _success(self, index: int) -> NDArray[np.bool_]:
        """Sparse rewards are successes; others say nothing about it."""
        group = self._file[self._groups[index]]
        length = len(group[self.action_key])
        rewards = np.asarray(group["rewards"]) if "rewards" in group else np.zeros(length)
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
        seen = self._array(self._groups[index], "observations")
        return _leaves(seen) if hasattr(seen, "keys") else {"observations": seen}

    def _default_states(self, numbers: Sequence[str], keys: Keys) -> list[str]:
        wanted = split_keys(keys.state)
        usual = ("observation", "state", "proprio", "robot_state")
        return [key for key in numbers if key in usual] if wanted is None else wanted

    def _success(self, index: int) -> NDArray[np.bool_]:
        """`infos/success` or `infos/is_success`, which may begin with the reset's."""
        group = self._file[self._groups[index]]
        length = len(group[self.action_key])
        infos = group.get("infos")
        for name in ("success", "is_success"):
            if hasattr(infos, "keys") and name in infos:
                solved: NDArray[np.bool_] = np.asarray(infos[name]).reshape(-1) > 0
                return solved[-length:] if len(solved) >= length else np.zeros(length, np.bool_)
        return np.zeros(length, np.bool_)


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


def _is_pictures(array: Any) -> bool:  # noqa: ANN401
    return array.dtype == np.uint8 and array.ndim in {3, 4} and min(array.shape[1:3]) > 0


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
