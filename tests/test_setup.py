"""The one-command set-up: its targets, and what it does where nothing renders."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def ensure_gl() -> ModuleType:
    """The script, imported afresh; a test may replace what it asks of the machine."""
    path = ROOT / "scripts" / "ensure_gl.py"
    spec = importlib.util.spec_from_file_location("ensure_gl", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Machine:
    """A fake machine on which a picture comes out once one of these packages is installed."""

    def __init__(self, module: ModuleType, *, heals: str, apt: bool) -> None:
        self.installed: list[str] = []
        self.heals = heals
        module.try_to_render = self.try_to_render  # type: ignore[attr-defined]
        module.apt_get = lambda: ["apt-get"] if apt else None  # type: ignore[attr-defined]
        module.install = self.install  # type: ignore[attr-defined]

    def try_to_render(self) -> tuple[str, str]:
        return ("egl", "") if self.heals in self.installed else ("", "nothing renders")

    def install(self, command: list[str], packages: tuple[str, ...]) -> bool:
        self.installed += packages
        return True


def test_a_machine_that_renders_is_left_alone(ensure_gl: ModuleType) -> None:
    machine = Machine(ensure_gl, heals="", apt=True)
    machine.installed = [""]
    assert ensure_gl.main() == 0
    assert machine.installed == [""]


@pytest.mark.parametrize("heals", ["libegl1", "libosmesa6"])
def test_what_is_missing_is_installed_egl_first(ensure_gl: ModuleType, heals: str) -> None:
    machine = Machine(ensure_gl, heals=heals, apt=True)
    assert ensure_gl.main() == 0
    assert machine.installed[0] == "libegl1"
    assert ("libosmesa6" in machine.installed) == (heals == "libosmesa6")


def test_who_may_not_install_is_told_the_packages(
    ensure_gl: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = Machine(ensure_gl, heals="libegl1", apt=False)
    assert ensure_gl.main() == 2
    assert machine.installed == []
    line = capsys.readouterr().err
    assert line.startswith("goalsight: error: nothing renders; install with: ")
    assert line.count("\n") == 1


def test_make_alone_lists_every_target() -> None:
    listed = subprocess.run(["make", "-C", ROOT], capture_output=True, text=True, check=True).stdout
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert phony is not None
    assert set(re.findall(r"^  make ([\w-]+)", listed, re.MULTILINE)) == set(phony[1].split())
