"""`goalsight train` as it is typed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from goalsight.checkpoint import load_checkpoint
from goalsight.cli.main import main
from goalsight.cli.train import TrainCLI
from goalsight.data import Dataset
from goalsight.errors import DataWarning
from goalsight.models import SIZES

SHIPPED = sorted((Path(__file__).parents[2] / "configs" / "train").glob("*.yaml"))
CONFIGS = [path for path in SHIPPED if path.stem not in {"actor", "gcbc"}]
"""Of world models; the actors' are tested beside their own command."""
FAST = (
    "--trainer.accelerator",
    "cpu",
    "--trainer.max-steps",
    "4",
    "--windows.batch",
    "8",
    "--model.frameskip",
    "2",
    "--trainer.log-every-n-steps",
    "2",
)


@pytest.fixture
def train(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    def call(*argv: str, data: Path | None = None) -> tuple[int, str, str]:
        paths = ["--data", str(data or dataset.path), "--out", str(tmp_path / "run")]
        status = main(["train", *paths, *argv])
        return status, *capsys.readouterr()

    return call


def refused(result: tuple[int, str, str]) -> str:
    status, out, err = result
    assert (status, out) == (2, "")
    assert err.startswith("goalsight: error: ")
    assert err.count("\n") == 1
    return err


def test_a_run_leaves_checkpoint_state_and_logs(
    train: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    status, out, _ = train(*FAST, "--json")
    assert status == 0
    summary = json.loads(out)
    assert (summary["steps"], summary["interrupted"]) == (4, False)
    run = tmp_path / "run"
    assert load_checkpoint(Path(summary["checkpoint"])).config.action_dim == 2
    assert {entry.name for entry in run.iterdir()} == {
        "checkpoint",
        "csv",
        "last.ckpt",
        "run.json",
        "settings.yaml",
        "tensorboard",
    }
    assert "train/rollout" in (run / "csv" / "version_0" / "metrics.csv").read_text()
    assert list((run / "tensorboard").glob("events.out.tfevents.*"))
    assert "finished run of 4 steps" in refused(train(*FAST))


def test_a_finished_run_goes_on_with_more_steps(
    train: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    """It used to be told to delete the folder."""
    assert train(*FAST)[0] == 0
    line = refused(train(*FAST, "--trainer.max_steps", "3"))
    assert "go on with more --trainer.max_steps" in line
    line = refused(train(*FAST, "--trainer.max_steps", "7", "--objective.sigreg", "0.3"))
    assert "holds a finished run with objective.sigreg" in line
    status, out, err = train(*FAST, "--trainer.max_steps", "7", "--json")
    assert status == 0, err
    summary = json.loads(out)
    assert (summary["steps"], summary["resumed_at"]) == (7, 4)
    card = json.loads((tmp_path / "run/checkpoint/card.json").read_text())
    assert (card["steps"], card["finished"]) == (7, True)
    settings = yaml.safe_load((tmp_path / "run/settings.yaml").read_text())
    assert settings["trainer"]["max_steps"] == 7
    assert "finished run of 7 steps" in refused(train(*FAST, "--trainer.max_steps", "7"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is an accelerator here")
@pytest.mark.parametrize("accelerator", ["gpu", "cuda", "tpu"])
def test_an_accelerator_that_is_not_here_is_told_what_to_pass(
    accelerator: str, train: Callable[..., tuple[int, str, str]]
) -> None:
    line = refused(train(*FAST, "--trainer.accelerator", accelerator))
    assert f"this machine has no {accelerator} that PyTorch can use" in line
    assert "pass --trainer.accelerator cpu" in line


def test_actions_that_never_change_are_warned_of(
    dataset: Dataset, train: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model of them trained without a word, and could plan nothing."""
    still = {"mean": [0.5, 0.5], "std": [0.0, 0.0], "min": [0.5, 0.5], "max": [0.5, 0.5]}
    monkeypatch.setattr("goalsight.training.data.action_statistics", lambda *_: still)
    with pytest.warns(DataWarning, match="every action is the same in all rows"):
        assert train(*FAST)[0] == 0


def test_the_settings_of_a_run_are_a_config_for_another(
    train: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    assert train(*FAST, "--objective.sigreg", "0.3")[0] == 0
    settings = str(tmp_path / "run" / "settings.yaml")
    cli = TrainCLI(["--config", settings, "--data", "d", "--out", "o"])
    assert cli.config_init.objective.sigreg == 0.3
    assert cli.settings == yaml.safe_load(Path(settings).read_text())


def test_a_run_begun_before_windows_had_a_camera_goes_on(
    train: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    assert train(*FAST)[0] == 0
    run = tmp_path / "run"
    settings = yaml.safe_load((run / "settings.yaml").read_text())
    del settings["windows"]["camera"], settings["trainer"]["gradient_clip_val"]
    (run / "settings.yaml").write_text(yaml.safe_dump(settings))
    state = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(state | {"finished": False}))
    assert "windows.camera '', not 'wrist'" in refused(train(*FAST, "--windows.camera", "wrist"))
    assert train(*FAST)[0] == 0


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_config_parses(path: Path) -> None:
    cli = TrainCLI(["--config", str(path), "--data", "d", "--out", "o"])
    assert cli.config_init.model.size == (path.stem if path.stem in SIZES else "tiny")
    assert cli.config_init.trainer.max_steps > 0


def test_print_config_shows_everything_and_runs_nothing(
    train: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    status, out, _ = train("--model.size", "small", "--print_config")
    assert status == 0
    shown = yaml.safe_load(out)
    assert shown["model"]["size"] == "small"
    assert shown["trainer"]["gradient_clip_val"] == 1.0
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--model.sise", "tiny"], "unrecognized arguments: --model.sise"),
        (["--model.size", "huge"], "'tiny', 'small', 'base'.*huge"),
        (["--model.frameskip", "0"], "frameskip must be positive"),
        (["--objective.sigreg", "-1"], "sigreg must be at least 0"),
        (["--windows.frames", "1"], "frames must be at least 2, got 1"),
        (["--model.action-dim", "7"], "actions of 2 numbers, .*model.action_dim is 7"),
        (["--model.image-size", "40"], "multiple of 16, got 40"),
        (["--trainer.max-time", "soon"], "soon"),
        (["--trainer.accelerator", "abacus"], "abacus"),
        (["--trainer.precision", "3"], "precision.*3"),
    ],
)
def test_a_wrong_argument_is_one_line(
    train: Callable[..., tuple[int, str, str]], argv: Sequence[str], message: str, tmp_path: Path
) -> None:
    assert re.search(message, refused(train(*argv)))
    assert not (tmp_path / "run" / "checkpoint").exists()


def test_a_wrong_key_in_yaml_is_one_line(
    train: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text("objective: {sigrek: 1.0}\n")
    assert "sigrek" in refused(train("--config", str(file)))


def test_data_that_cannot_be_trained_on_is_one_line(
    train: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    collect_into: Callable[..., Dataset],
) -> None:
    assert "no dataset in" in refused(train(data=tmp_path / "nowhere"))
    damaged = collect_into(tmp_path / "damaged")
    file = sorted((damaged.path / "data").rglob("*.parquet"))[0]
    table = pq.read_table(file)
    column = pa.array([[float("nan"), 0.0]] * len(table), type=table.schema.field("action").type)
    at = table.schema.get_field_index("action")
    pq.write_table(table.set_column(at, table.schema.field("action"), column), file)
    assert "action" in refused(train(*FAST, data=damaged.path))
    short = collect_into(tmp_path / "short", steps=6)
    assert "no window of 4 frames" in refused(train(*FAST, data=short.path))
