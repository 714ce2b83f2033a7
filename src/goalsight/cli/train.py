"""`goalsight train`: Lightning's command line around one training run."""

from __future__ import annotations

import json as jsonlib
import sys
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonargparse
import yaml
from jsonargparse import Namespace
from pytorch_lightning import Trainer
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI

from goalsight.cli.parsing import _Formatter, _Parser, usage_error, with_underscores
from goalsight.models import WorldModelConfig
from goalsight.paths import config_dir
from goalsight.training.data import WindowsConfig
from goalsight.training.devices import Precision
from goalsight.training.objective import ObjectiveConfig
from goalsight.training.run import TRAINER_DEFAULTS, TrainConfig, TrainSummary, train
from goalsight.training.schedule import OptimiserConfig

if TYPE_CHECKING:
    from goalsight.data import Dataset

PROG = "goalsight train"
INTERRUPTED = 130
"""Exit status after Ctrl-C."""
FROM_DATASET = {"image_size": "size", "action_dim": "action_dim"}
"""Fields of the model that the dataset fills in where they are not given, and its names of them."""
NOT_SETTINGS = {"config", "data", "out", "json", "threads"}
"""Arguments in which a run may differ from the one it goes on with; so may `SHOWN_BY_TRAINER`."""
SHOWN_BY_TRAINER = {
    "default_root_dir", "enable_model_summary", "enable_progress_bar", "log_every_n_steps",
    "logger", "profiler",
}  # fmt: skip

DESCRIPTION = """Train a world model on a dataset.

Run again with the same settings, an unfinished run goes on exactly where it was saved last
(every 30 s, and on Ctrl-C). The trained model is OUT/checkpoint; TensorBoard reads OUT. Every
argument of Lightning's Trainer is a flag, such as --trainer.max-time 00:00:04:00."""

EXAMPLE = """example:
  goalsight train --config tiny --data runs/push-data --out runs/push
  goalsight train --data runs/push-data --out runs/small --model.size small --trainer.max-steps 9000
"""


class _TrainParser(_Parser, LightningArgumentParser):
    """Lightning's parser with one-line errors."""


class TrainCLI(LightningCLI):
    """Lightning's command line with the dataset and the folder of the run as arguments.

    It parses; `goalsight.training.run.train` builds model and data, since both depend on the
    dataset.
    """

    def __init__(self, argv: list[str]) -> None:
        """Parse.

        Args:
            argv: what follows `goalsight train`.

        Raises:
            UserError: if an argument is unknown or does not fit.
            SystemExit: with status 0 after `--help` or `--print_config`.
        """
        super().__init__(
            args=[with_underscores(argument) for argument in _with_named_config(argv)],
            run=False,
            save_config_callback=None,
            seed_everything_default=0,
            trainer_defaults=TRAINER_DEFAULTS,
            parser_class=_TrainParser,
            parser_kwargs={
                "prog": PROG, "description": DESCRIPTION, "epilog": EXAMPLE,
                "formatter_class": _Formatter,
            },
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
        )  # fmt: skip

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Arguments of the run in place of Lightning's model and data classes."""
        parser.add_argument("--data", type=Path, required=True, help="Folder of the dataset.")
        parser.add_argument("--out", type=Path, required=True, help="Folder of the run.")
        parser.add_argument(
            "--threads", type=int | None, default=None,
            help="Processor threads; one per core by default.",
        )  # fmt: skip
        parser.add_argument("--json", action="store_true", help="Print the summary as JSON.")
        taken: set[str | int] = set(FROM_DATASET)
        parser.add_class_arguments(WorldModelConfig, "model", skip=taken, instantiate=False)
        for name in FROM_DATASET:
            parser.add_argument(
                f"--model.{name}", type=int | None, default=None, help="Default: the dataset's."
            )
        parser.add_class_arguments(ObjectiveConfig, "objective")
        parser.add_class_arguments(OptimiserConfig, "optimiser")
        parser.add_class_arguments(WindowsConfig, "windows")
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
        text = self.parser.dump(self.config, skip_none=False, format="yaml")
        values: dict[str, Any] = yaml.safe_load(text)
        trainer = values["trainer"]
        values["trainer"] = {k: v for k, v in trainer.items() if k not in SHOWN_BY_TRAINER}
        return {name: value for name, value in values.items() if name not in NOT_SETTINGS}


def main(argv: list[str]) -> int:
    """Train a world model; see `DESCRIPTION`.

    Args:
        argv: what follows `goalsight train`.

    Returns:
        Exit status: 0, or 130 if it was interrupted.

    Raises:
        UserError: if something the user can mend is wrong.
    """
    from goalsight.data import open_dataset

    try:
        cli = TrainCLI(argv)
        given = cli.config_init
        dataset = open_dataset(given.data)
        config = TrainConfig(
            model=_model_config(given.model, dataset),
            objective=given.objective,
            optimiser=given.optimiser,
            windows=given.windows,
            seed=int(given.seed_everything),
            threads=given.threads,
        )
    except (ValueError, TypeError, jsonargparse.ArgumentError) as error:
        raise usage_error(PROG, error) from error
    summary = train(
        dataset, given.out, config, trainer=given.trainer.as_dict(), settings=cli.settings
    )
    print(jsonlib.dumps(_as_json(summary)) if given.json else _in_words(summary))
    if summary.interrupted:
        print("goalsight: stopped; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    return 0


def _with_named_config(argv: list[str]) -> list[str]:
    """`--config tiny` means the shipped config of that name, unless there is such a file."""
    shipped = {path.stem: str(path) for path in (config_dir() / "train").glob("*.yaml")}
    result = list(argv)
    for i, argument in enumerate(argv):
        flag, _, value = argument.partition("=")
        if flag == "--config" and value in shipped and not Path(value).exists():
            result[i] = f"--config={shipped[value]}"
        elif i > 0 and argv[i - 1] == "--config" and argument in shipped:
            result[i] = argument if Path(argument).exists() else shipped[argument]
    return result


def _model_config(given: Namespace, dataset: Dataset) -> WorldModelConfig:
    """The model's config, completed by what the dataset says."""
    values = {field.name: given[field.name] for field in fields(WorldModelConfig)}
    for name, attribute in FROM_DATASET.items():
        if values[name] is None:
            values[name] = getattr(dataset, attribute)
    return WorldModelConfig(**values)


def _in_words(summary: TrainSummary) -> str:
    """One or two lines for a person."""
    before = f", {summary.resumed_at} of them before" if summary.resumed_at else ""
    line = f"{summary.checkpoint}: {summary.steps} steps{before}, {summary.minutes:.1f} min"
    shown = ("validation/prediction", "collapse/effective_rank", "speed/samples_per_s")
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
