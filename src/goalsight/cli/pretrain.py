"""`goalsight pretrain`: Lightning's command line around pretraining a video encoder."""

from __future__ import annotations

from dataclasses import fields

import jsonargparse
from pytorch_lightning.cli import LightningArgumentParser

from goalsight.cli.lightning import RunCLI, report
from goalsight.cli.parsing import usage_error
from goalsight.models.mask_predictor import MaskPredictorConfig
from goalsight.models.video_encoder import VideoEncoderConfig
from goalsight.training.data import WindowsConfig
from goalsight.training.masked import MaskedObjectiveConfig
from goalsight.training.pretrain import PretrainConfig, pretrain
from goalsight.training.schedule import OptimiserConfig

DEFAULTS = PretrainConfig()


class PretrainCLI(RunCLI):
    """Arguments of `goalsight pretrain`."""

    prog = "goalsight pretrain"
    presets = "pretrain"
    description = """Pretrain a video encoder on the videos of a dataset, as V-JEPA does.

Hidden parts of a video are predicted from visible ones; actions are not looked at. The encoder is
OUT/checkpoint; goalsight train --encoder-from OUT trains a world model on it. Run again with the
same settings, an unfinished run goes on exactly where it was saved last. Every argument of
Lightning's Trainer is a flag, such as --trainer.max-time 00:00:04:00."""
    example = """example:
  goalsight pretrain --config tiny --data runs/push-data --out runs/encoder
  goalsight pretrain --config tiny --data runs/push-data --out runs/dense --objective.context 0.5
"""

    def add_run_arguments(self, parser: LightningArgumentParser) -> None:
        """Encoder, predictor, objective, optimiser and windows."""
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
            "--stride", type=int, default=DEFAULTS.stride,
            help="Control steps between two frames.",
        )  # fmt: skip
        parser.set_defaults(
            {
                f"{part}.{field.name}": getattr(values, field.name)
                for part, values in (
                    ("optimiser", DEFAULTS.optimiser), ("windows", DEFAULTS.windows)
                )
                for field in fields(values)
            }
        )  # fmt: skip


def main(argv: list[str]) -> int:
    """Pretrain a video encoder; see `PretrainCLI.description`.

    Args:
        argv: what follows `goalsight pretrain`.

    Returns:
        Exit status: 0, or 130 if it was interrupted.

    Raises:
        UserError: if something the user can mend is wrong.
    """
    from goalsight.data import open_dataset

    try:
        cli = PretrainCLI(argv)
        given = cli.config_init
        dataset = open_dataset(given.data, cache_gb=given.cache_gb)
        values = {field.name: given.encoder[field.name] for field in fields(VideoEncoderConfig)}
        config = PretrainConfig(
            encoder=VideoEncoderConfig(
                **{**values, "image_size": values["image_size"] or dataset.size}
            ),
            predictor=given.predictor,
            objective=given.objective,
            optimiser=given.optimiser,
            windows=given.windows,
            stride=given.stride,
            seed=int(given.seed_everything),
            threads=given.threads,
        )
    except (ValueError, TypeError, jsonargparse.ArgumentError) as error:
        raise usage_error(PretrainCLI.prog, error) from error
    summary = pretrain(
        dataset,
        given.out,
        config,
        trainer=given.trainer.as_dict(),
        settings=cli.settings,
        defaults=cli.defaults,
    )
    return report(summary, given.json)
