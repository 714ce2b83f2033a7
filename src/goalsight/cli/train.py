"""`goalsight train`: Lightning's command line around one training run."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import jsonargparse
from jsonargparse import Namespace
from pytorch_lightning.cli import LightningArgumentParser

from goalsight.cli.lightning import RunCLI, report
from goalsight.cli.parsing import usage_error
from goalsight.models import WorldModelConfig
from goalsight.training.data import WindowsConfig
from goalsight.training.objective import ObjectiveConfig
from goalsight.training.run import TrainConfig, train
from goalsight.training.schedule import OptimiserConfig

if TYPE_CHECKING:
    from goalsight.data import Dataset

FROM_DATASET = {"image_size": "size", "action_dim": "action_dim"}
"""Fields of the model that the dataset fills in where they are not given, and its names of them."""


class TrainCLI(RunCLI):
    """Arguments of `goalsight train`."""

    prog = "goalsight train"
    presets = "train"
    description = """Train a world model on a dataset.

Run again with the same settings, an unfinished run goes on exactly where it was saved last
(every 30 s, and on Ctrl-C). The trained model is OUT/checkpoint; TensorBoard reads OUT. Every
argument of Lightning's Trainer is a flag, such as --trainer.max-time 00:00:04:00."""
    example = """example:
  goalsight train --config tiny --data runs/push-data --out runs/push
  goalsight train --data runs/push-data --out runs/small --model.size small --trainer.max-steps 9000
  goalsight train --config actor --checkpoint runs/push --data runs/push-data --out runs/push-actor
"""

    def add_run_arguments(self, parser: LightningArgumentParser) -> None:
        """Model, objective, optimiser and windows."""
        taken: set[str | int] = set(FROM_DATASET)
        parser.add_class_arguments(WorldModelConfig, "model", skip=taken, instantiate=False)
        for name in FROM_DATASET:
            parser.add_argument(
                f"--model.{name}", type=int | None, default=None, help="Default: the dataset's."
            )
        parser.add_argument(
            "--proprio", type=bool, default=False,
            help="Let the model see and predict the dataset's proprio.",
        )  # fmt: skip
        parser.add_argument(
            "--encoder_from", type=Path | None, default=None,
            help="A run of goalsight pretrain or train, or a checkpoint, whose encoder is taken.",
        )  # fmt: skip
        parser.add_argument(
            "--compile", type=bool, default=False,
            help="Compile encoder and predictor: a minute first, faster steps on some devices.",
        )  # fmt: skip
        parser.add_argument(
            "--download", action="store_true",
            help="Fetch the weights of an encoder such as timm:NAME if they are not here.",
        )  # fmt: skip
        parser.add_class_arguments(ObjectiveConfig, "objective")
        parser.add_class_arguments(OptimiserConfig, "optimiser")
        parser.add_class_arguments(WindowsConfig, "windows")


def main(argv: list[str]) -> int:
    """Train a world model, see `TrainCLI.description`, or an actor, see `wants_actor`.

    Args:
        argv: what follows `goalsight train`.

    Returns:
        Exit status: 0, or 130 if it was interrupted.

    Raises:
        UserError: if something the user can mend is wrong.
    """
    from goalsight.cli.train_actor import train_actor_command, wants_actor
    from goalsight.data import open_dataset

    if wants_actor(argv):
        return train_actor_command(argv)
    try:
        cli = TrainCLI(argv)
        given = cli.config_init
        dataset = open_dataset(given.data, cache_gb=given.cache_gb)
        config = run_config(given, dataset)
    except (ValueError, TypeError, jsonargparse.ArgumentError) as error:
        raise usage_error(TrainCLI.prog, error) from error
    summary = train(
        dataset,
        given.out,
        config,
        trainer=given.trainer.as_dict(),
        settings=cli.settings,
        defaults=cli.defaults,
    )
    return report(summary, given.json)


def run_config(given: Namespace, dataset: Dataset) -> TrainConfig:
    """What the arguments of `goalsight train` say about a run, completed by the dataset.

    Raises:
        ValueError: if they do not fit together.
    """
    return TrainConfig(
        model=_model_config(given, dataset),
        objective=given.objective,
        optimiser=given.optimiser,
        windows=given.windows,
        seed=int(given.seed_everything),
        threads=given.threads,
        encoder_from=given.encoder_from,
        download=given.download,
        compile=given.compile,
    )


def _model_config(given: Namespace, dataset: Dataset) -> WorldModelConfig:
    """The model's config, completed by what the dataset says."""
    values = {field.name: given.model[field.name] for field in fields(WorldModelConfig)}
    if given.proprio:
        values["proprio_dim"] = dataset.proprio_dim
    for name, attribute in FROM_DATASET.items():
        if values[name] is None:
            values[name] = getattr(dataset, attribute)
    return WorldModelConfig(**values)
