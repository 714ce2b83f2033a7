"""`goalsight train`, `goalsight pretrain`: Lightning's command line around runs of training."""

from __future__ import annotations

import argparse
import json as jsonlib
import sys
from abc import abstractmethod
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, ClassVar

import jsonargparse
import yaml
from jsonargparse import Namespace
from pytorch_lightning import Trainer
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI

from goalsight.cli.parsing import LONGEST, _Formatter, _Parser, usage_error, with_underscores
from goalsight.data import open_dataset
from goalsight.errors import UserError
from goalsight.models import WorldModelConfig
from goalsight.models.mask_predictor import MaskPredictorConfig
from goalsight.models.video_encoder import VideoEncoderConfig
from goalsight.paths import config_dir
from goalsight.training.actor import ActorConfig, HindsightConfig
from goalsight.training.data import WindowsConfig
from goalsight.training.module import OptimiserConfig
from goalsight.training.objective import ObjectiveConfig
from goalsight.training.pretrain import MaskedObjectiveConfig, PretrainConfig, pretrain
from goalsight.training.run import FROM_DATASET, train
from goalsight.training.settings import (
    NOT_SETTINGS,
    SHOWN_BY_TRAINER,
    TRAINER_DEFAULTS,
    limits,
    on_device,
    with_new_names,
)
from goalsight.training.trainer import Precision, TrainSummary, is_first_process

INTERRUPTED = 130
"""Exit status after Ctrl-C."""
MISTAKES = (ValueError, TypeError, jsonargparse.ArgumentError)
"""What a parser raises for what a user can mend."""


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
            trainer_defaults=TRAINER_DEFAULTS,
            parser_class=_RunParser,
            parser_kwargs={
                "prog": self.prog,
                "description": self.description,
                "epilog": self.example,
                "formatter_class": _Formatter,
            },
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
        )

    @abstractmethod
    def add_run_arguments(self, parser: LightningArgumentParser) -> None:
        """What this kind of run is made of."""

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Seed and device; Lightning's `--seed_everything` is still understood."""
        parser.add_argument("--seed", type=int, default=0, help="Of everything random in the run.")
        parser.add_argument(
            "--seed_everything", type=int | None, default=None, help=argparse.SUPPRESS
        )
        parser.add_argument(
            "--device", type=str, default="auto", help="auto, cpu, cuda, cuda:1, mps."
        )

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Arguments of the run in place of Lightning's model and data classes."""

        def add(name: str, kind: Any, text: str) -> None:  # noqa: ANN401  (a type or a union)
            parser.add_argument(f"--{name}", type=kind, default=None, help=text)

        parser.add_argument("--data", type=Path, required=True, help="Folder of the dataset.")
        if self.writes:
            parser.add_argument("--out", type=Path, required=True, help="Folder of the run.")
        add("max_steps", int | None, "Optimiser steps that end the run; --trainer.max-steps.")
        add("max_minutes", float | None, "Training time that ends it; whichever comes first.")
        add("threads", int | None, "Processor threads; one per core by default.")
        add(
            "cache_gb",
            float | None,
            "Bound of the dataset's cache of decoded frames [GB]; what does not fit is decoded "
            "each time. No bound by default.",
        )
        parser.add_argument("--json", action="store_true", help="Print the summary as JSON.")
        self.add_run_arguments(parser)
        parser.add_class_arguments(
            Trainer,
            "trainer",
            fail_untyped=False,
            instantiate=False,
            sub_configs=True,
            skip={"precision"},
        )
        parser.add_argument(
            "--trainer.precision",
            type=Precision,
            default="auto",
            help="auto is bf16-mixed where the hardware has bfloat16, else 32-true.",
        )
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

    @property
    def trainer_arguments(self) -> dict[str, Any]:
        """Of Lightning's `Trainer`, apart from the device."""
        given = self.config_init
        trainer: dict[str, Any] = given.trainer.as_dict()
        return trainer | limits(given.max_minutes, given.max_steps)

    def _plain(self, config: Namespace) -> dict[str, Any]:
        text = self.parser.dump(config, skip_none=False, skip_validation=True, format="yaml")
        old = {"seed_everything": config.get("seed_everything")}  # hidden, thus not in the text
        values: dict[str, Any] = with_new_names(yaml.safe_load(text) | old)
        trainer = values["trainer"] | limits(values["max_minutes"], values["max_steps"])
        values["trainer"] = {k: v for k, v in trainer.items() if k not in SHOWN_BY_TRAINER}
        return {name: value for name, value in values.items() if name not in NOT_SETTINGS}


class TrainCLI(RunCLI):
    """Arguments of `goalsight train`."""

    prog = "goalsight train"
    presets = "train"
    description = """Train a world model on a dataset.

Run again with the same settings, an unfinished run goes on exactly where it was saved last
(every 30 s, and on Ctrl-C), and a finished one goes on if it is given more steps or time. The
trained model is OUT/checkpoint; TensorBoard reads OUT. Every argument of Lightning's Trainer is a
flag, such as --trainer.val-check-interval 100."""
    example = """example:
  goalsight train --config tiny --data runs/push-data --out runs/push --max-minutes 4
  goalsight train --data runs/push-data --out runs/small --model.size small --max-steps 9000
  goalsight train --init-from arm-tiny --data runs/mine --out runs/further --max-steps 1000
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
            "--proprio",
            type=bool,
            default=False,
            help="Let the model see and predict the dataset's proprio.",
        )
        parser.add_argument(
            "--init_from",
            type=str | None,
            default=None,
            help="A checkpoint, a run or a shipped name, whose whole model is trained further.",
        )
        parser.add_argument(
            "--new_heads",
            action="store_true",
            help="Leave the heads of --init-from behind, which fit the latents of before.",
        )
        parser.add_argument(
            "--encoder_from",
            type=Path | None,
            default=None,
            help="A run of goalsight pretrain or train, or a checkpoint, whose encoder is taken.",
        )
        parser.add_argument(
            "--compile",
            type=bool,
            default=False,
            help="Compile encoder and predictor: a minute first, faster steps on some devices.",
        )
        parser.add_argument(
            "--download",
            action="store_true",
            help="Fetch the weights of an encoder such as timm:NAME if they are not here.",
        )
        parser.add_class_arguments(ObjectiveConfig, "objective")
        parser.add_class_arguments(OptimiserConfig, "optimiser")
        parser.add_class_arguments(WindowsConfig, "windows")


class ActorCLI(RunCLI):
    """Arguments of `goalsight train --config actor`."""

    prog = "goalsight train --config actor"
    presets = "train"
    description = """Train a goal-conditioned actor on the latents of a trained model.

The run's checkpoint is the whole model, its other heads and the actor; the one it was made from is
left alone. Plan with it by --settings mode=actor, or mode=hybrid to search around what it proposes.
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
            "--checkpoint",
            type=Path,
            required=True,
            help="Folder of a checkpoint or of a training run; its model is taken whole.",
        )
        parser.add_class_arguments(ActorConfig, "actor")
        parser.add_class_arguments(HindsightConfig, "hindsight")
        parser.add_class_arguments(OptimiserConfig, "optimiser")
        parser.set_defaults({"optimiser.lr": 1e-3})


class PretrainCLI(RunCLI):
    """Arguments of `goalsight pretrain`."""

    prog = "goalsight pretrain"
    presets = "pretrain"
    description = """Pretrain a video encoder on the videos of a dataset, as V-JEPA does.

Hidden parts of a video are predicted from visible ones; actions are not looked at. The encoder is
OUT/checkpoint; goalsight train --encoder-from OUT trains a world model on it. Run again with the
same settings, an unfinished run goes on exactly where it was saved last. Every argument of
Lightning's Trainer is a flag, such as --trainer.val-check-interval 100."""
    example = """example:
  goalsight pretrain --config tiny --data runs/push-data --out runs/encoder
  goalsight pretrain --config tiny --data runs/push-data --out runs/dense --objective.context 0.5
"""

    def add_run_arguments(self, parser: LightningArgumentParser) -> None:
        """Encoder, predictor, objective, optimiser and windows."""
        usual = PretrainConfig()
        parser.add_class_arguments(
            VideoEncoderConfig, "encoder", skip={"image_size"}, instantiate=False
        )
        parser.add_argument(
            "--encoder.image_size", type=int | None, default=None, help="Default: the dataset's."
        )
        parser.add_class_arguments(MaskPredictorConfig, "predictor")
        parser.add_class_arguments(MaskedObjectiveConfig, "objective")
        parser.add_class_arguments(OptimiserConfig, "optimiser")
        parser.add_class_arguments(WindowsConfig, "windows")
        parser.add_argument(
            "--stride", type=int, default=usual.stride, help="Control steps between two frames."
        )
        parser.set_defaults(
            {
                f"{part}.{item.name}": getattr(values, item.name)
                for part, values in (("optimiser", usual.optimiser), ("windows", usual.windows))
                for item in fields(values)
            }
        )


def main(argv: list[str]) -> int:
    """Train a world model, see `TrainCLI.description`, or an actor, see `wants_actor`.

    Args:
        argv: what follows `goalsight train`.

    Returns:
        Exit status: 0, or 130 if it was interrupted.

    Raises:
        UserError: if something the user can mend is wrong.
    """
    if wants_actor(argv):
        return actor_command(argv)
    try:
        cli = TrainCLI(argv)
        given = cli.config_init
        dataset = open_dataset(given.data, cache_gb=given.cache_gb)
    except MISTAKES as error:
        raise usage_error(TrainCLI.prog, error) from error
    summary = train(
        dataset,
        given.out,
        None,
        threads=given.threads,
        compile=given.compile,
        download=given.download,
        **{**cli.settings, "trainer": cli.trainer_arguments},
    )
    return report(summary, given.json)


def actor_command(argv: list[str]) -> int:
    """Train an actor; see `ActorCLI.description`. Arguments and errors are those of `main`."""
    from goalsight.training.heads import train_head

    try:
        cli = ActorCLI(argv)
        given = cli.config_init
        dataset = open_dataset(given.data, cache_gb=given.cache_gb)
    except MISTAKES as error:
        raise usage_error(ActorCLI.prog, error) from error
    settings = {**cli.settings, "trainer": cli.trainer_arguments}
    del settings["checkpoint"]
    summary = train_head(
        given.checkpoint, dataset, given.out, given.actor.head, threads=given.threads, **settings
    )
    assert isinstance(summary, TrainSummary)
    return report(summary, given.json)


def pretrain_command(argv: list[str]) -> int:
    """Pretrain an encoder; see `PretrainCLI.description`. Arguments and errors are `main`'s."""
    try:
        cli = PretrainCLI(argv)
        given = cli.config_init
        dataset = open_dataset(given.data, cache_gb=given.cache_gb)
        values = {item.name: given.encoder[item.name] for item in fields(VideoEncoderConfig)}
        values["image_size"] = values["image_size"] or dataset.size
        config = PretrainConfig(
            encoder=VideoEncoderConfig(**values),
            predictor=given.predictor,
            objective=given.objective,
            optimiser=given.optimiser,
            windows=given.windows,
            stride=given.stride,
            seed=cli.settings["seed"],
            threads=given.threads,
        )
    except MISTAKES as error:
        raise usage_error(PretrainCLI.prog, error) from error
    trainer = on_device(cli.trainer_arguments, given.device)
    summary = pretrain(
        dataset, given.out, config, trainer=trainer, settings=cli.settings, defaults=cli.defaults
    )
    return report(summary, given.json)


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
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return False
    return isinstance(content, dict) and "actor" in content


def named_config(argv: list[str], folder: str) -> list[str]:
    """`--config tiny` means the shipped config of that name, unless there is such a file.

    Args:
        argv: as typed.
        folder: of `configs/`.

    Raises:
        UserError: if it is neither; lists the names there are.
    """
    shipped = {path.stem: str(path) for path in sorted((config_dir() / folder).glob("*.yaml"))}

    def found(name: str) -> str:
        if not name or len(name) > LONGEST or Path(name).exists() or Path(name).suffix:
            return name
        if name not in shipped:
            raise UserError(
                f"no preset {name!r}; there are: {', '.join(shipped)}; or give the path of a .yaml"
            )
        return shipped[name]

    result = list(argv)
    for i, argument in enumerate(argv):
        flag, equals, value = argument.partition("=")
        if flag == "--config" and equals:
            result[i] = f"--config={found(value)}"
        elif i > 0 and argv[i - 1] == "--config":
            result[i] = found(argument)
    return result


def report(summary: TrainSummary, json: bool) -> int:
    """Print what a run did; of the processes of a run only the first one does.

    Args:
        summary: of the run.
        json: as JSON instead of words.

    Returns:
        Exit status: 0, or 130 if it was interrupted.
    """
    if is_first_process():
        paths = {"out": str(summary.out), "checkpoint": str(summary.checkpoint)}
        print(jsonlib.dumps(asdict(summary) | paths) if json else summary)
        if summary.interrupted:
            print("goalsight: stopped; the same command goes on from here", file=sys.stderr)
    return INTERRUPTED if summary.interrupted else 0
