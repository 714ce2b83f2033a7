"""`goalsight.train`: the command line is parsing around it, and a model can be trained further."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

import goalsight
from goalsight.agent import Agent
from goalsight.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from goalsight.cli.main import main
from goalsight.data import Dataset
from goalsight.errors import CheckpointError, DatasetError, OutputError, UserError
from goalsight.models import WorldModel
from goalsight.models.heads.actor import Actor
from goalsight.training.module import OptimiserConfig
from goalsight.training.objective import ObjectiveConfig
from goalsight.training.settings import combine, limits, on_device, read_preset
from goalsight.training.trainer import TrainSummary

FAST: dict[str, Any] = {
    "windows.batch": 8,
    "windows.validation": 0.25,
    "device": "cpu",
    "progress": False,
    "trainer.logger": False,
    "trainer.precision": "32-true",
}
SMALL: dict[str, Any] = {"model.frameskip": 2}


def train(data: Any, out: Path, **given: Any) -> TrainSummary:
    model = {} if "init_from" in given else SMALL
    return goalsight.train(data, out, **{**FAST, **model, "max_steps": 3, **given})


@pytest.fixture(scope="module")
def first(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A model that sees proprio, with an actor in it."""
    out = tmp_path_factory.mktemp("front") / "first"
    done = train(dataset, out, proprio=True, **{"objective.behaviour": 0.1})
    return load_checkpoint(done.checkpoint)


@pytest.fixture(scope="module")
def home(first: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That model, taught and measured by somebody."""
    folder = tmp_path_factory.mktemp("front") / "somebody" / "checkpoint"
    statistics = {**first.card["statistics"], "action": {"mean": [0.5, 0.0], "std": [1.0, 2.0]}}
    said = {"labels_used": ["state.square"], "agent": {"near": {}}, "heads": {"actor": {"x": 1}}}
    save_checkpoint(folder, first.model, {**first.card, "statistics": statistics, **said})
    return folder


@torch.no_grad()
def predictions(model: WorldModel) -> list[Tensor]:
    """What a model makes of fixed pictures, actions and proprio, its heads included."""
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (2, 1, 3, 32, 32), generator=generator, dtype=torch.uint8)
    plans = torch.rand(2, 3, 2, 2, 2, generator=generator)
    proprio = torch.rand(2, 1, 3, generator=generator)
    z = model.encode(frames)
    found = [z, model.rollout(z, plans, proprio=proprio), model.recover_actions(z, z)]
    if isinstance(actor := model.heads["actor"], Actor):
        found.append(actor.act(z[:, 0], z[:, 0], torch.ones(2)))
    return found


def same(one: WorldModel, other: WorldModel) -> bool:
    pairs = zip(predictions(one), predictions(other), strict=True)
    return all(torch.equal(left, right) for left, right in pairs)


def test_a_path_as_text_is_enough_and_an_agent_takes_what_comes_back(
    dataset: Dataset, tmp_path: Path
) -> None:
    done = goalsight.train(str(dataset.path), str(tmp_path / "run"), max_steps=2, **FAST, **SMALL)
    assert (done.steps, done.out, done.interrupted) == (2, tmp_path / "run", False)
    config = Agent.load(done).model.config  # type: ignore[arg-type]
    assert (config.size, config.image_size, config.action_dim) == ("tiny", 32, 2)
    text = str(done)
    assert text.startswith(f"{done.checkpoint}: 2 steps, 0.0 min\ntrain loss ")
    assert "collapse effective rank" in text
    assert {"loss", "prediction", "rollout", "sigreg"} <= set(done.losses)
    assert done.rank is not None
    assert done.rank > 1


def test_no_step_of_a_model_to_train_further_leaves_its_predictions(
    dataset: Dataset, home: Path, first: Checkpoint, tmp_path: Path
) -> None:
    """Though the seed, which an untrained model would depend on, is another."""
    done = train(dataset, tmp_path / "run", init_from=home.parent, max_steps=0, seed=5)
    made = load_checkpoint(done.checkpoint)
    assert same(made.model, first.model)
    assert (done.steps, made.card["finished"]) == (0, True)


def test_training_further_keeps_what_inputs_mean_and_what_the_model_was_taught_with(
    home: Path, tmp_path: Path, collect_into: Callable[..., Dataset]
) -> None:
    other = collect_into(tmp_path / "other", seed=3)
    source = load_checkpoint(home)
    done = train(other, tmp_path / "run", init_from=str(home))
    made = load_checkpoint(done.checkpoint)
    assert not same(made.model, source.model)
    assert torch.equal(made.model.proprio_mean, source.model.proprio_mean)
    for name in ("action", "proprio"):
        assert made.card["statistics"][name] == source.card["statistics"][name]
    latent = made.card["statistics"]["latent"]["variance"]
    assert latent != source.card["statistics"]["latent"]["variance"]
    assert made.card["dataset"]["fingerprint"] == other.fingerprint()
    assert made.card["labels_used"] == ["state.square"]
    assert (made.card["agent"], made.card["heads"]) == ({"near": {}}, {"actor": {"x": 1}})
    origin = made.card["training"]["init_from"]
    assert (origin["name"], origin["sha256"]) == ("somebody", source.sha256)
    for name, weight in source.model.heads["actor"].state_dict().items():
        assert torch.equal(made.model.heads["actor"].state_dict()[name], weight), name


def test_heads_stay_behind_or_learn_on_if_they_are_told_to(
    dataset: Dataset, home: Path, tmp_path: Path
) -> None:
    done = train(dataset, tmp_path / "bare", init_from=home, new_heads=True)
    bare = load_checkpoint(done.checkpoint)
    assert dict(bare.model.heads) == {}
    assert "heads" not in bare.card
    done = train(dataset, tmp_path / "on", init_from=home, objective={"behaviour": 0.1})
    old, new = (load_checkpoint(x).model.heads["actor"] for x in (home, done.checkpoint))
    assert any(
        not torch.equal(x, y) for x, y in zip(old.parameters(), new.parameters(), strict=True)
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model.size": "small"}, "somebody/checkpoint has model.size 'tiny', not 'small'"),
        ({"encoder_from": "runs/x"}, "--init-from brings its encoder"),
        ({"model.action_dim": 7}, "has model.action_dim 2, not 7"),
    ],
)
def test_what_is_said_of_a_model_that_is_trained_further_must_be_true(
    dataset: Dataset, home: Path, tmp_path: Path, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        train(dataset, tmp_path / "run", init_from=home, **given)
    assert not (tmp_path / "run").exists()


def test_data_of_another_robot_than_the_models_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    """A shipped model, made before a model could be trained further, takes 4 numbers."""
    with pytest.raises(DatasetError, match=r"actions of 2 .*--init-from push-tiny takes 4 and no"):
        train(dataset, tmp_path / "run", init_from="push-tiny")


def test_a_checkpoint_that_is_not_there_is_named(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoint 'arm-huge'.*arm-tiny"):
        train(dataset, tmp_path / "run", init_from="arm-huge")


def weights(folder: Path) -> dict[str, Tensor]:
    return load_checkpoint(folder / "checkpoint").model.state_dict()


@pytest.mark.parametrize("half", [5, 8])
def test_a_finished_run_given_more_steps_is_the_run_that_had_them_from_the_start(
    dataset: Dataset, tmp_path: Path, half: int
) -> None:
    """Bit for bit with a constant rate; 5 ends inside an epoch of 8 batches, 8 at its end."""
    constant = {"optimiser": OptimiserConfig(schedule="constant", warmup_steps=3)}
    whole = train(dataset, tmp_path / "whole", max_steps=2 * half, **constant)
    train(dataset, tmp_path / "halves", max_steps=half, **constant)
    done = train(dataset, tmp_path / "halves", max_steps=2 * half, **constant)
    assert (done.resumed_at, done.steps) == (half, 2 * half)
    one, two = weights(whole.out), weights(done.out)
    assert [name for name in one if not torch.equal(one[name], two[name])] == []
    assert yaml.safe_load((done.out / "settings.yaml").read_text())["trainer"]["max_steps"] == (
        2 * half
    )


def test_a_finished_run_goes_on_only_for_more(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "run"
    train(dataset, out)
    for steps in (3, 2):
        with pytest.raises(OutputError, match=r"finished run of 3 steps .*go on with more"):
            train(dataset, out, max_steps=steps)
    with pytest.raises(OutputError, match=r"finished run with objective.sigreg 0.1"):
        train(dataset, out, max_steps=6, objective={"sigreg": 0.2})
    assert train(dataset, out, max_steps=4).resumed_at == 3


def test_the_command_goes_on_with_a_run_of_python_and_the_other_way(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    train(dataset, out)
    settings = ["--config", str(out / "settings.yaml"), "--trainer.logger", "false"]
    command = ["train", "--data", str(dataset.path), "--out", str(out), *settings, "--json"]
    assert main([*command, "--max-steps", "4"]) == 0
    assert json.loads(capsys.readouterr().out)["resumed_at"] == 3
    assert train(dataset, out, max_steps=5).resumed_at == 4


def test_a_run_and_settings_of_the_first_version_are_understood(
    dataset: Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    train(dataset, out, seed=7)
    settings = yaml.safe_load((out / "settings.yaml").read_text())
    for new in ("device", "init_from", "new_heads"):
        settings.pop(new)
    settings["seed_everything"] = settings.pop("seed")
    settings["trainer"]["accelerator"] = "auto"
    del settings["optimiser"]["schedule"], settings["objective"]["anti_collapse_options"]
    (out / "settings.yaml").write_text(yaml.safe_dump(settings))
    state = json.loads((out / "run.json").read_text())
    del state["budget"]
    (out / "run.json").write_text(json.dumps(state))
    old = {**FAST, "device": "auto"}
    done = goalsight.train(dataset, out, out / "settings.yaml", **old, max_steps=4)
    assert (done.resumed_at, done.steps) == (3, 4)
    assert load_checkpoint(done.checkpoint).card["seed"] == 7


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"objective": {"sigrek": 1}}, "no setting objective.sigrek; there are: anti_collapse"),
        ({"objektive": {}}, "no setting 'objektive'; there are: device, encoder_from"),
        ({"objective": 3}, "objective is a section of settings"),
        ({"preset": "huge"}, "no preset 'huge'.*base, gcbc, grid"),
        ({"preset": "actor"}, "trains a head.*train_head"),
        ({"max_minutes": 0}, "max_minutes must be above 0"),
        ({"device": "tpu"}, "device must be auto, cpu"),
        ({"model.size": "huge"}, "size must be one of tiny, small, base"),
        ({"objective.anti_collapse": "hope"}, "loss must be one of .*sigreg.*got 'hope'"),
    ],
)
def test_a_wrong_setting_is_one_line_and_nothing_is_written(
    dataset: Dataset, tmp_path: Path, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        train(dataset, tmp_path / "run", **given)
    assert not (tmp_path / "run").exists()


def test_settings_come_by_section_by_dotted_name_or_as_their_dataclass() -> None:
    defaults = {"seed": 0, "objective": {"sigreg": 0.1, "rollout": 1.0}}
    wanted = {"seed": 0, "objective": {"sigreg": 0.2, "rollout": 1.0}}
    assert combine(defaults, {"objective": {"sigreg": 0.2}}) == wanted
    assert combine(defaults, {"objective.sigreg": 0.2}) == wanted
    both = combine(defaults, {"objective": {"rollout": 0.0}, "objective.sigreg": 0.2})
    assert both["objective"] == {"sigreg": 0.2, "rollout": 0.0}
    whole = {"objective": vars(ObjectiveConfig())}
    assert combine(whole, {"objective": replace(ObjectiveConfig(), sigreg=0.2)})["objective"] == {
        **whole["objective"],
        "sigreg": 0.2,
    }
    assert combine(defaults, read_preset(None)) == defaults


def test_a_device_and_a_trainer_that_name_two_are_refused() -> None:
    assert on_device({"devices": 2}, "cuda") == {"devices": 2, "accelerator": "cuda"}
    with pytest.raises(UserError, match=r"device cpu and trainer.accelerator gpu differ"):
        on_device({"accelerator": "gpu"}, "cpu")


def test_minutes_become_what_lightning_reads() -> None:
    assert limits(max_minutes=0.5) == {"max_time": "00:00:00:30"}
    assert limits(max_minutes=60 * 25 + 1) == {"max_time": "01:01:01:00"}


def test_every_head_is_trained_through_one_door(
    dataset: Dataset, home: Path, tmp_path: Path
) -> None:
    actor = goalsight.train_head(
        home,
        dataset,
        tmp_path / "actor",
        device="cpu",
        max_steps=2,
        trainer=TRAINER,
        hindsight={"batch": 8},
    )
    assert isinstance(actor, TrainSummary)
    probe = goalsight.train_head(
        actor, str(dataset.path), tmp_path / "probe", "probe", kind="linear", blocks=1, windows=20
    )
    assert set(load_checkpoint(probe.checkpoint).config.heads) == {"actor", "probe"}
    assert "head probe, judged on" in str(probe)
    for head, options, message in (
        ("nose", {}, "no head 'nose' to train; there are: actor, gcbc, probe"),
        ("probe", {"width": 3}, "an option of head probe is unknown; there are: variables, kind"),
        ("actor", {"actor": {"wide": 3}}, "no setting actor.wide; there are"),
    ):
        with pytest.raises(UserError, match=message):
            goalsight.train_head(home, dataset, tmp_path / "no", head, **options)


TRAINER = {"logger": False, "enable_progress_bar": False}


def test_a_program_that_trains_as_it_is_imported_is_told_so_by_its_workers(
    dataset: Dataset, tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import goalsight\n"
        f"goalsight.train({str(dataset.path)!r}, {str(tmp_path / 'run')!r}, max_steps=2,\n"
        "    progress=False, device='cpu', windows={'workers': 1, 'batch': 4},\n"
        "    model={'frameskip': 2}, trainer={'logger': False})\n"
    )
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "must do so under if __name__ == '__main__'" in done.stderr.splitlines()[-1]
