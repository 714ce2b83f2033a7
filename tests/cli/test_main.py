"""The command line as a person meets it: one clear line and status 2, never a traceback."""

from __future__ import annotations

import errno
import re
import subprocess
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from goalsight.cli.commands import COMMANDS, GONE, Command
from goalsight.cli.main import main
from goalsight.errors import DatasetError

Run = Callable[..., tuple[int, str, str]]


@dataclass(frozen=True, kw_only=True)
class Search:
    """A config that refuses nonsense."""

    init_std: float = 0.5
    """Spread."""

    def __post_init__(self) -> None:
        if self.init_std <= 0:
            raise ValueError(f"init_std must be above 0, got {self.init_std}")


CALLS: list[dict[str, object]] = []
RAISES: list[BaseException] = []


def toy(
    folder: Path,
    *,
    env: str,
    count: int = 3,
    policy: Literal["play", "random"] = "play",
    search: Search = Search(),
    some_number: int = 0,
    json: bool = False,
) -> int:
    """Do something small.

    Args:
        folder: where.
        env: id of the task.
        count: how often.
        policy: who acts.
        search: how hard.
        some_number: a name of two words.
        json: print JSON.

    Example:
        goalsight toy runs/x --env Goalsight/Push-v0
    """
    CALLS.append(
        {"folder": folder, "env": env, "count": count, "policy": policy, "json": json}
        | {"std": search.init_std, "number": some_number}
    )
    for error in RAISES:
        raise error
    return 0


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command line in this process; gives status, stdout and stderr."""
    home = types.ModuleType("toy_command")
    home.toy = toy  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "toy_command", home)
    command = Command(name="toy", module="toy_command", function="toy", summary="a toy")
    monkeypatch.setitem(COMMANDS, "toy", command)
    CALLS.clear()
    RAISES.clear()

    def call(*argv: str) -> tuple[int, str, str]:
        status = main(list(argv))
        return status, *capsys.readouterr()

    return call


def refused(result: tuple[int, str, str]) -> str:
    """The one line of a refusal."""
    status, out, err = result
    assert status == 2
    assert out == ""
    assert err.startswith("goalsight: error: ")
    assert err.count("\n") == 1
    return err


def test_the_bare_program_lists_every_command(run: Run) -> None:
    for argv in ([], ["--help"]):
        status, out, _ = run(*argv)
        assert status == 0
        for command in COMMANDS.values():
            assert command.name in out
            assert command.summary in out


def test_flags_reach_the_function_with_their_types(run: Run) -> None:
    status, _, _ = run("toy", "a/b", "--env", "X", "--search.init-std=2", "--some-number", "7")
    assert status == 0
    assert [
        {"folder": Path("a/b"), "env": "X", "count": 3, "policy": "play", "json": False}
        | {"std": 2.0, "number": 7}
    ] == CALLS


def test_a_yaml_file_and_flags_after_it_fill_the_same_fields(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "toy.yaml"
    file.write_text("env: FromFile\ncount: 5\nsearch: {init_std: 0.25}\n")
    status, _, _ = run("toy", "a", "--config", str(file), "--count", "6", "--json")
    assert status == 0
    assert (CALLS[0]["env"], CALLS[0]["count"], CALLS[0]["std"]) == ("FromFile", 6, 0.25)
    assert CALLS[0]["json"] is True


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["a", "--env", "X", "--bogus", "1"], "unrecognized arguments: --bogus 1"),
        (["a", "--env", "X", "--count", "many"], "--count: .*Got value: many"),
        (["a", "--env", "X", "--policy", "expart"], r"--policy: .*'play', 'random'.*expart"),
        (["a"], "required: env"),
        (["--env", "X"], "required: folder"),
        (["a", "--env", "X", "--search.init-std", "-1"], "init_std must be above 0, got -1"),
        (["a", "--env", "X", "--config", "/nowhere.yaml"], "/nowhere.yaml"),
    ],
)
def test_a_wrong_flag_is_one_line_which_names_it(run: Run, argv: list[str], message: str) -> None:
    line = refused(run("toy", *argv))
    assert re.search(message, line)
    assert "goalsight toy --help" in line
    assert CALLS == []


def test_a_config_that_refuses_its_yaml_is_one_line(run: Run, tmp_path: Path) -> None:
    """A ValueError from __post_init__ while parsing used to come out as a traceback."""
    file = tmp_path / "bad.yaml"
    file.write_text("env: X\nsearch: {init_std: -2}\n")
    assert "init_std must be above 0" in refused(run("toy", "a", "--config", str(file)))
    file.write_text("env: [X\n")
    assert "parsing" in refused(run("toy", "a", "--config", str(file)))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (DatasetError("no dataset in data/:\nrun `goalsight collect`"), "no dataset in data/: run"),
        (OSError(errno.ENOSPC, "No space left on device", "x.mp4"), "the disk is full: free"),
        (PermissionError(errno.EACCES, "Permission denied", "/root/x"), "denied: /root/x"),
    ],
)
def test_what_a_user_can_mend_is_one_line(run: Run, error: Exception, message: str) -> None:
    RAISES.append(error)
    assert message in refused(run("toy", "a", "--env", "X"))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"),
        OSError("1000000 requested and 65520 written"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
    ],
    ids=["torch", "numpy", "safetensors"],
)
def test_a_full_disk_is_recognised_behind_each_librarys_words(run: Run, error: Exception) -> None:
    """The messages were taken from these libraries on a file system that was full."""
    outer = RuntimeError("cannot write")
    outer.__cause__ = error
    RAISES.append(outer)
    assert "the disk is full" in refused(run("toy", "a", "--env", "X"))


def test_a_bug_of_ours_keeps_its_traceback(run: Run) -> None:
    RAISES.append(ZeroDivisionError("ours"))
    with pytest.raises(ZeroDivisionError, match="ours"):
        run("toy", "a", "--env", "X")


def test_ctrl_c_says_so_and_exits_with_130(run: Run) -> None:
    RAISES.append(KeyboardInterrupt())
    status, out, err = run("toy", "a", "--env", "X")
    assert (status, out) == (130, "")
    assert err == "goalsight: stopped; what was finished is kept\n"


@pytest.mark.parametrize(
    "name", ["Goalsight/Nope-v0", "Nope-v0", "Goalsight/Push-v9", "no such", "nope:X-v0"]
)
def test_an_unknown_task_is_refused_with_those_that_exist(run: Run, name: str) -> None:
    import gymnasium

    with pytest.raises((gymnasium.error.Error, ImportError)) as caught:
        gymnasium.make(name)
    RAISES.append(caught.value)
    line = refused(run("toy", "a", "--env", name))
    assert "Goalsight/Push-v0, Goalsight/Reach-v0" in line


def test_a_machine_that_cannot_render_is_told_what_to_install(run: Run) -> None:
    from goalsight_envs.gl import GLError

    RAISES.append(GLError("no OpenGL backend renders here; install with: apt-get install libegl1"))
    assert "apt-get install libegl1" in refused(run("toy", "a", "--env", "X"))


def test_an_unknown_command_is_refused_with_those_that_exist(run: Run) -> None:
    line = refused(run("colect"))
    assert "'colect'" in line
    for name in ("demo", "doctor", "collect", "train", "plan", "bench"):
        assert name in line
    assert "data info, data validate" in refused(run("data", "infos"))


@pytest.mark.parametrize("name", sorted(GONE))
def test_a_command_that_is_gone_says_what_became_of_it(run: Run, name: str) -> None:
    for rest in ([], ["--help"], ["--size", "64"]):
        assert GONE[name] in refused(run(*name.split(), *rest))


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_help_of_each_command_shows_an_example(run: Run, name: str) -> None:
    status, out, _ = run(*name.split(), "--help")
    assert status == 0
    assert "example:" in out.lower()
    assert f"goalsight {name}" in out.lower().partition("example:")[2]


def test_the_installed_program_answers_at_once_and_quietly(tmp_path: Path) -> None:
    """As a user starts it: a process, its status, its streams."""
    program = [sys.executable, "-m", "goalsight.cli.main"]
    done = subprocess.run(
        [*program, "nonsense"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("goalsight: error: no command 'nonsense'")
    assert "Traceback" not in done.stderr


def gather(
    *, data: list[Path] | None = None, rows: str = "", settings: str = "", json: bool = False
) -> int:
    """Take lists.

    Args:
        data: folders.
        rows: names.
        settings: pairs.
        json: print JSON.

    Example:
        goalsight gather --rows a,b
    """
    CALLS.append({"data": data, "rows": rows, "settings": settings, "json": json})
    return 0


def test_lists_are_typed_with_commas_or_with_the_flag_again(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sys.modules["toy_command"].gather = gather  # type: ignore[attr-defined]
    command = Command(name="gather", module="toy_command", function="gather", summary="lists")
    monkeypatch.setitem(COMMANDS, "gather", command)
    comma = tmp_path / "a,b"
    comma.mkdir()
    again = ["--data", "x", "--data=y", "--rows", "a", "--rows=b"]
    again += ["--settings", "p=1", "--settings", "q=2"]
    for argv in (["--data", "x,y", "--rows", "a,b", "--settings", "p=1,q=2"], again):
        assert run("gather", *argv, "--json")[0] == 0
        expected = {"data": [Path("x"), Path("y")], "rows": "a,b", "settings": "p=1,q=2"}
        assert CALLS.pop() == {**expected, "json": True}
    assert run("gather", "--data", str(comma))[0] == 0
    assert CALLS.pop()["data"] == [comma]
    assert "expected one argument" in refused(run("gather", "--rows", "--json"))
