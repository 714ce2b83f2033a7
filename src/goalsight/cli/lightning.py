"""Lightning's command line around a training run; `train` and `pretrain` are built on it."""

from __future__ import annotations

import json as jsonlib
import sys
from abc import abstractmethod
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import yaml
from jsonargparse import Namespace
from pytorch_lightning import Trainer
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI

from goalsight.cli.parsing import _Formatter, _Parser, with_underscores
from goalsight.paths import config_dir
from goalsight.training.devices import Precision, is_first_process
from goalsight.training.loop import TRAINER_DEFAULTS, TrainSummary

INTERRUPTED = 130
"""Exit status after Ctrl-C."""
NOT_SETTINGS = {"config", "data", "out", "json", "threads", "download", "compile", "cache_gb"}
"""Arguments in which a run may differ from the one it goes on with; so may `SHOWN_BY_TRAINER`."""
SHOWN_BY_TRAINER = {
    "default_root_dir", "enable_model_summary", "enable_progress_bar", "log_every_n_steps",
    "logger", "profiler",
}  # fmt: skip


class _RunParser(_Parser, LightningArgumentParser):
    """Lightning's parser with one-line errors."""


class RunCLI(LightningCLI):
    """Lightning's command line with the dataset and the folder of the run as arguments.

    It parses; model and data are built by the run, since both depend on the dataset.
    """

    prog: ClassVar[str]
    """What is typed, such as `goalsight train`."""
    description: ClassVar[str]
    """What the command does, for `--help`."""
    example: ClassVar[str]
    """The end of `--help`."""
    presets: ClassVar[str]
    """Folder of `configs/` in which `--config NAME` looks."""
    writes: ClassVar[bool] = True
    """Whether there is a folder of the run, `--out`."""

    def __init__(self, argv: list[str]) -> None:
        """Parse.

        Args:
            argv: what follows the command's name.

        Raises:
            UserError: if an argument is unknown or does not fit.
            SystemExit: with status 0 after `--help` or `--print_config`.
        """
        super().__init__(
            args=[with_underscores(argument) for argument in named_config(argv, self.presets)],
            run=False,
            save_config_callback=None,
            seed_everything_default=0,
            trainer_defaults=TRAINER_DEFAULTS,
            parser_class=_RunParser,
            parser_kwargs={
                "prog": self.prog, "description": self.description, "epilog": self.example,
                "formatter_class": _Formatter,
            },
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
        )  # fmt: skip

    @abstractmethod
    def add_run_arguments(self, parser: LightningArgumentParser) -> None:
        """What this kind of run is made of."""

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Arguments of the run in place of Lightning's model and data classes."""
        parser.add_argument("--data", type=Path, required=True, help="Folder of the dataset.")
        if self.writes:
            parser.add_argument("--out", type=Path, required=True, help="Folder of the run.")
        parser.add_argument(
            "--threads", type=int | None, default=None,
            help="Processor threads; one per core by default.",
        )  # fmt: skip
        parser.add_argument(
            "--cache_gb", type=float | None, default=None,
            help="Bound of the dataset's cache of decoded frames [GB]; what does not fit is "
            "decoded each time. No bound by default.",
        )  # fmt: skip
        parser.add_argument("--json", action="store_true", help="Print the summary as JSON.")
        self.add_run_arguments(parser)
        parser.add_class_arguments(
            Trainer, "trainer", fail_untyped=False, instantiate=False, sub_configs=True,
            skip={"precision"},
        )  # fmt: skip
        parser.add_argument(
            "--trainer.precision", type=Precision, default="auto",
            help="auto is bf16-mixed where the hardware has bfloat16, else 32-true.",
        )  # fmt: skip
        parser.set_defaults({f"trainer.{key}": item for key, item in self.trainer_defaults.items()})

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:  # noqa: ANN401
        """Parse what was given, never the process's own arguments."""
        self.config: Namespace = parser.parse_args(args)

    def instantiate_classes(self) -> None:
        """Objects in place of their arguments; the trainer is made by the run."""
        self.config_init: Namespace = self.parser.instantiate(self.config)

    def _set_seed(self) -> None:
        """Nothing: the run's seed is an argument of the run, not of the process."""

    @property
    def settings(self) -> dict[str, Any]:
        """Plain values of the arguments that a resumed run must share."""
        return self._plain(self.config)

    @property
    def defaults(self) -> dict[str, Any]:
        """`settings` where nothing was given: what a run has that began before an argument was."""
        return self._plain(self.parser.get_defaults())

    def _plain(self, config: Namespace) -> dict[str, Any]:
        text = self.parser.dump(config, skip_none=False, skip_validation=True, format="yaml")
        values: dict[str, Any] = yaml.safe_load(text)
        trainer = values["trainer"]
        values["trainer"] = {k: v for k, v in trainer.items() if k not in SHOWN_BY_TRAINER}
        return {name: value for name, value in values.items() if name not in NOT_SETTINGS}


def report(summary: TrainSummary, json: bool) -> int:
    """Print what a run did; of the processes of a run only the first one does.

    Args:
        summary: of the run.
        json: as JSON instead of words.

    Returns:
        Exit status: 0, or 130 if it was interrupted.
    """
    if is_first_process():
        print(jsonlib.dumps(_as_json(summary)) if json else _in_words(summary))
        if summary.interrupted:
            print("goalsight: stopped; the same command goes on from here", file=sys.stderr)
    return INTERRUPTED if summary.interrupted else 0


def named_config(argv: list[str], folder: str) -> list[str]:
    """`--config tiny` means the shipped config of that name, unless there is such a file.

    Args:
        argv: as typed.
        folder: of `configs/`.
    """
    shipped = {path.stem: str(path) for path in (config_dir() / folder).glob("*.yaml")}
    result = list(argv)
    for i, argument in enumerate(argv):
        flag, _, value = argument.partition("=")
        if flag == "--config" and value in shipped and not Path(value).exists():
            result[i] = f"--config={shipped[value]}"
        elif i > 0 and argv[i - 1] == "--config" and argument in shipped:
            result[i] = argument if Path(argument).exists() else shipped[argument]
    return result


def _in_words(summary: TrainSummary) -> str:
    """One or two lines for a person."""
    before = f", {summary.resumed_at} of them before" if summary.resumed_at else ""
    line = f"{summary.checkpoint}: {summary.steps} steps{before}, {summary.minutes:.1f} min"
    shown = (
        "validation/prediction",
        "validation/nll",
        "validation/action_error",
        "collapse/effective_rank",
        "speed/samples_per_s",
    )
    numbers = [
        f"{name.replace('/', ' ').replace('_', ' ')} {summary.metrics[name]:.3g}"
        for name in shown
        if name in summary.metrics
    ]
    return f"{line}\n{', '.join(numbers)}" if numbers else line


def _as_json(summary: TrainSummary) -> dict[str, object]:
    return {
        **asdict(summary), "out": str(summary.out), "checkpoint": str(summary.checkpoint)
    }  # fmt: skip
