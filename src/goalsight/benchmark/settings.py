"""Settings of the agent as a line of text, so that an ablation is a command."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

from goalsight.errors import UserError

if TYPE_CHECKING:
    from goalsight.agent import AgentConfig


def agent_config(text: str) -> AgentConfig:
    """The agent's default settings with some replaced.

    Args:
        text: `name=value` pairs separated by commas, such as `samples=100,delay=0.05`; names are
            the fields of `AgentConfig` and, for the search, of `CEMConfig`.

    Raises:
        UserError: if a name is unknown, lists those that exist; or if a value does not fit.

    >>> agent_config("samples=100,delay=0.05").planner.samples
    100
    """
    from goalsight.agent import AgentConfig
    from goalsight_planners import CEMConfig

    default = AgentConfig()
    settable: dict[str, object] = {
        f.name: default.planner for f in fields(CEMConfig) if f.name != "block"
    }
    settable |= {f.name: default for f in fields(AgentConfig) if f.name != "planner"}
    of_agent: dict[str, object] = {}
    of_planner: dict[str, object] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = item.partition("=")
        if name not in settable:
            raise UserError(f"no agent setting {name!r}; there are: {', '.join(sorted(settable))}")
        owner = settable[name]
        parsed = _parse(name, value, type(getattr(owner, name)))
        (of_agent if owner is default else of_planner)[name] = parsed
    try:
        planner = replace(default.planner, **_with_elites(of_planner))  # type: ignore[arg-type]
        return replace(default, planner=planner, **of_agent)  # type: ignore[arg-type]
    except ValueError as error:
        raise UserError(f"agent settings: {error}") from None


def _parse(name: str, value: str, kind: type) -> object:
    """The value as the type that the default has."""
    try:
        return kind(value)
    except ValueError:
        raise UserError(f"agent setting {name} takes {kind.__name__}, got {value!r}") from None


def _with_elites(planner: dict[str, object]) -> dict[str, object]:
    """A tenth of the samples is the elite where only the samples are said."""
    samples = planner.get("samples")
    if isinstance(samples, int) and "elites" not in planner:
        return {**planner, "elites": max(2, samples // 10)}
    return planner
