"""A training run from its folder to its checkpoint: started, saved, stopped and taken up again."""

from __future__ import annotations

import logging
import math
import os
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import Timer
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger
from pytorch_lightning.strategies import FSDPStrategy
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from goalsight.checkpoint import IN_A_RUN, Model, save_checkpoint
from goalsight.clip import Clip
from goalsight.data import Dataset
from goalsight.errors import OutputError, UserError
from goalsight.executor import StopRequest, refuse_bootstrap
from goalsight.io import FolderLock, read_json, read_yaml, replace_json, replace_yaml, replacing
from goalsight.models import WorldModel
from goalsight.provenance import cores, hardware, versions
from goalsight.ranks import rank_count, sum_over_ranks
from goalsight.training.data import WindowData, latent_variance
from goalsight.training.module import (
    AGREE_EVERY,
    LossGuard,
    Metrics,
    RunBar,
    RunModule,
    weights_are_finite,
)
from goalsight.training.settings import TRAINER_DEFAULTS, with_new_names

Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed", "bf16-true", "64-true"]
"""Lightning's names, and `auto`."""


SCHEMA = 1
"""Version of `run.json`."""


SAVE_EVERY_S = 30.0
"""Seconds between two saves: what a kill costs."""


@dataclass(frozen=True, kw_only=True)
class TrainSummary:
    """What a run did. `Agent.load` takes it as it takes a path; printed, it is a line or two."""

    out: Path
    """Its folder."""
    checkpoint: Path
    """The trained model."""
    steps: int
    """Optimiser steps in all."""
    resumed_at: int
    """Of them, those that were done before this call."""
    minutes: float
    """Training time in all."""
    metrics: dict[str, float]
    """What was last logged, validation included."""
    interrupted: bool
    """Whether Ctrl-C or a termination signal ended it early."""

    @property
    def losses(self) -> dict[str, float]:
        """Loss terms that were last logged, by name, without their weights."""
        return {
            name.removeprefix("train/"): value
            for name, value in self.metrics.items()
            if name.startswith("train/") and name != "train/lr"
        }

    @property
    def rank(self) -> float | None:
        """Effective rank of the latents of the last batch that was looked at.

        It falls towards 1 as they collapse. None for what cannot, and before anything was logged.
        """
        return self.metrics.get("collapse/effective_rank")

    def __fspath__(self) -> str:
        """Folder of the checkpoint."""
        return str(self.checkpoint)

    def __str__(self) -> str:
        """Where the model is, how long it was trained, and what came out."""
        before = f", {self.resumed_at} of them before" if self.resumed_at else ""
        line = f"{self.checkpoint}: {self.steps} steps{before}, {self.minutes:.1f} min"
        shown = ["train/loss", "validation/loss"]
        shown += [f"validation/{name}" for name in ("prediction", "nll", "action_error")]
        shown += ["collapse/effective_rank", "speed/samples_per_s"]
        numbers = [
            f"{name.replace('/', ' ').replace('_', ' ')} {self.metrics[name]:.3g}"
            for name in shown
            if name in self.metrics
        ]
        return f"{line}\n{', '.join(numbers)}" if numbers else line


def execute(
    dataset: Dataset,
    out: Path,
    prepare: Callable[[Timer], tuple[WindowData, RunModule]],
    *,
    trainer: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
    save_every_s: float = SAVE_EVERY_S,
) -> TrainSummary:
    """Run to the end or until somebody asks to stop; takes up a run that ended early.

    Args:
        dataset: to train on.
        out: folder of the run.
        prepare: makes data and module once the folder is ours, given the run's clock.
        trainer: arguments of Lightning's `Trainer` on top of `TRAINER_DEFAULTS`.
        settings: plain values that a run must share with the one it goes on with; None skips
            that test.
        defaults: what a run has of a setting that did not exist when it began.
        save_every_s: time between two saves [s].

    Raises:
        OutputError: if `out` holds something else.
        UserError: if the loss becomes NaN or a setting is refused.
    """
    refuse_bootstrap()
    folder, stop = RunFolder(out), StopRequest()
    arguments = {**TRAINER_DEFAULTS, **(trainer or {})}
    budget = {name: None if (x := arguments.get(name)) is None else str(x) for name in BUDGET}
    held = folder.open(settings or {}, dataset.fingerprint(), defaults or {}, budget)
    with held if is_first_process() else folder.join() as resume:
        data, module = prepare(_timer(arguments))
        guard = LossGuard(folder.checkpoint)
        saver = Saver(folder, data, guard, lambda: stop.requested, save_every_s)
        callbacks: list[Callback] = [module.timer, guard, Metrics(), saver]
        if arguments.get("enable_progress_bar") is not False:
            callbacks.append(RunBar())
        lightning = make_trainer(arguments, out, callbacks)
        _fit(lightning, module, data, resume, stop)
        if resume is None and lightning.max_steps == 0:
            saver.save(lightning, module, finished=True)  # Lightning has not begun anything
        return TrainSummary(
            out=out,
            checkpoint=folder.checkpoint,
            steps=lightning.global_step,
            resumed_at=saver.began_at,
            minutes=module.timer.time_elapsed() / 60.0,
            metrics=all_metrics(lightning, module),
            interrupted=saver.interrupted,
        )


def _timer(arguments: dict[str, Any]) -> Timer:
    """The run's clock; takes `max_time` out of the trainer's arguments."""
    max_time = arguments.pop("max_time", None)
    if arguments["max_steps"] == -1 and arguments.get("max_epochs") is None and max_time:
        arguments["max_epochs"] = -1  # Lightning would stop at 1000 without knowing of the time
    try:
        return Timer(max_time, verbose=False)
    except MisconfigurationException as error:
        raise UserError(f"--trainer.max_time: {error}") from error


def make_trainer(arguments: Mapping[str, Any], out: Path, callbacks: Sequence[Callback]) -> Trainer:
    """Lightning's trainer with our loggers and callbacks beside those of the user.

    Args:
        arguments: of `Trainer`; `precision` may be `auto`.
        out: folder of the run.
        callbacks: ours.

    Raises:
        UserError: if Lightning refuses an argument.
    """
    given = dict(arguments)
    given["precision"] = resolve_precision(
        given["precision"], str(given.get("accelerator", "auto"))
    )
    if given.get("logger") in {None, True}:
        given["logger"] = _loggers(out)
    users = given.get("callbacks") or []
    given["callbacks"] = [*(users if isinstance(users, list) else [users]), *callbacks]
    given.setdefault("default_root_dir", out)
    quiet_lightning()
    try:
        return Trainer(**given)
    except (MisconfigurationException, ImportError, ValueError, TypeError) as error:
        raise UserError(f"--trainer: {error}{_advice(str(error), given)}") from error


def _advice(refusal: str, given: Mapping[str, Any]) -> str:
    """What to pass instead of an accelerator that is not here."""
    asked = str(given.get("accelerator", "auto"))
    refused = re.search(r"backend|accelerator|not available|not met", refusal)
    if asked in {"auto", "cpu"} or not refused:
        return ""
    return (
        f"; this machine has no {asked} that PyTorch can use (`goalsight doctor` says more): pass "
        "--trainer.accelerator cpu, or leave it out"
    )


def _loggers(out: Path) -> list[Logger]:
    """TensorBoard in one folder for all parts of a run, CSV in a new one for each."""
    board = TensorBoardLogger(out, name="tensorboard", version="", default_hp_metric=False)
    return [board, CSVLogger(out, name="csv")]


def quiet_lightning() -> None:
    """Lightning says what it does at every start; only its warnings are for our users."""
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _fit(
    trainer: Trainer,
    module: RunModule,
    data: WindowData,
    resume: Path | None,
    stop: StopRequest,
) -> None:
    """Run the loop; being asked to stop is not an error.

    Raises:
        KeyboardInterrupt: if the user could not wait for the step to end.
    """
    with warnings.catch_warnings(), stop, torch.random.fork_rng(devices=[]):
        # Lightning advises workers; a batch here is one gather from memory.
        warnings.filterwarnings("ignore", message=".*does not have many workers")
        warnings.filterwarnings("ignore", message=".*smaller than the logging interval")
        warnings.filterwarnings("ignore", message=".*in eval mode")  # a frozen encoder is to be
        warnings.filterwarnings("ignore", message=".*LeafSpec")  # Lightning's own affair
        try:
            trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
        except SystemExit:  # Lightning's answer to a second Ctrl-C, and to SIGTERM
            if trainer.should_stop and stop.requested:
                return
            raise KeyboardInterrupt from None
        except MisconfigurationException as error:
            raise UserError(f"--trainer: {error}") from error


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
        self._budget: Mapping[str, str | None] = {}

    @contextmanager
    def open(
        self,
        settings: Mapping[str, Any],
        dataset: str,
        defaults: Mapping[str, Any] | None = None,
        budget: Mapping[str, str | None] | None = None,
    ) -> Iterator[Path | None]:
        """Hold the folder for one run; starts it, or takes up an unfinished one.

        Args:
            settings: nested plain values; they must be those of the run that is there.
            dataset: fingerprint of the dataset; likewise.
            defaults: what a run has of a setting that did not exist when it began.
            budget: what ends the run, by the names in `BUDGET`; may be more than it was.

        Yields:
            The state to resume from, or None to start from the first step.

        Raises:
            OutputError: if the folder holds a finished run that is given no more steps or time,
                another run, or something else, or another process is training in it.
        """
        state = self._read_state()
        if not self.last.is_file():
            state = None  # nothing was saved: there is no run to go on with
        if state is not None:
            self._check_same(state, settings, dataset, defaults or {}, budget or {})
        self.path.mkdir(parents=True, exist_ok=True)
        with FolderLock(self.path, who="goalsight train"):
            if settings or state is None:
                replace_yaml(self.settings, settings)
            if state is None:
                self._write_state({"dataset": dataset, "step": 0, "finished": False})
            self._budget = budget or {}
            yield self.last if self.last.is_file() else None

    @contextmanager
    def join(self) -> Iterator[Path | None]:
        """What `open` gives, for the other processes of a run: the first one holds the folder."""
        yield self.last if self.last.is_file() else None

    def note(self, *, dataset: str, step: int, finished: bool) -> None:
        """Write down how far the run is."""
        state = {"dataset": dataset, "step": step, "finished": finished}
        self._write_state({**state, "budget": self._budget})

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
        budget: Mapping[str, str | None],
    ) -> None:
        """Refuse to go on with another run, or with one that has had what it is given."""
        before = with_new_names(read_yaml(self.settings, error=OutputError))
        here = f"{self.path} holds {'a finished' if state['finished'] else 'an unfinished'} run"
        if state["dataset"] != dataset:
            raise OutputError(
                f"{here} on other data, or the dataset has grown since; give another --out, and "
                f"--init-from {self.path} to train its model further"
            )
        changed = difference(_without_budget(before), _without_budget(settings), defaults)
        if changed is not None:
            name, old, new = changed
            raise OutputError(
                f"{here} with {name} {old!r}, not {new!r}; use the same settings to go on, or "
                "another --out"
            )
        was = state.get("budget") or before.get("trainer") or {}
        if state["finished"] and not _is_more(state["step"], was, budget):
            raise OutputError(
                f"{here} of {state['step']} steps (its model is {self.checkpoint}); go on with "
                "more --trainer.max_steps or --trainer.max_time, or give another --out"
            )


BUDGET = ("max_steps", "max_time", "max_epochs")
"""Settings of the trainer that may grow: the same run goes on, and the schedule follows them."""


def _without_budget(settings: Mapping[str, Any]) -> dict[str, Any]:
    trainer = settings.get("trainer") or {}
    return {**settings, "trainer": {k: v for k, v in trainer.items() if k not in BUDGET}}


def _is_more(step: int, was: Mapping[str, Any], now: Mapping[str, str | None]) -> bool:
    """Whether a run that ended at a step by one budget has something left of another."""
    if now.get("max_steps") not in {None, "-1"} and int(str(now["max_steps"])) <= step:
        return False
    return any(str(now.get(name)) != str(was.get(name)) for name in BUDGET)


def difference(
    one: Mapping[str, Any], other: Mapping[str, Any], defaults: Mapping[str, Any]
) -> tuple[str, object, object] | None:
    """The first dotted name at which two nested settings differ, with both values, or None.

    Args:
        one: settings of before; where they lack a name, its default counts.
        other: settings of now, likewise.
        defaults: of now, nested as they are.
    """
    before, now = _flat(_completed(one, defaults)), _flat(_completed(other, defaults))
    for name in {**before, **now}:
        if before.get(name) != now.get(name):
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


class Saver(Callback):
    """Keeps `last.ckpt` and `checkpoint/` up to date, and stops the run when somebody asks to.

    An unfinished state is saved in `on_train_batch_end` only: saved later, Lightning would count
    the epoch that was cut short as a whole one.
    """

    def __init__(
        self,
        folder: RunFolder,
        data: WindowData,
        guard: LossGuard,
        stop_requested: Callable[[], bool],
        every_s: float = SAVE_EVERY_S,
    ) -> None:
        """Save a run.

        Args:
            folder: where.
            data: what is trained on, for the card.
            guard: asked before every save.
            stop_requested: whether to save and stop, asked after every step.
            every_s: time between two saves [s].
        """
        self._folder, self._data, self._guard = folder, data, guard
        self._stop_requested, self._every_s = stop_requested, every_s
        self._saved_at = 0.0
        self.interrupted = False
        """Whether the run was stopped before its end."""
        self.began_at = 0
        """Optimiser steps that were done before this call."""
        self._fingerprint = data.dataset.fingerprint()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._saved_at, self.began_at = time.monotonic(), trainer.global_step

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  (what training_step returned, as Lightning hands it on)
        batch: Clip,
        batch_idx: int,
    ) -> None:
        """Save if it is time to, or if the run is to stop."""
        assert isinstance(pl_module, RunModule)
        if 0 < trainer.max_steps <= trainer.global_step:
            trainer.should_stop = True  # the same end as by time: after one more validation
            return
        stop, due = self._asked(trainer)
        if stop and not trainer.should_stop:
            self.interrupted = True
            trainer.should_stop = True
            self.save(trainer, pl_module, finished=False)
        elif due:
            self.save(trainer, pl_module, finished=False)

    def _asked(self, trainer: Trainer) -> tuple[bool, bool]:
        """Whether to stop and whether to save; if any process is to, all are.

        A vote costs a message, so processes that train together take it every few steps only.
        """
        stop, due = self._stop_requested(), time.monotonic() - self._saved_at > self._every_s
        if rank_count() == 1:
            return stop, due
        if trainer.global_step % AGREE_EVERY:
            return False, False
        votes = torch.tensor([stop, due], dtype=torch.float32, device=trainer.strategy.root_device)
        stop, due = (sum_over_ranks(votes) > 0).tolist()
        return stop, due

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the end of a run that was not interrupted."""
        assert isinstance(pl_module, RunModule)
        if not self.interrupted:
            self.save(trainer, pl_module, finished=True)

    def save(self, trainer: Trainer, module: RunModule, *, finished: bool) -> None:
        """Write model and state, unless they are not numbers; all processes must ask.

        Raises:
            UserError: if the loss or a weight is not a number.
        """
        self._guard.check(module)
        if not weights_are_finite(module.model):
            raise UserError(
                f"the weights are not numbers at step {module.global_step}; what "
                f"{self._folder.path} holds is from before; try a smaller --optimiser.lr in "
                "another --out"
            )
        # The model before the state to resume from: after a kill in between the steps are done
        # again, while a run whose last step is saved would have none left to save the model at.
        model = _whole_model(trainer, module)
        if trainer.is_global_zero:
            card = module.card(make_card(trainer, module, self._data, finished))
            save_checkpoint(self._folder.checkpoint, model, card)
        with replacing(self._folder.last, "new", first=trainer.is_global_zero) as beside:
            trainer.save_checkpoint(beside)  # in all processes, though only the first one writes
        if trainer.is_global_zero:
            step = trainer.global_step
            self._folder.note(dataset=self._fingerprint, step=step, finished=finished)
        self._saved_at = time.monotonic()


def _whole_model(trainer: Trainer, module: RunModule) -> Model:
    """The model with all its weights, to save by the first process; all processes must ask."""
    if not isinstance(trainer.strategy, FSDPStrategy):
        return module.model
    state = trainer.strategy.lightning_module_state_dict()  # each process held a shard
    if not trainer.is_global_zero:
        return module.model
    inside = {name.partition("."): tensor for name, tensor in state.items()}
    make: Callable[[Any], Model] = type(module.model)
    with torch.random.fork_rng(devices=[]):
        whole = make(module.model.config)
    whole.load_state_dict({name: x for (owner, _, name), x in inside.items() if owner == "model"})
    return whole


def make_card(
    trainer: Trainer, module: RunModule, data: WindowData, finished: bool
) -> dict[str, Any]:
    """Where a model comes from and what it is worth, as JSON values.

    Args:
        trainer: of the run.
        module: what is trained.
        data: what on.
        finished: whether the run came to its end.
    """
    dataset, known = data.dataset, data.dataset.provenance
    return {
        "dataset": {
            "fingerprint": dataset.fingerprint(),
            "env": known.env,
            "policy": known.policy,
            "episodes": len(dataset.episodes),
            "frames": dataset.total_frames,
            "control_dt": known.control_dt,
            "camera": dataset.camera,
            "renderer": known.renderer,
            "size": known.size,
        },
        "proprio_names": known.proprio_names,
        "action_names": known.action_names,
        "statistics": {
            "action": data.action_statistics,
            "proprio": data.proprio_statistics,
            **_latent_statistics(trainer, module, data),
        },
        "labels_used": [],
        "seed": module.seed,
        "split": {"validation": data.config.validation, "seed": module.seed},
        "steps": trainer.global_step,
        "finished": finished,
        "minutes": module.timer.time_elapsed() / 60.0,
        "hardware": hardware(),
        "precision": str(trainer.precision),
        "versions": versions(),
        "training": {key: value for key, value in module.hparams.items() if key != "model"},
        "metrics": {
            name: value if math.isfinite(value) else None
            for name, value in sorted(all_metrics(trainer, module).items())
        },
    }


def _latent_statistics(trainer: Trainer, module: RunModule, data: WindowData) -> dict[str, Any]:
    """Spread of the latents that an agent plans in; nothing for a model that no agent plans in."""
    sharded = isinstance(trainer.strategy, FSDPStrategy)  # one process alone cannot encode then
    if sharded or not isinstance(module.model, WorldModel):
        return {}
    return {"latent": {"variance": latent_variance(module.model, data.training)}}


def all_metrics(trainer: Trainer, module: RunModule) -> dict[str, float]:
    """What was last logged: of the training, and of the last validation."""
    return module.metrics | {
        name: float(value)
        for name, value in trainer.callback_metrics.items()
        if name.startswith("validation/")
    }


@contextmanager
def threads(number: int | None) -> Iterator[int]:
    """Use so many processor threads inside the block.

    Args:
        number: None for one per core this process may use, unless `OMP_NUM_THREADS` says.

    Yields:
        The number used.
    """
    before = torch.get_num_threads()
    if number is None:
        given = os.environ.get("OMP_NUM_THREADS", "")
        number = before if given else cores()
    torch.set_num_threads(number)
    try:
        yield number
    finally:
        torch.set_num_threads(before)


def is_first_process() -> bool:
    """Whether this process is the one that writes, as torchrun, SLURM and Lightning number them.

    Lightning's own word exists only once there is a trainer.
    """
    node = os.environ.get("GROUP_RANK", os.environ.get("NODE_RANK", "0"))
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"):
        if name in os.environ:
            alone = name == "LOCAL_RANK" and node != "0"
            return int(os.environ[name]) == 0 and not alone
    return node == "0"


def resolve_precision(precision: str, accelerator: str) -> str:
    """Lightning's name of the precision to train in.

    `auto` is bf16-mixed where the hardware multiplies bfloat16 itself, else 32-true: what has to
    be emulated gains nothing.

    Args:
        precision: `auto` or a name of Lightning's, which is given back.
        accelerator: Lightning's name, such as `auto`, `cpu`, `gpu`.
    """
    if precision != "auto":
        return precision
    native = {"cuda": _cuda_has_bf16, "mps": lambda: False, "cpu": cpu_has_bf16}
    return "bf16-mixed" if native[device_type(accelerator)]() else "32-true"


def device_type(accelerator: str) -> Literal["cuda", "mps", "cpu"]:
    """The kind of device that Lightning will choose."""
    if accelerator in {"auto", "gpu", "cuda"} and torch.cuda.is_available():
        return "cuda"
    if accelerator in {"auto", "gpu", "mps"} and torch.backends.mps.is_available():
        return "mps"
    return "cpu"


def cpu_has_bf16() -> bool:
    """Whether this processor multiplies bfloat16 itself (AVX-512 BF16 or AMX)."""
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in probes)


def _cuda_has_bf16() -> bool:
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))
