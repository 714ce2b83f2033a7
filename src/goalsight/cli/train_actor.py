"""`goalsight train --config actor`: the same command line around the training of an actor."""

from __future__ import annotations

from pathlib import Path

import jsonargparse
from pytorch_lightning.cli import LightningArgumentParser

from goalsight.cli.lightning import RunCLI, named_config, report
from goalsight.cli.parsing import usage_error
from goalsight.errors import UserError
from goalsight.io import read_yaml
from goalsight.training.actor import ActorConfig, ActorRunConfig, train_actor
from goalsight.training.hindsight import HindsightConfig
from goalsight.training.schedule import OptimiserConfig


class ActorCLI(RunCLI):
    """Arguments of `goalsight train --config actor`."""

    prog = "goalsight train --config actor"
    presets = "train"
    description = """Train a goal-conditioned actor on the latents of a trained model.

The run's checkpoint is the whole model, its other heads and the actor; the one it was made from is
left alone. Plan with it by --settings mode=actor, or mode=both to search around what it proposes.
--config gcbc trains the benchmark's baseline in the same way: behaviour cloning by least squares.
Run again with the same settings, an unfinished run goes on exactly where it was saved last."""
    example = """example:
  goalsight train --config actor --checkpoint runs/push --data runs/push-data --out runs/push-actor
  goalsight train --config gcbc --checkpoint runs/push-actor --data runs/push-data --out runs/all
  goalsight bench --checkpoint runs/push-actor --manifest push-near --settings mode=hybrid --out b
"""

    def add_run_arguments(self, parser: LightningArgumentParser) -> None:
        """The model it is for, the actor, and what it learns from."""
        parser.add_argument(
            "--checkpoint", type=Path, required=True,
            help="Folder of a checkpoint or of a training run; its model is taken whole.",
        )  # fmt: skip
        parser.add_class_arguments(ActorConfig, "actor")
        parser.add_class_arguments(HindsightConfig, "hindsight")
        parser.add_class_arguments(OptimiserConfig, "optimiser")
        parser.set_defaults({"optimiser.lr": 1e-3})


def wants_actor(argv: list[str]) -> bool:
    """Whether the arguments of `goalsight train`, or a file they name, speak of an actor."""
    files = list(named_config(argv, ActorCLI.presets))
    for place, argument in enumerate(files):
        flag, _, value = argument.partition("=")
        if flag.startswith(("--actor.", "--hindsight.")):
            return True
        if flag == "--config":
            name = value or (files[place + 1] if place + 1 < len(files) else "")
            if _has_actor(Path(name)):
                return True
    return False


def _has_actor(path: Path) -> bool:
    """Whether a YAML file has a section `actor`; the parser complains of files that are none."""
    try:
        return "actor" in read_yaml(path)
    except UserError:
        return False


def train_actor_command(argv: list[str]) -> int:
    """Train an actor; see `ActorCLI.description`.

    Args:
        argv: what follows `goalsight train`.

    Returns:
        Exit status: 0, or 130 if it was interrupted.

    Raises:
        UserError: if something the user can mend is wrong.
    """
    from goalsight.data import open_dataset

    try:
        cli = ActorCLI(argv)
        given = cli.config_init
        dataset = open_dataset(given.data)
        config = ActorRunConfig(
            checkpoint=given.checkpoint,
            actor=given.actor,
            hindsight=given.hindsight,
            optimiser=given.optimiser,
            seed=int(given.seed_everything),
            threads=given.threads,
        )
    except (ValueError, TypeError, jsonargparse.ArgumentError) as error:
        raise usage_error(ActorCLI.prog, error) from error
    trainer = given.trainer.as_dict()
    summary = train_actor(
        dataset, given.out, config, trainer=trainer, settings=cli.settings, defaults=cli.defaults
    )
    return report(summary, given.json)
