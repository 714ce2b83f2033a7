"""How an agent plans, as a line of text and as a checkpoint's card says it.

A card holds the settings that its model was measured with, under `agent`:

    {"settings": {"mode": "both", "samples": 64},
     "modes": {"search": {"samples": 200}},
     "tiers": {"near": {"time_to_goal": 25}, "far": {"time_to_goal": 110}}}

`modes` holds what differs for an agent that is told to decide otherwise, `tiers` what differs by
how far goals are. So a model plans as it was measured wherever it is loaded, and a line of text
says what is to be different.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from goalsight.errors import CheckpointError, UserError

if TYPE_CHECKING:
    from goalsight.agent.config import AgentConfig, Mode
    from goalsight_planners import SearchConfig

NOT_TEXT = {"block", "discrete"}
"""Fields that follow from the checkpoint or have no text form."""
REFERENCES = {"adam", "cma_es"}
"""Planners that went to the repository's folder `benchmarks`."""
SWITCHES = {"true": True, "false": False}
"""How a yes or no is written."""


TIERS: dict[str, dict[str, Any]] = {"far": {"time_to_goal": 110}}
"""By how far goals are, what an agent is told whose card says nothing of it: a far goal is a whole
task away."""


@dataclass(frozen=True)
class Setting:
    """A field of the agent's config, or of a config inside it."""

    path: tuple[str, ...]
    """Names from the agent's config to the field."""
    default: Any
    """Its value where nothing is said."""


def agent_config(
    text: str, card: Mapping[str, Any] | None = None, *, tier: str = "", mode: Mode | None = None
) -> AgentConfig:
    """The settings of an agent: the defaults, what the card says instead, what the text says.

    Args:
        text: `name=value` pairs separated by commas, such as `planner=mppi,samples=100,delay=0.05`;
            `planner` is a name of `goalsight_planners.PLANNERS`, the others are the fields of
            `AgentConfig` and of every config inside it, each by its own name. Where it names a
            planner, that one begins at its own defaults, not at what the card says of another.
        card: of the agent's checkpoint; None for defaults alone.
        tier: how far goals are, `near` or `far` (docs/protocol.md); empty if nobody knows.
        mode: who decides, whatever card and text say; None leaves it to them.

    Raises:
        UserError: if a name is unknown, lists those that exist; or if a value does not fit.
        CheckpointError: if the card's settings are none.

    >>> agent_config("samples=100,delay=0.05").planner.samples
    100
    >>> card = {"agent": {"settings": {"samples": 64}, "tiers": {"far": {"time_to_goal": 110}}}}
    >>> agent_config("delay=0.05", card, tier="far").actor.time_to_goal
    110
    """
    from goalsight.agent.config import AgentConfig

    given = _pairs(text)
    if mode is not None:
        given["mode"] = mode
    measured = _measured(card or {}, given.get("mode"), tier)
    if "planner" in given:
        searching = {setting.path[-1] for setting in settable(_search("cem"))} | {"planner"}
        measured = {name: value for name, value in measured.items() if name not in searching}
    if "samples" in given:
        measured.pop("elites", None)
    given = measured | given
    agent = AgentConfig(planner=_search(given.pop("planner", "cem")))
    known = {setting.path[-1]: setting for setting in settable(agent)}
    if unknown := [name for name in given if name not in known]:
        names = ", ".join(sorted([*known, "planner"]))
        raise UserError(f"no agent setting {unknown[0]!r}; there are: {names}")
    values = {
        known[name].path: _parse(name, value, known[name].default) for name, value in given.items()
    }
    if "samples" in given and "elites" in known and "elites" not in given:
        values[known["elites"].path] = max(2, values[known["samples"].path] // 10)
    try:
        changed: AgentConfig = _changed(agent, values)
    except ValueError as error:
        raise UserError(f"agent settings: {error}") from None
    return changed


def _measured(card: Mapping[str, Any], mode: str | None, tier: str) -> dict[str, str]:
    """Settings that the card says its model was measured with, as text by name."""
    said = card.get("agent", {})
    try:
        base = dict(said.get("settings", {}))
        mode = mode or base.get("mode", "search")
        tiers = said.get("tiers", TIERS)
        special = said.get("modes", {}).get(mode, {}), tiers.get(tier, {})
        return {name: str(value) for part in (base, *special) for name, value in part.items()}
    except (AttributeError, TypeError, ValueError):
        raise CheckpointError(
            "the checkpoint's card has agent settings that are none: name and value in `settings`, "
            "and in each of `modes` and `tiers`"
        ) from None


def settable(config: Any, inside: tuple[str, ...] = ()) -> Iterator[Setting]:  # noqa: ANN401
    """Every field that has a text form, of a config dataclass and of those inside it."""
    for field in fields(config):
        value, path = getattr(config, field.name), (*inside, field.name)
        if field.name in NOT_TEXT:
            continue
        if is_dataclass(value):
            yield from settable(value, path)
        else:
            yield Setting(path, value)


def _changed(config: Any, values: Mapping[tuple[str, ...], Any]) -> Any:  # noqa: ANN401
    """A config with values put in by their paths, each config inside it built once."""
    own = {path[0]: value for path, value in values.items() if len(path) == 1}
    for name in {path[0] for path in values if len(path) > 1}:
        deeper = {path[1:]: value for path, value in values.items() if path[0] == name}
        own[name] = _changed(getattr(config, name), deeper)
    return replace(config, **own)


def _pairs(text: str) -> dict[str, str]:
    """Names and values as they were written."""
    parts = [part.strip().partition("=") for part in text.split(",") if part.strip()]
    return {name.strip(): value.strip() for name, _, value in parts}


def _search(name: str) -> SearchConfig:
    """The default config of a planner that an agent can use."""
    from goalsight_planners import PLANNERS

    if name not in PLANNERS:
        known = f"there are: {', '.join(PLANNERS)}"
        if name in REFERENCES:
            raise UserError(f"planner {name} is a benchmark now, see benchmarks/README.md; {known}")
        raise UserError(f"no planner {name!r}; {known}")
    return PLANNERS[name].config()


def _parse(name: str, value: str, default: Any) -> Any:  # noqa: ANN401
    """The value as the type that the default has."""
    kind = type(default)
    if kind is bool:
        if value.lower() not in SWITCHES:
            raise UserError(f"agent setting {name} takes true or false, got {value!r}")
        return SWITCHES[value.lower()]
    try:
        return kind(value)
    except ValueError:
        raise UserError(f"agent setting {name} takes {kind.__name__}, got {value!r}") from None
