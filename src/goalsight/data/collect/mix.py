"""A mix of policies: who acts in which episode, and how. Read from `configs/collect/*.yaml`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from goalsight.errors import UserError
from goalsight.io import read_yaml
from goalsight.paths import config_dir

BRANCHES = "branches"
"""The policy whose episodes share their starts."""
GOLDEN = (5**0.5 - 1) / 2
"""Stepping by it around a circle leaves no large gap: shares hold in every stretch of episodes."""


@dataclass(frozen=True, kw_only=True)
class PolicyMix:
    """Which policies act, in what share of the episodes, with how much noise."""

    name: str
    """What the dataset calls it."""
    shares: dict[str, float]
    """Share of the episodes of each policy, relative to the others; one that a task has no use
    for is left out."""
    noise: tuple[float, float] = (0.0, 0.35)
    """Range of the standard deviation of the action noise, drawn for an episode, action units."""
    speed: tuple[float, float] = (0.5, 1.0)
    """Range of the speed drawn for an episode, as a fraction of the largest step."""
    lapse: float = 0.02
    """Probability that an expert's control step is the first of a mistake."""
    branch_width: int = 4
    """Episodes of `branches` that begin in the same state."""
    branch_steps: int = 25
    """Control steps of each of them."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: if a field is out of its range.
        """
        shares = list(self.shares.values())
        if not shares or min(shares) < 0 or sum(shares) <= 0:
            raise ValueError(f"shares must be 0 or more and not all 0, got {self.shares}")
        for name, least, most in (("noise", 0.0, 2.0), ("speed", 0.01, 1.0)):
            low, high = getattr(self, name)
            if not least <= low <= high <= most:
                raise ValueError(f"{name} must be a range in [{least}, {most}], got {[low, high]}")
        if not 0 <= self.lapse < 1:
            raise ValueError(f"lapse must be in [0, 1), got {self.lapse}")
        for name, least in (("branch_width", 2), ("branch_steps", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")

    def to_json(self) -> dict[str, Any]:
        """As plain values, as the dataset's provenance keeps it."""
        return {**asdict(self), "noise": list(self.noise), "speed": list(self.speed)}


@dataclass(frozen=True)
class Turn:
    """Who acts in an episode."""

    policy: str
    """Name of the policy."""
    group: int | None
    """Episodes with the same number share their start; None if it is this one's own."""


def turn(mix: PolicyMix, available: Sequence[str], seed: int, episode: int) -> Turn:
    """Who acts in an episode, a function of the seed and the episode alone.

    Args:
        mix: the shares.
        available: policies that the task has a use for.
        seed: of the dataset.
        episode: which.

    Raises:
        UserError: if the mix names none of those available.
    """
    names = [name for name, share in mix.shares.items() if name in available and share > 0]
    if not names:
        raise UserError(
            f"mix {mix.name!r} has no policy for this task; it has: {', '.join(available)}"
        )
    edges = np.cumsum([mix.shares[name] for name in names])
    offset = np.random.default_rng([seed, 0x5A12E5]).random()
    places = (offset + GOLDEN * np.arange(episode + 1)) % 1.0
    chosen = np.minimum(np.searchsorted(edges / edges[-1], places, side="right"), len(names) - 1)
    policy = names[int(chosen[-1])]
    before = int((chosen[:-1] == chosen[-1]).sum())
    return Turn(policy, before // mix.branch_width if policy == BRANCHES else None)


def load_mix(name: str) -> PolicyMix:
    """Read a mix.

    Args:
        name: of a shipped one, such as `cover`, or the path of a YAML file.

    Raises:
        UserError: if there is none, or a field is unknown or out of its range.
    """
    folder = config_dir() / "collect"
    path = Path(name)
    if path.suffix not in {".yaml", ".yml"}:
        shipped = {found.stem: found for found in sorted(folder.glob("*.yaml"))}
        if name not in shipped:
            known = ", ".join(shipped)
            raise UserError(f"no mix {name!r}; there are: {known}; or give the path of a .yaml")
        path = shipped[name]
    content = read_yaml(path, "a mix")
    try:
        return _parse(path.stem, content)
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: {error}") from None


def _parse(name: str, content: object) -> PolicyMix:
    """A mix from the content of its file.

    Raises:
        TypeError: if a value is of another type.
        ValueError: if a field is unknown, missing or out of its range.
    """
    known = [field.name for field in fields(PolicyMix) if field.name != "name"]
    if not isinstance(content, dict) or not isinstance(content.get("shares"), dict):
        raise ValueError("a mix is a mapping with `shares: {policy: share}`")
    unknown = [str(key) for key in content if key not in known]
    if unknown:
        raise ValueError(f"no field {unknown[0]!r} in a mix; it has: {', '.join(known)}")
    shares = {str(policy): float(share) for policy, share in content["shares"].items()}
    values: dict[str, Any] = {}
    for key, value in content.items():
        if key in {"noise", "speed"}:
            values[key] = _range(key, value)
        elif key != "shares":
            kind = float if key == "lapse" else int
            if isinstance(value, bool) or not isinstance(value, int | kind):
                raise ValueError(f"{key} must be a number, got {value!r}")
            values[key] = value
    return PolicyMix(name=name, shares=shares, **values)


def _range(key: str, value: object) -> tuple[float, float]:
    """Two numbers.

    Raises:
        ValueError: if it is something else.
    """
    if isinstance(value, list) and len(value) == 2:
        return float(value[0]), float(value[1])
    raise ValueError(f"{key} must be two numbers, got {value!r}")
