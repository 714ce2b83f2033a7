"""`goalsight perf train`: how fast a run of `goalsight train` is here, beside its floors."""

from __future__ import annotations

import json as jsonlib
from dataclasses import asdict

import jsonargparse
from pytorch_lightning.cli import LightningArgumentParser

from goalsight.cli.parsing import usage_error
from goalsight.cli.train import TrainCLI, run_config
from goalsight.errors import UserError
from goalsight.training.run import prepare
from goalsight.training.speed import TrainingSpeed, measure_training


class SpeedCLI(TrainCLI):
    """Arguments of `goalsight perf train`: those of `goalsight train`, but nothing is kept."""

    prog = "goalsight perf train"
    writes = False
    description = """Measure training steps with the loader beside the same step without one.

Prints windows a second in both cases, the share of the time the model waits for its loader, and
the model-FLOP utilisation: operations of the step's matrix products against what one large matrix
product reaches on this device. Takes the arguments of goalsight train; nothing is kept."""
    example = """example:
  goalsight perf train --config tiny --data runs/push-data --steps 50
"""

    def add_run_arguments(self, parser: LightningArgumentParser) -> None:
        """Those of a run, and how long to measure."""
        super().add_run_arguments(parser)
        parser.add_argument("--steps", type=int, default=50, help="Steps timed in each half.")


def train(argv: list[str]) -> int:
    """Measure a training run; see `SpeedCLI.description`.

    Args:
        argv: what follows `goalsight perf train`.

    Returns:
        Exit status 0.

    Raises:
        UserError: if something the user can mend is wrong.
    """
    from goalsight.data import open_dataset
    from goalsight.training.devices import threads

    try:
        given = SpeedCLI(argv).config_init
        dataset = open_dataset(given.data, cache_gb=given.cache_gb)
        config = run_config(given, dataset)
    except (ValueError, TypeError, jsonargparse.ArgumentError) as error:
        raise usage_error(SpeedCLI.prog, error) from error
    if given.steps < 1:
        raise UserError(f"--steps must be at least 1, got {given.steps}")
    with threads(config.threads) as number:
        speed = measure_training(
            lambda timer: prepare(dataset, config, timer),
            steps=given.steps,
            trainer=given.trainer.as_dict(),
        )
    print(_as_json(speed, number) if given.json else _in_words(speed, number))
    return 0


def _as_json(speed: TrainingSpeed, threads: int) -> str:
    from goalsight.provenance import hardware

    values = asdict(speed) | {
        "utilisation": speed.utilisation, "threads": threads, "hardware": hardware(),
    }  # fmt: skip
    return jsonlib.dumps(values, indent=2)


def _in_words(speed: TrainingSpeed, threads: int) -> str:
    from goalsight.provenance import hardware

    waits = f"the loader is waited for {speed.loader_wait_share:.1%} of the time"
    step = f"{speed.step_flop / 1e9:.1f} GFLOP a step of {speed.batch} windows"
    rate = f"{speed.matmul_flop_per_s / 1e9:.0f} GFLOP/s"
    where = f"{speed.device}, {threads} threads, {speed.precision}"
    lines = (
        f"{speed.samples_per_s:9.0f} windows/s  with the loader; {waits}",
        f"{speed.synthetic_samples_per_s:9.0f} windows/s  the same step, its batch in place",
        f"{speed.utilisation:9.1%} of a matrix product's rate is used ({step}, {rate})",
        f"{where}; {hardware()}",
    )
    return "\n".join(lines)
