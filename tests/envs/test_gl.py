"""The GL backend: chosen once, inherited by workers, and a plain message where nothing renders."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial

import pytest

from goalsight_envs import gl

CHOICE = ("MUJOCO_GL", "GOALSIGHT_GL", "GOALSIGHT_GL_REFUSED", "PYOPENGL_PLATFORM")


@pytest.fixture(autouse=True)
def fresh_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo what importing the package chose, and leave the tests' own MuJoCo alone."""
    for name in CHOICE:
        monkeypatch.setenv(name, "x")  # so that what the test sets is taken back
        monkeypatch.delenv(name)
    monkeypatch.setattr(gl, "_renew_context_of_imported_mujoco", lambda: None)
    monkeypatch.setattr("platform.system", lambda: "Linux")


def probes(**complaints: str | None) -> dict[str, Callable[[], str | None]]:
    """Fakes that give these answers; every other backend is broken."""
    return {name: partial(complaints.get, name, "broken") for name in gl._PROBES}


@pytest.mark.parametrize("backend", ["egl", "osmesa", "glfw"])
def test_the_first_backend_that_starts_is_taken(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gl, "_PROBES", probes(**{backend: None}))
    assert gl.select_backend() == backend
    assert os.environ["MUJOCO_GL"] == backend


def test_a_choice_once_made_is_not_probed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spawned workers inherit the environment and start without a probe."""
    monkeypatch.setattr(gl, "_PROBES", probes(osmesa=None))
    gl.select_backend()
    monkeypatch.setattr(gl, "_PROBES", {})
    assert gl.select_backend() == "osmesa"


def test_the_users_choice_wins_even_where_a_better_one_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gl, "_PROBES", probes(egl=None, osmesa=None))
    monkeypatch.setenv("MUJOCO_GL", "OSMesa ")
    assert gl.select_backend() == "osmesa"


def test_where_nothing_renders_the_message_names_the_packages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gl, "_PROBES", probes())
    with pytest.raises(gl.GLError, match=r"apt-get install libegl1 .* dnf install mesa-libEGL"):
        gl.select_backend()
    assert "MUJOCO_GL" not in os.environ


def test_on_a_mac_the_message_speaks_of_brew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    monkeypatch.setattr(gl, "_PROBES", probes())
    with pytest.raises(gl.GLError, match="brew install"):
        gl.select_backend()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("cgl", r"no OpenGL backend of this system; it has: egl, osmesa, glfw"),
        ("off", r"turns rendering off.*unset MUJOCO_GL"),
        ("osmesa", r"MUJOCO_GL=osmesa does not render here \(osmesa: broken\); unset MUJOCO_GL"),
    ],
)
def test_a_choice_that_cannot_work_is_refused_by_name(
    value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gl, "_PROBES", probes(egl=None))
    monkeypatch.setenv("MUJOCO_GL", value)
    with pytest.raises(gl.GLError, match=message):
        gl.select_backend()


@pytest.mark.parametrize("first", ["", "import mujoco\n"])
def test_a_picture_comes_out_whichever_is_imported_first(first: str) -> None:
    """MuJoCo reads the choice once, at import; sorted imports often put it before ours."""
    program = f"""{first}
import gymnasium, goalsight_envs
env = gymnasium.make("Goalsight/Reach-v0", size=32)
env.reset(seed=0)
assert env.render().any()
env.close()
"""
    environment = {key: value for key, value in os.environ.items() if key not in CHOICE}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_where_nothing_renders_importing_works_and_making_an_environment_says_why() -> None:
    """The import used to raise: a worker's GLError could then not be unpickled by its parent."""
    program = """
import pickle, gymnasium, goalsight_envs
try:
    gymnasium.make("Goalsight/Reach-v0")
except goalsight_envs.GLError as error:
    assert "turns rendering off" in str(pickle.loads(pickle.dumps(error)))
    print("refused")
"""
    environment = {**os.environ, "MUJOCO_GL": "off"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("refused\n", 0), done.stderr


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("vulkan", "MUJOCO_GL=vulkan is no OpenGL backend of this system"),
        ("osmesa", "MUJOCO_GL=osmesa does not render here"),
    ],
)
def test_a_setting_that_mujoco_cannot_be_imported_with_is_our_line(value: str, said: str) -> None:
    """MuJoCo raises at import, before any environment of ours could say what is wrong."""
    program = """
import gymnasium, goalsight_envs
try:
    gymnasium.make("Goalsight/Reach-v0", size=32)
    print("it renders")
except goalsight_envs.GLError as error:
    print(error)
"""
    environment = {key: text for key, text in os.environ.items() if key not in CHOICE}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**environment, "MUJOCO_GL": value},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(said) or (value == "osmesa" and "it renders" in done.stdout)


def test_a_fork_of_a_process_that_has_drawn_says_so_instead_of_hanging() -> None:
    program = """
import multiprocessing, gymnasium, goalsight_envs
def draw(answers):
    try:
        gymnasium.make("Goalsight/Reach-v0", size=32).reset(seed=0)
        answers.put("drawn")
    except goalsight_envs.GLError as error:
        answers.put(str(error))
if __name__ == "__main__":
    gymnasium.make("Goalsight/Reach-v0", size=32).reset(seed=0)
    fork = multiprocessing.get_context("fork")
    answers = fork.Queue()
    worker = fork.Process(target=draw, args=(answers,), daemon=True)
    worker.start()
    print(answers.get(timeout=60))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout.startswith("this process was forked from one that had drawn"), done.stderr
    assert "use spawn" in done.stdout


def test_some_backend_really_starts_on_this_machine() -> None:
    assert gl.select_backend() in {"egl", "osmesa", "glfw"}
