"""Settings of the agent as a line of text, so that an ablation is a command."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from goalsight.errors import UserError

if TYPE_CHECKING:
    from goalsight.agent import AgentConfig
    from goalsight_planners import SearchConfig

NOT_TEXT = {"block", "discrete", "planner"}
"""Fields that follow from the checkpoint, have no text form, or are read separately."""


def agent_config(text: str) -> AgentConfig:
    """The agent's default settings with some replaced.

    Args:
        text: `name=value` pairs separated by commas, such as `planner=mppi,samples=100,delay=0.05`;
            `planner` is a name of `goalsight_planners.PLANNERS`, the others are the fields of
            `AgentConfig` and of the planner's own config.

    Raises:
        UserError: if a name is unknown, lists those that exist; or if a value does not fit.

    >>> agent_config("samples=100,delay=0.05").planner.samples
    100
    """
    from goalsight.agent import AgentConfig

    given = _pairs(text)
    agent, search = AgentConfig(), _search(given.pop("planner", "cem"))
    of_agent, of_search = _settable(agent), _settable(search)
    if unknown := [name for name in given if name not in of_agent | of_search]:
        known = ", ".join(sorted([*of_agent, *of_search, "planner"]))
        raise UserError(f"no agent setting {unknown[0]!r}; there are: {known}")
    values = {
        name: _parse(name, value, type((of_agent | of_search)[name]))
        for name, value in given.items()
    }
    chosen = {name: value for name, value in values.items() if name in of_search}
    if "samples" in chosen and "elites" not in chosen:
        chosen["elites"] = max(2, chosen["samples"] // 10)
    rest = {name: value for name, value in values.items() if name in of_agent}
    try:
        return replace(agent, planner=replace(search, **chosen), **rest)
    except ValueError as error:
        raise UserError(f"agent settings: {error}") from None


def _pairs(text: str) -> dict[str, str]:
    """Names and values as they were written."""
    parts = [part.strip().partition("=") for part in text.split(",") if part.strip()]
    return {name.strip(): value.strip() for name, _, value in parts}


def _search(name: str) -> SearchConfig:
    """The default config of a planner that an agent can use."""
    from goalsight_planners import PLANNERS

    usable = [planner for planner in PLANNERS if planner != "adam"]  # an agent keeps no gradients
    if name not in usable:
        raise UserError(f"no planner {name!r}; there are: {', '.join(usable)}")
    return PLANNERS[name].config()


def _settable(config: Any) -> dict[str, Any]:  # noqa: ANN401  (one of several dataclasses)
    """Names and defaults of what can be set."""
    return {f.name: getattr(config, f.name) for f in fields(config) if f.name not in NOT_TEXT}


def _parse(name: str, value: str, kind: type) -> Any:  # noqa: ANN401  (of the default's type)
    """The value as the type that the default has."""
    try:
        return kind(value)
    except ValueError:
        raise UserError(f"agent setting {name} takes {kind.__name__}, got {value!r}") from None
