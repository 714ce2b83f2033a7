"""One place for parts by name: those that ship, and those that somebody registers.

A part of your own is a function or class in a module of yours:

    from goalsight import register

    @register("encoder", "mine")
    def build(config: WorldModelConfig) -> Encoder: ...

`--model.encoder mine` then trains it, and its checkpoint loads again, wherever the module was
imported before. It is imported by itself if it belongs to an installed package with an entry point
in the group `goalsight`, or if the environment variable GOALSIGHT_MODULES names it (several are
separated by commas), which worker processes see too. A checkpoint names parts, never modules:
loading one imports nothing that it asks for.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, TypeVar

from goalsight.errors import UserError

KINDS = {
    "encoder": "builds a goalsight.models.encoder.Encoder from a WorldModelConfig",
    "predictor": "builds a goalsight.models.predictor.Predictor from a WorldModelConfig, the "
    "patches P and the dimensions D of its latents",
    "loss": "gives the terms that keep latents apart; see goalsight.losses.AntiCollapseLoss",
}
"""What may be registered, and what a registered function does."""
GROUP = "goalsight"
"""Entry points whose loading registers parts."""
MODULES = "GOALSIGHT_MODULES"
"""Environment variable that names modules to import."""

Part = TypeVar("Part", bound=Callable[..., Any])
_parts: dict[tuple[str, str], Callable[..., Any]] = {}


def register(kind: str, name: str) -> Callable[[Part], Part]:
    """Make a part known by a name; a decorator.

    Args:
        kind: one of `KINDS`.
        name: what settings and checkpoints call it.

    Raises:
        ValueError: if there is no such kind, the name is empty or has a colon (what stands before
            one names a library), or another part has it.

    >>> @register("loss", "example")
    ... def nothing(z, predicted, config, generator):
    ...     return {}
    >>> find("loss", "example") is nothing
    True
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if not name or ":" in name:
        raise ValueError(f"a name has at least one letter and no colon, got {name!r}")

    def add(part: Part) -> Part:
        known = _parts.get((kind, name))
        if known is not None and _identity(known) != _identity(part):
            raise ValueError(
                f"{kind} {name!r} is {known.__module__}.{known.__qualname__} already; give "
                f"{part.__module__}.{part.__qualname__} another name"
            )
        _parts[kind, name] = part
        return part

    return add


def find(kind: str, name: str) -> Callable[..., Any]:
    """The part of a name.

    Raises:
        ValueError: if there is none; lists those there are.
        UserError: if a module that registers parts cannot be imported.
    """
    if (kind, name) not in _parts:
        _ask_others()
    if (kind, name) not in _parts:
        raise ValueError(
            f"{kind} must be one of {', '.join(names(kind))}, got {name!r}; name the module that "
            f"registers a part of your own in {MODULES}"
        )
    return _parts[kind, name]


def names(kind: str) -> list[str]:
    """Names of the parts of a kind that are known now, in the order in which they came."""
    _ask_others()
    return [name for other, name in _parts if other == kind]


def _identity(part: Callable[..., Any]) -> tuple[str | None, str]:
    """File and name: a module that is run as a program and imported by it defines a part twice."""
    return getattr(sys.modules.get(part.__module__), "__file__", None), part.__qualname__


@cache
def _ask_others() -> None:
    """Import, once a process, what registers parts of other people."""
    for module in filter(None, map(str.strip, os.environ.get(MODULES, "").split(","))):
        try:
            import_module(module)
        except ImportError as error:
            raise UserError(
                f"{MODULES} names {module!r}, which cannot be imported: {error}"
            ) from None
    for entry in entry_points(group=GROUP):
        try:
            entry.load()
        except ImportError as error:
            raise UserError(
                f"the entry point {entry.name} = {entry.value} cannot be loaded: {error}"
            ) from None
