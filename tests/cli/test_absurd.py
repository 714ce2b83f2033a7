"""What nobody means: one short line that names the argument, status 2, nothing written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from goalsight.cli.errors import with_suggestion
from goalsight.cli.main import main

LONG = "a" * 5000
PUSH = "Goalsight/Push-v0"
COLLECT = ["collect", "--env", PUSH, "--episodes", "1", "--out", "OUT"]
PLAN = ["plan", "--checkpoint", "push-tiny", "--env", PUSH, "--out", "OUT"]
BENCH = ["bench", "--checkpoint", "push-tiny", "--manifest", "push-near", "--out", "OUT"]
OFFLINE = ["eval-offline", "--checkpoint", "push-tiny", "--data", "DATA"]
TRAIN = ["train", "--data", "DATA", "--out", "OUT"]
PROBE = ["inspect", "probe", "--checkpoint", "push-tiny", "--data", "DATA", "--out", "OUT"]
Refused = Callable[[list[str]], str]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Refused:
    """Runs a command that must be refused; gives its one line."""

    def run(argv: list[str]) -> str:
        places = {"OUT": str(tmp_path / "out"), "DATA": str(tmp_path / "data")}
        assert main([places.get(word, word) for word in argv]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("goalsight: error: ")
        assert err.count("\n") == 1
        assert len(err) < 1200
        assert list(tmp_path.iterdir()) == []
        return err

    return run


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([*COLLECT, "--out", ""], "--out is empty"),
        ([*COLLECT, "--out="], "--out is empty"),
        ([*COLLECT, "--env", ""], "--env is empty"),
        ([*COLLECT, "--mix", "  "], "--mix is empty"),
        ([*COLLECT, "--out", LONG], "--out has 5000 characters"),
        ([*COLLECT, f"--policy={LONG}"], "--policy has 5000 characters"),
        ([*COLLECT, "--out", "a" * 3000], "File name too long: "),
        ([*COLLECT, f"--{LONG}"], "unrecognized arguments: --aaa"),
        ([*COLLECT, "--seed", "-1"], "--seed must be at least 0, got -1"),
        ([*COLLECT, "--seed", "9" * 30], "--seed must be at most 4294967295, got 9999"),
        ([*COLLECT, "--seed", "many"], "--seed: Expected a"),
        ([*COLLECT, "--size", "0"], "--size must be at least 1, got 0"),
        ([*COLLECT, "--size", "100000"], "--size must be at most 4096, got 100000"),
        ([*COLLECT, "--size", "2000"], "size must be in [16, 1024] pixels, got 2000"),
        ([*COLLECT, "--steps", "-5"], "--steps must be at least 1, got -5"),
        ([*COLLECT, "--workers", "100000"], "--workers must be at most 1024, got 100000"),
        ([*PLAN, "--checkpoint", ""], "--checkpoint is empty"),
        ([*PLAN, "--device", ""], "--device is empty"),
        ([*PLAN, "--device", "0"], "give auto, cpu, cuda, cuda:0 or mps"),
        ([*PLAN, "--device", "gpu"], "device 'gpu' cannot be used here"),
        ([*BENCH, "--pairs", "-3"], "--pairs must be at least 1, got -3"),
        ([*OFFLINE, "--blocks", "0"], "--blocks must be at least 1, got 0"),
        ([*OFFLINE, "--blocks", "1000000"], "--blocks must be at most 1000, got 1000000"),
        ([*PROBE, "--windows", "-1"], "--windows must be at least 1, got -1"),
        ([*TRAIN, "--data", ""], "--data is empty"),
        ([*TRAIN, "--threads", "-1"], "--threads must be at least 1, got -1"),
        ([*TRAIN, "--threads", "1000000"], "--threads must be at most 1024"),
        ([*TRAIN, "--cache-gb", ".inf"], "--cache-gb must be a finite number"),
        ([*TRAIN, "--out", LONG], "--out has 5000 characters"),
        (["data", "info", ""], "an argument is empty"),
        (["data", "info", LONG], "an argument has 5000 characters"),
        (["data", "merge", "--data", "", "--out", "OUT"], "--data is empty"),
        ([LONG], "no command 'aaaa"),
        (["", "info"], "no command ''"),
        (["data", LONG], "no command 'data"),
    ],
)
def test_an_absurd_value_is_one_short_line(refused: Refused, argv: list[str], said: str) -> None:
    assert said in refused(argv)


@pytest.mark.parametrize(
    ("argv", "meant"),
    [
        (["colect"], "'collect'"),
        (["data", "infos", "x"], "'data info'"),
        (["merge", "--data", "x"], "`goalsight data merge`"),
        ([*COLLECT, "--polcy", "play"], "'--policy'"),
        ([*TRAIN, "--objectiv.sigreg", "1"], "'--objective.sigreg'"),
        ([*TRAIN, "--trainer.max-stepz", "1"], "'--trainer.max-steps'"),
        ([*COLLECT, "--mix", "covver"], "'cover'"),
        ([*TRAIN, "--config", "tyni"], "'tiny'"),
        (["pretrain", "--config=smal", "--data", "DATA", "--out", "OUT"], "'small'"),
        ([*COLLECT, "--video", "h265"], "'h264'"),
        ([*COLLECT, "--env", "Goalsight/Psh-v0"], "'Goalsight/Push-v0'"),
        ([*PLAN, "--checkpoint", "push-tny"], "'push-tiny'"),
        ([*BENCH, "--manifest", "push-naer"], "'push-near'"),
        ([*BENCH, "--rows", "randm"], "'random'"),
        (["bench", "--suite", "croe", "--out", "OUT"], "'core'"),
        (["list", "seting"], "'settings'"),
    ],
)
def test_a_name_spelled_wrong_is_answered_with_the_one_that_was_meant(
    refused: Refused, argv: list[str], meant: str
) -> None:
    assert f"did you mean {meant}" in refused(argv)


def test_a_setting_spelled_wrong_is_answered_with_the_one_that_was_meant(refused: Refused) -> None:
    line = refused([*PLAN, "--settings", "iteratons=3"])
    assert "iterations" in line.partition("did you mean")[2].partition("?")[0]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "no mix 'covver'; there are: branches, cover",
            "no mix 'covver', did you mean 'cover'? there are: branches, cover",
        ),
        ("no mix 'x'; there are: branches, cover", "no mix 'x'; there are: branches, cover"),
        ("d has no camera 'wrst'; it has: front, wrist", "camera 'wrst', did you mean 'wrist'? it"),
        ("the disk is full: free some", "the disk is full: free some"),
    ],
)
def test_whatever_lists_names_suggests_one(line: str, said: str) -> None:
    assert said in with_suggestion(line)
