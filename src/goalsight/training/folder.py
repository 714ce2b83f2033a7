"""The folder of a training run: what it was started with, how far it is, what may go on in it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from goalsight.checkpoint import IN_A_RUN
from goalsight.errors import OutputError, UserError
from goalsight.io import FolderLock, read_json, read_yaml, replace_json, replace_yaml

LIMITS = {"trainer.max_steps", "trainer.max_time", "trainer.max_epochs"}
"""Settings that say when a run ends; a finished run goes on if they grow."""
SCHEMA = 1
"""Version of `run.json`."""


class RunFolder:
    """`--out` of `goalsight train`.

    `settings.yaml` is what the run was started with (usable as `--config`), `run.json` how far it
    is, `last.ckpt` Lightning's full state, `checkpoint/` the model for everybody else.
    """

    def __init__(self, path: Path) -> None:
        """Name the files; nothing is read or written yet."""
        self.path = path
        self.checkpoint = path / IN_A_RUN
        """goalsight's checkpoint."""
        self.last = path / "last.ckpt"
        """Lightning's state to resume from."""
        self.settings = path / "settings.yaml"
        self._state = path / "run.json"

    @contextmanager
    def open(
        self, settings: Mapping[str, Any], dataset: str, defaults: Mapping[str, Any] | None = None
    ) -> Iterator[Path | None]:
        """Hold the folder for one run; starts it, or takes up the one that is there.

        A finished run goes on if it is given more steps or time, and nothing else is changed.

        Args:
            settings: nested plain values; they must be those of the run that is there.
            dataset: fingerprint of the dataset; likewise.
            defaults: what a run has of a setting that did not exist when it began.

        Yields:
            The state to resume from, or None to start from the first step.

        Raises:
            OutputError: if the folder holds a run that came to this end, another run, or something
                else, or another process is training in it.
        """
        state = self._read_state()
        if not self.last.is_file():
            state = None  # nothing was saved: there is no run to go on with
        if state is not None:
            self._check_same(state, settings, dataset, defaults or {})
        self.path.mkdir(parents=True, exist_ok=True)
        with FolderLock(self.path, who="goalsight train"):
            if state is None or state["finished"]:
                replace_yaml(self.settings, settings)
                step = 0 if state is None else state["step"]
                self._write_state({"dataset": dataset, "step": step, "finished": False})
            yield self.last if self.last.is_file() else None

    @contextmanager
    def join(self) -> Iterator[Path | None]:
        """What `open` gives, for the other processes of a run: the first one holds the folder."""
        yield self.last if self.last.is_file() else None

    def note(self, *, dataset: str, step: int, finished: bool) -> None:
        """Write down how far the run is."""
        self._write_state({"dataset": dataset, "step": step, "finished": finished})

    def _write_state(self, state: Mapping[str, Any]) -> None:
        replace_json(self._state, {"schema": SCHEMA, **state})

    def _read_state(self) -> dict[str, Any] | None:
        """What `run.json` says; None for a folder that is missing or empty."""
        if not self.path.exists():
            return None
        if not self.path.is_dir():
            raise OutputError(f"{self.path} is a file; give --out a folder")
        try:
            if not self._state.exists():
                self._refuse_foreign()
                return None
            state = read_json(self._state)
            if state.get("schema") != SCHEMA:
                raise UserError(f"its schema is {state.get('schema')!r}, not {SCHEMA}")
            return state
        except OutputError:
            raise
        except UserError as error:
            raise OutputError(
                f"{self._state} is damaged ({error}); give another --out, or delete {self.path}"
            ) from None

    def _refuse_foreign(self) -> None:
        """Without `run.json` there may be only what a run leaves that was killed at its start."""
        foreign = sorted(
            entry.name
            for entry in self.path.iterdir()
            if entry != self.settings and not entry.name.startswith(".")
        )
        if foreign:
            raise OutputError(
                f"{self.path} already holds something else ({foreign[0]}); give --out an empty "
                "folder"
            )

    def _check_same(
        self,
        state: Mapping[str, Any],
        settings: Mapping[str, Any],
        dataset: str,
        defaults: Mapping[str, Any],
    ) -> None:
        kind = "a finished" if state["finished"] else "an unfinished"
        if state["dataset"] != dataset:
            raise OutputError(
                f"{self.path} holds {kind} run on other data, or the dataset has grown since; give "
                "another --out"
            )
        before = read_yaml(self.settings, error=OutputError)
        except_for = LIMITS if state["finished"] else set[str]()
        changed = difference(before, settings, defaults, except_for)
        if changed is not None:
            name, old, new = changed
            raise OutputError(
                f"{self.path} holds {kind} run with {name} {old!r}, not {new!r}; use the same "
                "settings to go on, or another --out"
            )
        if state["finished"]:
            steps = _flat(settings).get("trainer.max_steps")
            over = isinstance(steps, int) and 0 <= steps <= state["step"]
            if over or difference(before, settings, defaults) is None:
                raise OutputError(
                    f"{self.path} holds a finished run of {state['step']} steps (its model is "
                    f"{self.checkpoint}); go on with more --trainer.max_steps or "
                    "--trainer.max_time, or give another --out"
                )


def difference(
    one: Mapping[str, Any],
    other: Mapping[str, Any],
    defaults: Mapping[str, Any],
    except_for: Collection[str] = (),
) -> tuple[str, object, object] | None:
    """The first dotted name at which two nested settings differ, with both values, or None.

    Args:
        one: settings of before; where they lack a name that `other` has, its default counts.
        other: settings of now.
        defaults: of now, nested as they are.
        except_for: dotted names that may differ.
    """
    before, now = _flat(_completed(one, defaults)), _flat(other)
    for name in {**_flat(one), **now}:
        if name not in except_for and before.get(name) != now.get(name):
            return name, before.get(name), now.get(name)
    return None


def _completed(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with the defaults of what they lack; a section that is None lacks nothing."""
    complete = {**defaults, **settings}
    for name in settings.keys() & defaults.keys():
        if isinstance(settings[name], Mapping) and isinstance(defaults[name], Mapping):
            complete[name] = _completed(settings[name], defaults[name])
    return complete


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
