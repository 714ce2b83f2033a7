"""Writing files so that a kill leaves the old content or the new, never half of one."""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goalsight.errors import DatasetError

SEAL = "seal"
"""Name under which an object of ours keeps a checksum of itself."""


def replace_file(path: Path, content: bytes) -> None:
    """Write `content` beside `path` and rename it into place.

    The rename is atomic, so a reader (or a run killed in between) sees the old file or the new
    one. The name beside ends in the process id and six random digits: two writers never share it,
    not even two machines that write into one shared folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}{secrets.randbelow(10**6):06d}")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Delete what killed writers left beside their targets in a folder (not below it)."""
    for beside in folder.glob(".*.*"):
        if beside.suffix[1:].isdigit():
            beside.unlink(missing_ok=True)


def replace_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write `value` as indented JSON, atomically; NaN is refused because JSON has none."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    replace_file(path, (text + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        DatasetError: if the file is missing, not JSON, or not an object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing; collect the dataset again") from None
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(value, dict):
        raise DatasetError(f"{path} must hold a JSON object, got {type(value).__name__}")
    return value


def seal(value: Mapping[str, Any]) -> dict[str, Any]:
    """The same object with a checksum of itself, so that a changed byte is noticed."""
    return {**value, SEAL: _digest(value)}


def unseal(value: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """What `seal` was given; an object without a seal comes from before there were seals.

    Raises:
        DatasetError: if it is not what was sealed.
    """
    content = {name: item for name, item in value.items() if name != SEAL}
    if value.get(SEAL, expected := _digest(content)) != expected:
        raise DatasetError(
            f"{path} is not what was written (its {SEAL} does not fit); restore it from a copy"
        )
    return content


def _digest(value: Mapping[str, Any]) -> str:
    """16 hex digits of the SHA-256 of the object, whatever the order of its names."""
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def npy_bytes(array: NDArray[Any]) -> bytes:
    """An array as the content of a .npy file (`np.save` to a file hides why a write failed)."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
