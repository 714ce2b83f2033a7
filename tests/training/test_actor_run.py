"""Training an actor: pairs from hindsight, a model that stays as it is, a run that goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from pytorch_lightning import Callback

from goalsight.agent import Agent, AgentConfig
from goalsight.checkpoint import load_checkpoint, save_checkpoint
from goalsight.cli.main import main
from goalsight.cli.train import ActorCLI, wants_actor
from goalsight.data import Dataset
from goalsight.data import format as layout
from goalsight.errors import CheckpointError, DatasetError, UserError
from goalsight.models import WorldModel, WorldModelConfig
from goalsight.models.heads.actor import Actor
from goalsight.training.actor import (
    ActorConfig,
    ActorRunConfig,
    HindsightConfig,
    HindsightData,
    HindsightPairs,
    find_gripper,
    train_actor,
)
from goalsight.training.trainer import TrainSummary

K = 2
SMALL = ActorConfig(width=16, depth=1)
HINDSIGHT = HindsightConfig(batch=16, validation=0.25, furthest=12, stay=0.25)
PRESET = Path(__file__).parents[2] / "configs" / "train" / "actor.yaml"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with an untrained model, its card naming labels."""
    folder = tmp_path_factory.mktemp("base") / "run"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = WorldModel(WorldModelConfig(image_size=32, action_dim=2, frameskip=K))
    card = {"labels_used": ["cube_pos"], "statistics": {"latent": {"variance": 2.0}}, "steps": 5}
    save_checkpoint(folder / "checkpoint", model.eval(), card)
    return folder


def run(
    dataset: Dataset, base: Path, out: Path, *callbacks: Callback, steps: int = 6, **changes: Any
) -> TrainSummary:
    values: dict[str, Any] = {"actor": SMALL, "hindsight": HINDSIGHT, "save_every_s": 0.0}
    trainer = {
        "max_steps": steps,
        "accelerator": "cpu",
        "precision": "32-true",
        "logger": False,
        "enable_progress_bar": False,
        "val_check_interval": 4,
        "callbacks": list(callbacks),
    }
    config = ActorRunConfig(checkpoint=base, **{**values, **changes})
    return train_actor(dataset, out, config, trainer=trainer)


def data_of(dataset: Dataset, base: Path, **changes: Any) -> HindsightData:
    model = load_checkpoint(base / "checkpoint").model
    config = HindsightConfig(**{"batch": 16, "validation": 0.25, "furthest": 12, **changes})
    return HindsightData(dataset, config, model, seed=0)


def test_a_pair_is_of_one_episode_and_its_block_is_what_ran(dataset: Dataset, base: Path) -> None:
    """Every latent is the number of its row here, so that rows are found again."""
    data = data_of(dataset, base, stay=0.0)
    numbers = torch.arange(float(len(data.pairs.latents)))[:, None, None]
    config = HindsightConfig(stay=0.0, furthest=12)
    pairs = HindsightPairs(data.training, numbers, config, kept=[], seed=0)
    lengths = dataset.episodes[data.training_episodes]
    episode = np.repeat(np.arange(len(lengths)), lengths)
    actions = dataset.columns([layout.ACTION], data.training_episodes.tolist())[layout.ACTION]
    clip = pairs.__getitems__(list(range(len(pairs))))
    times = set()
    for i in range(len(pairs)):
        now, goal = clip.latents[i].flatten().int().tolist()
        assert episode[now] == episode[goal]
        assert goal - now == int(clip.time[i])
        np.testing.assert_array_equal(clip.actions[i, 0], actions[now : now + K])
        times.add(goal - now)
    assert times == set(range(K, 13))
    assert len(pairs) == int((lengths - K).sum())


def test_a_goal_that_is_reached_asks_for_nothing_but_the_gripper(
    dataset: Dataset, base: Path
) -> None:
    clip = data_of(dataset, base, stay=0.99).pairs.__getitems__(range(60))
    stays = (clip.latents[:, 0] == clip.latents[:, 1]).all(dim=(1, 2))
    assert int(stays.sum()) > 50
    assert not clip.actions[stays].any()
    assert len(set(clip.time[stays].tolist())) > 5  # however much time is left
    data = data_of(dataset, base, stay=0.99)
    config = HindsightConfig(stay=0.99)
    pairs = HindsightPairs(data.training, data.pairs.latents, config, kept=[1], seed=0)
    kept = pairs.__getitems__(range(60))
    stays = (kept.latents[:, 0] == kept.latents[:, 1]).all(dim=(1, 2))
    held = kept.actions[stays][:, 0]
    assert not held[..., 0].any()
    assert held[..., 1].any()
    assert torch.equal(held[:, 0, 1], held[:, 1, 1])


def test_goals_are_drawn_anew_for_other_batches_and_alike_for_the_same(
    dataset: Dataset, base: Path
) -> None:
    pairs = data_of(dataset, base).pairs
    one, again, other = (pairs.__getitems__(rows) for rows in ([3, 4], [3, 4], [3, 5]))
    assert torch.equal(one.time, again.time)
    draws = {float(pairs.__getitems__([3, i]).time[0]) for i in range(4, 30)}
    assert len(draws) > 3
    assert torch.equal(one.latents[0, 0], other.latents[0, 0])


def test_the_model_comes_out_as_it_went_in_with_an_actor_that_learnt(
    dataset: Dataset, base: Path, tmp_path: Path
) -> None:
    before = load_checkpoint(base / "checkpoint")
    made = load_checkpoint(run(dataset, base, tmp_path / "run").checkpoint)
    state = made.model.state_dict()
    for name, weight in before.model.state_dict().items():
        assert torch.equal(state[name], weight), name
    untrained = load_checkpoint(run(dataset, base, tmp_path / "short", steps=1).checkpoint)
    gaps = [
        float((weight - untrained.model.state_dict()[name]).abs().max())
        for name, weight in state.items()
        if name.startswith("heads.actor.out")
    ]
    assert min(gaps) > 0
    assert made.card["labels_used"] == ["cube_pos"]
    assert made.card["statistics"] == {"latent": {"variance": 2.0}}
    told = made.card["heads"]["actor"]
    assert told["trained_on"] == before.sha256
    assert told["dataset"]["fingerprint"] == dataset.fingerprint()
    assert (told["steps"], told["finished"]) == (6, True)
    assert told["metrics"]["validation/nll"] > -10
    assert load_checkpoint(base / "checkpoint").sha256 == before.sha256  # untouched


def test_its_checkpoint_is_planned_with(dataset: Dataset, base: Path, tmp_path: Path) -> None:
    run(dataset, base, tmp_path / "run")
    agent = Agent.load(tmp_path / "run", config=AgentConfig(mode="actor"))
    black = np.zeros((32, 32, 3), np.uint8)
    agent.reset(black + 99, 0)
    assert np.isfinite(agent.act(black, np.zeros(3, np.float32))).all()


def test_an_interrupted_run_ends_where_one_go_ends(
    dataset: Dataset, base: Path, tmp_path: Path
) -> None:
    class Killed(BaseException):
        pass

    class Kill(Callback):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            if trainer.global_step == 4:
                raise Killed

    whole = run(dataset, base, tmp_path / "whole")
    with pytest.raises(Killed):
        run(dataset, base, tmp_path / "run", Kill())
    resumed = run(dataset, base, tmp_path / "run")
    assert resumed.resumed_at == 3
    one, other = (load_checkpoint(made.checkpoint).model.state_dict() for made in (whole, resumed))
    for name, weight in one.items():
        assert torch.equal(weight, other[name]), name
    assert whole.metrics["validation/nll"] == resumed.metrics["validation/nll"]


def test_a_gripper_that_only_opens_and_closes_gets_its_own_distribution(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    episodes = list(range(len(dataset.episodes)))
    assert find_gripper(dataset, episodes, "auto")[0] is None  # no axis of that name
    assert find_gripper(dataset, episodes, "none")[0] is None
    name = dataset.provenance.action_names[1]
    assert find_gripper(dataset, episodes, name)[0] == 1
    with pytest.raises(UserError, match=r"no action axis 'claw'; there are: .*, or none"):
        find_gripper(dataset, episodes, "claw")
    monkeypatch.setitem(vars(dataset.provenance), "action_names", ["x", "gripper"])
    assert find_gripper(dataset, episodes, "auto")[0] is None  # it is half open as often as not
    recorded = dataset.columns([layout.ACTION], episodes)
    recorded[layout.ACTION][:, 1] = np.where(recorded[layout.ACTION][:, 1] > 0, 0.9, -1.0)
    monkeypatch.setattr(Dataset, "columns", lambda *_: recorded)
    axis, values = find_gripper(dataset, episodes, "auto")
    assert axis == 1
    assert values == pytest.approx((-1.0, 0.9))


def test_data_of_another_robot_and_a_missing_model_are_refused(
    dataset: Dataset, base: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint 'nowhere'"):
        run(dataset, Path("nowhere"), tmp_path / "run")
    wide = tmp_path / "wide"
    model = WorldModel(WorldModelConfig(image_size=32, action_dim=3, frameskip=K))
    save_checkpoint(wide, model.eval(), {})
    with pytest.raises(DatasetError, match=r"actions of 2 numbers, the model of .* takes 3"):
        run(dataset, wide, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_preset_as_it_ships(
    dataset: Dataset, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [
        "train",
        "--config",
        "actor",
        "--checkpoint",
        str(base),
        "--data",
        str(dataset.path),
        "--out",
        str(tmp_path / "r"),
        "--trainer.accelerator",
        "cpu",
        "--trainer.max-steps",
        "3",
        "--trainer.enable-progress-bar",
        "false",
        "--actor.width",
        "16",
        "--json",
    ]
    assert main(argv) == 0
    printed, errors = capsys.readouterr()
    assert (json.loads(printed)["steps"], errors) == (3, "")
    head = load_checkpoint(tmp_path / "r" / "checkpoint").model.heads["actor"]
    assert isinstance(head, Actor)
    assert (head.components, head.furthest) == (4, 110)
    assert main(argv) == 2
    assert "finished run of 3 steps" in capsys.readouterr().err
    settings = str(tmp_path / "r" / "settings.yaml")
    assert wants_actor(["--config", settings])
    cli = ActorCLI(["--config", settings, "--checkpoint", "c", "--data", "d", "--out", "o"])
    assert cli.settings == {**yaml.safe_load(Path(settings).read_text()), "checkpoint": "c"}


def test_the_baseline_is_trained_in_the_same_way_and_stands_beside_the_actor(
    dataset: Dataset, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(dataset, base, tmp_path / "actor")
    argv = [
        "train",
        "--config",
        "gcbc",
        "--checkpoint",
        str(tmp_path / "actor"),
        "--data",
        str(dataset.path),
        "--out",
        str(tmp_path / "r"),
        "--trainer.accelerator",
        "cpu",
        "--trainer.max-steps",
        "3",
        "--trainer.enable-progress-bar",
        "false",
        "--actor.width",
        "16",
        "--json",
    ]
    assert main(argv) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 3
    before, made = (load_checkpoint(tmp_path / name / "checkpoint") for name in ("actor", "r"))
    state = made.model.state_dict()
    for name, weight in before.model.state_dict().items():
        assert torch.equal(state[name], weight), name
    clone, actor = (made.model.heads[name] for name in ("gcbc", "actor"))
    assert isinstance(clone, Actor)
    assert isinstance(actor, Actor)
    assert (clone.components, clone.std, clone.clock, clone.furthest) == (1, 0.3, False, 110)
    assert (actor.components, actor.std, actor.clock) == (4, 0.0, True)
    assert set(made.card["heads"]) == {"actor", "gcbc"}
    assert made.card["heads"]["gcbc"]["trained_on"] == before.sha256


def test_which_command_line_is_meant() -> None:
    assert wants_actor(["--config", "actor"])
    assert wants_actor(["--config", "gcbc"])
    assert wants_actor([f"--config={PRESET}"])
    assert wants_actor(["--hindsight.stay", "0.2"])
    assert not wants_actor(["--config", "tiny", "--out", "actor"])
    assert not wants_actor(["--config", "nowhere.yaml"])


def test_help_shows_the_flags_of_an_actor(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--config", "actor", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--hindsight.furthest" in shown
    assert "goalsight bench --checkpoint runs/push-actor" in shown


def test_who_learns_from_scripts_that_know_the_way_says_so(
    dataset: Dataset, base: Path, tmp_path: Path
) -> None:
    records = [replace(record, policy="play") for record in dataset.records]
    records[1] = replace(records[1], policy="noisy-expert")
    shown = replace(dataset, records=tuple(records))
    taught = load_checkpoint(run(shown, base, tmp_path / "shown").checkpoint)
    assert taught.card["labels_used"] == ["cube_pos", "scripted demonstrations"]
    alone = load_checkpoint(run(dataset, base, tmp_path / "alone").checkpoint)
    assert alone.card["labels_used"] == ["cube_pos"]
