"""What made a result: the commit, the hardware, the versions. Written into every output."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from goalsight.paths import repository

PACKAGES = (
    "goalsight",
    "torch",
    "pytorch-lightning",
    "mujoco",
    "gymnasium",
    "numpy",
    "pyarrow",
    "av",
    "decord2",
    "safetensors",
)
"""Distributions whose versions can change a result."""


DEMONSTRATIONS = "scripted demonstrations"
"""In `labels_used`: what a model learned from knew how a goal is reached."""


@cache
@cache
def git_commit() -> str | None:
    """Commit of the working copy that goalsight runs from, or None outside of one.

    Asked once: what runs is what the process began with, whatever is committed meanwhile.

    Returns:
        The full hash, followed by `+dirty` if a tracked file differs from it.
    """
    root = repository()
    if root is None or not (root / ".git").exists():
        return None
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return None
    return f"{commit}+dirty" if _git(root, "status", "--porcelain", "-uno") else commit


def _git(root: Path, *arguments: str) -> str | None:
    """Output of a git command, or None if git is absent or refuses."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def hardware() -> str:
    """Processor, cores this process may use, and the accelerator if PyTorch has one loaded.

    PyTorch is not imported for this: a program that used no accelerator names none.
    """
    number = cores()
    parts = [f"{_processor()}, {number} core{'s' if number > 1 else ''}"]
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        parts.append(torch.cuda.get_device_name())
    elif torch is not None and torch.backends.mps.is_available():
        parts.append("Apple GPU (MPS)")
    return "; ".join(parts)


def _processor() -> str:
    """The processor's model name, as far as the system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Installed version of each package that can change a result, and Python's."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def taught_by(card: Mapping[str, Any]) -> str:
    """What a model and its heads learned from, in the words of docs/protocol.md.

    Args:
        card: of its checkpoint.

    Returns:
        `labels` where simulator state was used, `experts in the loop` where scripts that see it
        corrected an agent, `logs` for demonstrations as they were recorded, `play` for undirected
        ones; empty where the card does not say.

    >>> taught_by({"dataset": {"policy": "play"}})
    'play'
    >>> taught_by(
    ...     {"dataset": {"policy": "play"}, "heads": {"actor": {"dataset": {"policy": "correct"}}}}
    ... )
    'experts in the loop'
    """
    parts = [card, *card.get("heads", {}).values()]
    datasets = [part["dataset"] for part in parts if isinstance(part.get("dataset"), Mapping)]
    policies = {name for data in datasets for name in str(data.get("policy", "")).split(", ")}
    if set(card.get("labels_used", [])) - {DEMONSTRATIONS}:
        return "labels"
    if "correct" in policies:
        return "experts in the loop"
    if not policies - {""}:
        return ""
    return "play" if policies <= {"play", ""} else "logs"
