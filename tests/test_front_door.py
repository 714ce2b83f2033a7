"""`import goalsight as gs`: what it lists, and `gs.collect` to a batch that a model trains on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, default_collate

import goalsight as gs
from goalsight.clip import Clip
from goalsight.data.collect import CollectSummary
from goalsight.errors import OutputError, UserError

FAKE = "fake_env:Fake/Square-v0"
sys.path.insert(0, str(Path(__file__).parent / "data"))  # where the fake environment lives


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> gs.Dataset:
    """Three short episodes, by the front door."""
    out = tmp_path_factory.mktemp("front") / "dd"
    return gs.collect(FAKE, episodes=3, out=str(out), steps=9, size=20, workers=1, progress=False)


def test_every_listed_name_is_there() -> None:
    listed = set(gs.__all__) - {"__version__"}
    assert listed == set(gs._HOME)
    for name in listed:
        assert getattr(gs, name).__name__ == name
    with pytest.raises(AttributeError, match=r"goalsight has no 'colect'; it has: .*collect"):
        gs.__getattr__("colect")


def test_collect_gives_the_opened_dataset_which_says_what_it_is(data: gs.Dataset) -> None:
    assert (len(data.records), data.total_frames, data.size) == (3, 27, 20)
    assert str(data) == f"{data.path}: 3 episodes, 27 frames of 20 px, {FAKE}"
    assert repr(data) == f"Dataset({data})"


def test_collect_again_appends_and_tells_what_it_did(tmp_path: Path) -> None:
    told: list[CollectSummary] = []
    for episodes in (1, 2):
        gs.collect(
            FAKE,
            episodes=episodes,
            out=tmp_path / "d",
            steps=5,
            size=20,
            workers=1,
            progress=False,
            done=told.append,
        )
    assert [(done.kept, done.episodes) for done in told] == [(0, 1), (1, 2)]


def test_a_relative_folder_as_a_string_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = gs.collect(FAKE, episodes=1, out="dd", steps=5, size=20, workers=1)
    assert made.path == Path("dd")
    assert gs.open_dataset("dd").fingerprint() == made.fingerprint()


def test_a_mix_is_a_name_a_file_or_an_object(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("shares: {here: 0.5, there: 0.5}\n")
    made = gs.collect(
        FAKE, episodes=2, out=tmp_path / "d", mix=mine, steps=5, size=20, workers=1, progress=False
    )
    assert sorted(str(record.policy) for record in made.records) == ["here", "there"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"out": ""}, "out is empty; give the folder"),
        ({"env": ""}, "env is empty; give the id"),
        ({"episodes": 0}, "episodes must be at least 1"),
        ({"policy": "agent"}, "needs --checkpoint"),
        ({"checkpoint": "arm-tiny"}, "add --policy agent"),
        ({"mix": "nope"}, "no mix 'nope'"),
        ({"factors": "nope"}, "no factors 'nope'; give a YAML file or one of"),
    ],
)
def test_what_cannot_be_collected_is_said(
    tmp_path: Path, changed: dict[str, object], said: str
) -> None:
    given: dict[str, object] = {"env": FAKE, "episodes": 1, "out": tmp_path / "d", "workers": 1}
    with pytest.raises((UserError, OutputError), match=said):
        gs.collect(**{**given, **changed})  # type: ignore[arg-type]
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("workers", [0, 2])
def test_pytorchs_own_loader_makes_the_batches_that_training_does(
    data: gs.Dataset, workers: int
) -> None:
    windows = data.windows(frames=3, frameskip=2)
    loader = DataLoader(windows, batch_size=4, num_workers=workers)
    batches = list(loader)
    assert all(isinstance(batch, Clip) for batch in batches)
    for number, batch in enumerate(batches):
        rows = range(4 * number, min(4 * number + 4, len(windows)))
        expected = windows.__getitems__(list(rows))
        for field in ("frames", "actions", "proprio"):
            assert torch.equal(getattr(batch, field), getattr(expected, field))
    one = DataLoader(data.windows(frames=3, frameskip=2, episodes=[1]), batch_size=None)
    assert next(iter(one)).batch_shape == ()


def test_the_default_collate_function_stacks_clips_of_ones_own(data: gs.Dataset) -> None:
    windows = data.windows(frames=2, frameskip=1)
    stacked = default_collate([windows[0], windows[5]])
    whole = windows.__getitems__([0, 5])
    assert torch.equal(stacked.frames, whole.frames)
    assert torch.equal(whole[1].actions, windows[5].actions)
    with pytest.raises(IndexError, match="no batch axis"):
        windows[0][0]


READ_FIRST = """
import sys
import goalsight as gs
from goalsight.data.frames import decode_episode
decode_episode(gs.open_dataset(sys.argv[1]), 0, "decord")
made = gs.collect(sys.argv[2], episodes=3, out=sys.argv[3], steps=9, size=20, workers=1)
print(made.fingerprint())
"""


def run_script(text: str, folder: Path, *arguments: str) -> str:
    """What a program of somebody's prints, in a process of its own."""
    script = folder / "mine.py"
    script.write_text(text)
    home = str(Path(__file__).parent / "data")
    done = subprocess.run(
        [sys.executable, str(script), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": ":".join([home, *sys.path])},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_process_that_read_videos_before_writes_the_same_bytes(
    data: gs.Dataset, tmp_path: Path
) -> None:
    """Decord's FFmpeg, loaded first, took the place of PyAV's and signed the files otherwise."""
    said = run_script(READ_FIRST, tmp_path, str(data.path), FAKE, str(tmp_path / "d"))
    assert said.strip() == data.fingerprint()


SCRIPT = """
import json, sys
import goalsight as gs
if __name__ == "__main__":
    made = gs.collect(sys.argv[1], episodes=3, out=sys.argv[2], steps=9, size=20, workers=2)
    print(json.dumps({"fingerprint": made.fingerprint(), "torch": "torch" in sys.modules}))
"""


def test_two_workers_of_a_script_make_the_same_dataset_and_load_no_pytorch(
    data: gs.Dataset, tmp_path: Path
) -> None:
    said = json.loads(run_script(SCRIPT, tmp_path, FAKE, str(tmp_path / "d")))
    assert said == {"fingerprint": data.fingerprint(), "torch": False}
    assert np.array_equal(gs.open_dataset(tmp_path / "d").episodes, data.episodes)
