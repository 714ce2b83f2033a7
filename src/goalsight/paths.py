"""Where the files that ship with goalsight are, in a working copy and in an installed wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def repository() -> Path | None:
    """Root of the working copy that this package runs from; None in an installed wheel."""
    root = _PACKAGE.parents[1]
    return root if (root / "pyproject.toml").is_file() and _PACKAGE.parent.name == "src" else None


def config_dir() -> Path:
    """Folder with `train/`, `bench/` and so on: the repository's `configs/`, else the wheel's."""
    root = repository()
    return _PACKAGE / "configs" if root is None else root / "configs"
