"""Settings of a run: defaults, presets, what is given on top, and what two runs must share."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from pytorch_lightning import Trainer

from goalsight.errors import UserError
from goalsight.io import read_yaml
from goalsight.paths import config_dir

TRAINER_DEFAULTS: dict[str, Any] = {
    "max_steps": 4000,
    "precision": "auto",
    "gradient_clip_val": 1.0,
    "devices": 1,
    "val_check_interval": 500,
    "check_val_every_n_epoch": None,  # the interval counts steps, whatever an epoch has
    "limit_val_batches": 16,
    "num_sanity_val_steps": 0,
    "log_every_n_steps": 50,
    "enable_checkpointing": False,  # `Saver` does it
    "enable_model_summary": False,
    "use_distributed_sampler": False,  # `WindowData` gives each process its part
}
"""Where goalsight differs from Lightning; every one can be given as `--trainer.NAME`."""
SHOWN_BY_TRAINER = {
    "default_root_dir",
    "enable_model_summary",
    "enable_progress_bar",
    "log_every_n_steps",
    "logger",
    "profiler",
}
"""Arguments of the trainer in which a run may differ from the one it goes on with."""
NOT_SETTINGS = {
    "config",
    "data",
    "out",
    "json",
    "threads",
    "download",
    "compile",
    "cache_gb",
    "max_steps",
    "max_minutes",
}
"""Arguments of a run in which it may differ from the one it goes on with."""


def trainer_defaults() -> dict[str, Any]:
    """Every argument of Lightning's `Trainer` with the value it has here."""
    theirs = {
        name: item.default
        for name, item in inspect.signature(Trainer).parameters.items()
        if item.default is not inspect.Parameter.empty
    }
    return theirs | TRAINER_DEFAULTS


def combine(defaults: Mapping[str, Any], *given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with others on top of them.

    Args:
        defaults: nested plain values; they say which settings there are.
        given: more and more particular ones, by section (a mapping or the dataclass it makes) or by
            dotted names.

    Raises:
        UserError: if there is no such setting; lists those there are.

    >>> combine({"seed": 0, "model": {"size": "tiny"}}, {"model.size": "base"})
    {'seed': 0, 'model': {'size': 'base'}}
    """
    settings = dict(defaults)
    for values in given:
        for name, value in with_new_names(_nested(values)).items():
            if name not in defaults:
                raise UserError(f"no setting {name!r}; there are: {', '.join(sorted(defaults))}")
            if not isinstance(defaults[name], dict):
                settings[name] = value
                continue
            section = _section(name, value)
            if unknown := sorted(section.keys() - defaults[name].keys()):
                known = ", ".join(sorted(defaults[name]))
                raise UserError(f"no setting {name}.{unknown[0]}; there are: {known}")
            settings[name] = settings[name] | section
    return settings


def read_preset(preset: str | Path | None) -> dict[str, Any]:
    """The settings in a shipped file or in one of one's own.

    Args:
        preset: name of a file in `configs/train`, or a YAML file; None for no settings.

    Raises:
        UserError: if there is none; lists the names there are.
    """
    if preset is None:
        return {}
    shipped = {path.stem: path for path in sorted((config_dir() / "train").glob("*.yaml"))}
    path = Path(preset) if Path(preset).is_file() else shipped.get(str(preset))
    if path is None:
        raise UserError(
            f"no preset {str(preset)!r}: there is no such file, and no such name (one of "
            f"{', '.join(shipped)})"
        )
    return {name: value for name, value in read_yaml(path).items() if name not in NOT_SETTINGS}


def limits(max_minutes: float | None = None, max_steps: int | None = None) -> dict[str, Any]:
    """Arguments of the trainer that end a run; whichever comes first.

    Raises:
        UserError: if there is no time at all.

    >>> limits(max_minutes=90, max_steps=10)
    {'max_steps': 10, 'max_time': '00:01:30:00'}
    """
    found: dict[str, Any] = {} if max_steps is None else {"max_steps": max_steps}
    if max_minutes is not None:
        if not max_minutes > 0:
            raise UserError(f"max_minutes must be above 0, got {max_minutes}")
        minutes, seconds = divmod(max(1, round(60 * max_minutes)), 60)
        days, hours = divmod(minutes // 60, 24)
        found["max_time"] = f"{days:02}:{hours:02}:{minutes % 60:02}:{seconds:02}"
    return found


def on_device(trainer: Mapping[str, Any], device: str) -> dict[str, Any]:
    """The trainer's arguments for a device by PyTorch's name.

    Raises:
        UserError: if there is no such device, or the arguments name another.

    >>> on_device({}, "cuda:1")
    {'accelerator': 'cuda', 'devices': [1]}
    """
    kind, colon, number = device.partition(":")
    if kind not in {"auto", "cpu", "cuda", "mps"} or (colon and not number.isdigit()):
        raise UserError(f"device must be auto, cpu, cuda, cuda:N or mps, got {device!r}")
    if kind == "auto":
        return dict(trainer)
    if trainer.get("accelerator", "auto") not in {"auto", kind}:
        raise UserError(
            f"device {device} and trainer.accelerator {trainer['accelerator']} differ; give one"
        )
    return {**trainer, "accelerator": kind} | ({"devices": [int(number)]} if colon else {})


def with_new_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of an earlier version by the names of now."""
    renamed = dict(settings)
    seed = renamed.pop("seed_everything", None)
    return renamed if seed is None else renamed | {"seed": int(seed)}


def shared(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a run must share with the one it goes on with, as YAML has it."""
    trainer = {
        name: plain(value)
        for name, value in settings["trainer"].items()
        if name not in SHOWN_BY_TRAINER
    }
    kept = {name: x for name, x in settings.items() if name not in NOT_SETTINGS}
    return {name: plain(value) for name, value in kept.items()} | {"trainer": trainer}


def plain(value: Any) -> Any:  # noqa: ANN401  (a setting)
    """A setting as YAML gives it back: lists for tuples, an object as the name of its class."""
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Path):
        return str(value)
    return f"{type(value).__module__}.{type(value).__name__}"


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names as sections."""
    nested: dict[str, Any] = {}
    for name, value in values.items():
        section, dot, inner = name.partition(".")
        if dot:
            nested[section] = {**_section(section, nested.get(section)), inner: value}
        elif name in nested:
            nested[name] |= _section(name, value)
        else:
            nested[name] = value
    return nested


def _section(name: str, value: object) -> dict[str, Any]:
    """The settings of a section."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return dict(value)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise UserError(f"{name} is a section of settings, such as {name}={{...}}, got {value!r}")
