"""`goalsight collect` and `goalsight data` as a user types them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from goalsight.cli.main import main

FAKE = "fake_env:Fake/Square-v0"
sys.path.insert(0, str(Path(__file__).parents[1] / "data"))  # where the fake environment lives


def collect(out: Path, *more: str) -> int:
    arguments = ["--env", FAKE, "--episodes", "2", "--out", str(out), "--workers", "1"]
    return main(["collect", *arguments, "--steps", "5", "--size", "20", *more])


def test_collecting_twice_keeps_what_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert collect(tmp_path / "d") == 0
    assert "2 episodes, 10 frames (2 new" in capsys.readouterr().out
    assert collect(tmp_path / "d", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["kept"], summary["episodes"], summary["steps"]) == (2, 2, 0)
    assert summary["interrupted"] is False


def test_info_and_validate_answer_people_and_machines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    collect(tmp_path / "d", "--video", "none")
    capsys.readouterr()
    assert main(["data", "info", str(tmp_path / "d")]) == 0
    assert "Fake/Square-v0" in capsys.readouterr().out
    assert main(["data", "info", str(tmp_path / "d"), "--json"]) == 0
    card = json.loads(capsys.readouterr().out)
    assert (card["episodes"], card["video"], card["action"]) == (2, "none", ["dx", "dy"])
    assert main(["data", "validate", str(tmp_path / "d")]) == 0
    assert "all sound" in capsys.readouterr().out
    assert main(["data", "validate", str(tmp_path / "d"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["valid"] is True


def test_validate_names_each_problem_and_exits_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    collect(tmp_path / "d")
    video = tmp_path / "d/videos/observation.images.front/chunk-000/file-001.mp4"
    video.write_bytes(video.read_bytes()[:-100])
    capsys.readouterr()
    assert main(["data", "validate", str(tmp_path / "d")]) == 2
    printed = capsys.readouterr()
    assert "file-001.mp4 is not the file that was written" in printed.out
    assert printed.err.startswith("goalsight: error: ")
    assert printed.err.count("\n") == 1
    assert main(["data", "validate", str(tmp_path / "d"), "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert [problem["episode"] for problem in found["problems"]] == [1]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--env", "fake_env:Fake/Sqare-v0"], "there are: Fake/Fragile-v0"),
        (["--episodes", "0"], "episodes must be at least 1, got 0"),
        (["--workers", "0"], "workers must be at least 1, got 0"),
        (["--size", "5"], "size must be in [16, 1024] pixels, got 5"),
        (["--out", __file__], "is a file; give --out a folder"),
    ],
)
def test_what_a_user_can_mend_is_one_line_and_exit_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    assert collect(tmp_path / "d", *more) == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors[-1].startswith("goalsight: error: ")
    assert said in errors[-1]
    assert not (tmp_path / "d").exists()


def test_no_dataset_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("info", "validate"):
        assert main(["data", command, str(tmp_path)]) == 2
        assert "no dataset in" in capsys.readouterr().err


def test_a_mix_of_ones_own_is_collected_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("shares: {here: 0.5, there: 0.5}\n")
    assert collect(tmp_path / "d", "--mix", str(mine), "--episodes", "4") == 0
    capsys.readouterr()
    assert main(["data", "info", str(tmp_path / "d"), "--json"]) == 0
    card = json.loads(capsys.readouterr().out)
    assert card["policy"] == "mix mine"
    assert sorted(card["policies"]) == ["here 2", "there 2"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--mix", "covver"], "no mix 'covver', did you mean 'cover'? there are: branches,"),
        (["--mix", "cover", "--policy", "random"], "give a policy or a mix, not both"),
    ],
)
def test_a_mix_that_cannot_be_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    assert collect(tmp_path / "d", *more) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "d").exists()
