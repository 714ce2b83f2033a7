"""Processes that train together do what one does with the batch of all of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.multiprocessing.spawn import start_processes
from torch.nn.parallel import DistributedDataParallel

from goalsight.checkpoint import load_checkpoint
from goalsight.clip import Clip
from goalsight.data import Dataset
from goalsight.models import WorldModel, WorldModelConfig
from goalsight.models.encoder import BatchNorm
from goalsight.ranks import gather_batch, sum_over_ranks
from goalsight.training.objective import ObjectiveConfig, make_targets, world_model_losses

RANKS, STEPS = 2, 3
OBJECTIVES = ("sigreg", "vicreg", "barlow", "ema", "infonce", "dino", "none")
CASES = [(kind, "conv", "residual") for kind in OBJECTIVES] + [("sigreg", "conv-grid", "grid")]


def batch(step: int) -> Clip:
    """8 windows, the same everywhere."""
    generator = torch.Generator().manual_seed(step)
    return Clip(
        torch.randint(0, 256, (8, 3, 3, 32, 32), dtype=torch.uint8, generator=generator),
        2 * torch.rand(8, 2, 2, 2, generator=generator) - 1,
        torch.randn(8, 3, 3, generator=generator),
    )


def part(clip: Clip, rank: int, ranks: int) -> Clip:
    fields = (clip.frames, clip.actions, clip.proprio)
    return Clip(*(field.chunk(ranks)[rank] for field in fields))


class Losses(nn.Module):
    """Loss of a clip as a forward pass, which is what DDP wraps."""

    def __init__(self, kind: str, encoder: str, predictor: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.model = WorldModel(
            WorldModelConfig(
                image_size=32,
                action_dim=2,
                frameskip=2,
                encoder=encoder,
                predictor=predictor,
                proprio_dim=3,
            )
        )
        self.config = ObjectiveConfig(anti_collapse=kind, straightening=0.1)
        self.targets = make_targets(self.model, self.config)

    def forward(self, clip: Clip, step: int) -> Tensor:
        generator = torch.Generator().manual_seed(step)
        return world_model_losses(self.model, clip, self.config, generator, self.targets)["loss"]


def train(case: tuple[str, str, str], rank: int, ranks: int) -> dict[str, Tensor]:
    """Three steps, then everything that a run would resume from.

    Plain descent: Adam divides by the size of the gradient and makes large steps of roundings.
    """
    losses = Losses(*case)
    step_of = losses if ranks == 1 else DistributedDataParallel(losses)
    trained = [parameter for parameter in losses.parameters() if parameter.requires_grad]
    optimiser = torch.optim.SGD(trained, lr=0.02)
    for step in range(STEPS):
        optimiser.zero_grad()
        torch.autograd.backward(step_of(part(batch(step), rank, ranks), step))
        optimiser.step()
        if losses.targets is not None:
            losses.targets.follow(losses.model.encoder)
    return losses.state_dict()


def work(rank: int, folder: str) -> None:
    """What each of the processes does."""
    torch.set_num_threads(1)
    store = f"file://{folder}/store"
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=RANKS)
    states = {"/".join(case): train(case, rank, RANKS) for case in CASES}
    torch.save(states, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, Tensor]]]:
    """What two processes with half the batch each end with."""
    folder = tmp_path_factory.mktemp("ranks")
    start_processes(work, (str(folder),), nprocs=RANKS, start_method="spawn")  # type: ignore[no-untyped-call]
    return [torch.load(folder / f"{rank}.pt") for rank in range(RANKS)]


@pytest.mark.parametrize("case", CASES, ids="/".join)
def test_two_processes_train_as_one_with_the_double_batch(
    together: list[dict[str, dict[str, Tensor]]], case: tuple[str, str, str]
) -> None:
    """Weights, running statistics, target encoder and centre, after three steps."""
    alone = train(case, 0, 1)
    for states in together:
        torch.testing.assert_close(states["/".join(case)], alone, atol=1e-5, rtol=1e-5)


def test_half_a_batch_alone_would_train_otherwise() -> None:
    """So the test above would see statistics that are not gathered."""
    for case in CASES:
        halves = [Losses(*case)(part(batch(0), rank, 2), 0) for rank in range(2)]
        whole = Losses(*case)(batch(0), 0)
        assert abs(sum(halves) / 2 - whole) > 1e-3


def test_one_process_gathers_nothing_and_its_batch_norm_is_pytorchs() -> None:
    z = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    assert gather_batch(z) is z
    assert sum_over_ranks(z) is z
    ours, theirs = BatchNorm(4), nn.BatchNorm1d(4)
    theirs.load_state_dict(ours.state_dict())
    for training in (True, False):
        ours.train(training)
        theirs.train(training)
        assert torch.equal(ours(z), theirs(z))


def torchrun(dataset: Dataset, out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = "import sys; from goalsight.cli.main import main; sys.exit(main(sys.argv[1:]))"
    script = out.parent / "goalsight_train.py"
    script.write_text(program)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        str(script),
        "train",
        "--data",
        str(dataset.path),
        "--out",
        str(out),
        "--trainer.devices",
        "2",
        "--trainer.accelerator",
        "cpu",
        "--windows.batch",
        "4",
        "--model.frameskip",
        "2",
        "--trainer.precision",
        "32-true",
        "--trainer.enable_progress_bar",
        "false",
        *arguments,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=240
    )


@pytest.mark.slow
def test_torchrun_trains_one_model_and_goes_on_with_it(dataset: Dataset, tmp_path: Path) -> None:
    """One folder, one checkpoint, one summary; the run after it is refused by its first process."""
    out = tmp_path / "run"
    done = torchrun(dataset, out, "--trainer.max_steps", "6", "--objective.anti_collapse", "dino")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("6 steps") == 1
    card = load_checkpoint(out / "checkpoint").card
    assert (card["steps"], card["finished"]) == (6, True)
    assert not list(out.glob(".*"))
    again = torchrun(dataset, out, "--trainer.max_steps", "6", "--objective.anti_collapse", "dino")
    assert again.returncode != 0
    assert "holds a finished run of 6 steps" in again.stderr
