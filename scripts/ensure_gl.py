"""Makes sure that MuJoCo can draw a picture here; `make setup` runs it once.

Tries to render. Where that fails for want of a system library, installs one with apt-get if this
user may do that without being asked anything; else says which packages to install.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

_RENDER = """
from goalsight_envs.gl import select_backend
backend = select_backend()
import mujoco
model = mujoco.MjModel.from_xml_string(
    "<mujoco><worldbody><light pos='0 0 2'/><geom size='1'/></worldbody></mujoco>"
)
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
with mujoco.Renderer(model, 32, 32) as renderer:
    renderer.update_scene(data)
    assert renderer.render().any(), backend + " renders nothing but black"
print(backend)
"""


def load_gl() -> ModuleType:
    """The module that chooses a backend, without its package, which needs one to be imported."""
    path = Path(__file__).parents[1] / "envs" / "goalsight_envs" / "gl.py"
    spec = importlib.util.spec_from_file_location("goalsight_gl", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def try_to_render() -> tuple[str, str]:
    """Render one frame in a process of its own, so that a crash of a driver ends only that.

    Returns:
        The backend's name and an empty string, or an empty string and the reason.
    """
    done = subprocess.run(
        [sys.executable, "-c", _RENDER], capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return done.stdout.strip().splitlines()[-1], ""
    lines = done.stderr.strip().splitlines() or [f"the renderer ended with {done.returncode}"]
    return "", lines[-1].removeprefix("goalsight_envs.gl.GLError: ")


def apt_get() -> list[str] | None:
    """How to call apt-get without a question, or None where that is not to be had."""
    if shutil.which("apt-get") is None:
        return None
    if os.geteuid() == 0:
        return ["apt-get"]
    may = shutil.which("sudo") is not None and (
        subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0
    )
    return ["sudo", "-n", "DEBIAN_FRONTEND=noninteractive", "apt-get"] if may else None


def install(command: list[str], packages: tuple[str, ...]) -> bool:
    """Install Debian packages; True if apt-get says that it went well."""
    print(f"goalsight: installing {' '.join(packages)}", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for step in (["update", "-q"], ["install", "-y", "-q", "--no-install-recommends", *packages]):
        done = subprocess.run(
            [*command, *step], env=environment, capture_output=True, text=True, check=False
        )
    if done.returncode != 0:
        print(done.stderr.strip(), file=sys.stderr)
    return done.returncode == 0


def main() -> int:
    """Render, or install what is missing and render; the exit status says whether it works."""
    gl = load_gl()
    backend, reason = try_to_render()
    command = None if backend else apt_get()
    for packages in (gl.PACKAGES["apt"], ("libosmesa6",)):
        if backend or command is None:
            break
        if install(command, packages):
            backend, reason = try_to_render()
    if backend:
        print(f"goalsight: renders with {backend}")
        return 0
    advice = "" if "install with" in reason else f"; {gl.how_to_install()}"
    print(f"goalsight: error: {reason}{advice}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
