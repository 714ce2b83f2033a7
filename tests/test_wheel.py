"""The wheel: it holds what a user needs, and works where the repository is not."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this working copy, built without touching it."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir"]
    done = subprocess.run([*build, folder, ROOT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("goalsight-*.whl")
    return path


def test_the_wheel_holds_every_file_that_the_program_reads(wheel: Path) -> None:
    """Scenes, configs, manifests and templates are no Python, which is how wheels lose them."""
    inside = set(zipfile.ZipFile(wheel).namelist())
    folders = {"src/goalsight": "goalsight", "envs/goalsight_envs": "goalsight_envs"}
    folders |= {"planners/goalsight_planners": "goalsight_planners"}
    folders |= {"configs": "goalsight/configs", "checkpoints": "goalsight/checkpoints"}
    wanted = {
        f"{target}/{path.relative_to(ROOT / source).as_posix()}"
        for source, target in folders.items()
        for path in (ROOT / source).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert sorted(wanted - inside) == []
    assert {
        "goalsight/py.typed",
        "goalsight_envs/py.typed",
        "goalsight_planners/py.typed",
    } <= inside
    for ending in (".xml", ".yaml", ".json", ".npz", ".html.j2"):
        assert any(name.endswith(ending) for name in inside), ending


def test_the_wheel_holds_nothing_else(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    packages = {top for top in tops if not top.endswith(".dist-info")}
    assert packages == {"goalsight", "goalsight_envs", "goalsight_planners"}


PROGRAM = """
import pathlib, sys
import goalsight, goalsight_envs, goalsight_planners, gymnasium
from goalsight.paths import config_dir, repository
home = pathlib.Path(sys.argv[1])
for module in (goalsight, goalsight_envs, goalsight_planners):
    assert home in pathlib.Path(module.__file__).parents, module.__file__
assert repository() is None and home in config_dir().parents
assert any(config_dir().rglob("*.yaml"))
env = gymnasium.make("Goalsight/Push-v0", size=32)
observation, _ = env.reset(seed=0)
assert observation["pixels"].any()
env.close()
"""


def test_an_env_is_made_from_the_wheel_outside_the_tree(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet"]
    subprocess.run([*install, "--target", home, wheel], check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, home],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
