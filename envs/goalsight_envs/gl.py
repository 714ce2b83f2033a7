"""Chooses the OpenGL backend that MuJoCo renders with, so that nobody has to know `MUJOCO_GL`.

`select_backend` runs once, before MuJoCo is imported: a value the user set is respected, else the
first of EGL, OSMesa, GLFW (macOS: CGL) that really starts is taken. The answer is left in the
environment, so worker processes inherit it without probing again.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import platform
import sys
from collections.abc import Callable

_ASKED = "MUJOCO_GL"
_PROVEN = "GOALSIGHT_GL"  # the value of MUJOCO_GL that a probe in this process tree found working
_REFUSED = "GOALSIGHT_GL_REFUSED"  # the value of MUJOCO_GL with which MuJoCo cannot be imported
_ALIASES = {"glx": "glfw", "wgl": "glfw"}
_AUTOMATIC = frozenset({"", "enable", "enabled", "on", "true", "1"})
_DISABLED = frozenset({"disable", "disabled", "off", "false", "0"})
_ORDER = {"Linux": ("egl", "osmesa", "glfw"), "Darwin": ("cgl", "glfw"), "Windows": ("glfw",)}

PACKAGES = {
    "apt": ("libegl1", "libgl1-mesa-dri", "libopengl0", "libgles2"),
    "dnf": ("mesa-libEGL", "mesa-dri-drivers", "libglvnd-opengl", "libglvnd-gles"),
    "brew": ("glfw",),
}
"""System packages that make a backend work, by package manager."""


class GLError(RuntimeError):
    """Nothing on this machine renders; the message names the packages to install."""


_drawn_by: int | None = None
"""Process that drew first; a fork of it cannot draw."""


def prepare() -> None:
    """Choose the backend before MuJoCo is imported, and let its import work where none renders.

    MuJoCo raises errors of its own at import for a `MUJOCO_GL` that it does not know or whose
    library is missing. Whoever draws is told by `select_backend` what is wrong with it.
    """
    asked = os.environ.get(_ASKED, "")
    try:
        select_backend()
    except GLError:
        if "mujoco" not in sys.modules:
            os.environ.setdefault(_REFUSED, asked)
            os.environ[_ASKED] = "off"


def claim() -> None:
    """Call before anything is drawn: OpenGL does not outlive a fork, and would hang for ever.

    Raises:
        GLError: if this process was forked from one that had drawn.
    """
    global _drawn_by  # noqa: PLW0603  (a fact about the process, as OpenGL's own state is)
    if _drawn_by is None:
        _drawn_by = os.getpid()
    if _drawn_by != os.getpid():
        raise GLError(
            "this process was forked from one that had drawn, and OpenGL does not survive that; "
            "use spawn: gymnasium.make_vec(..., vectorization_mode='async', "
            "vector_kwargs={'context': 'spawn'}), or multiprocessing.get_context('spawn')"
        )


def select_backend() -> str:
    """Choose the OpenGL backend and tell MuJoCo, through the environment.

    Call it before MuJoCo is imported; if a user's program imported MuJoCo first, its choice of
    context is renewed. Takes about 30 ms the first time and nothing in spawned workers.

    Returns:
        `"egl"`, `"osmesa"`, `"glfw"` or `"cgl"`.

    Raises:
        GLError: if no backend works, if the one named in `MUJOCO_GL` does not, or if `MUJOCO_GL`
            is unknown or turns rendering off.
    """
    asked = os.environ.get(_ASKED, "").strip().lower()
    if asked in _DISABLED and _REFUSED in os.environ:
        asked = os.environ[_REFUSED].strip().lower()
    if asked and asked == os.environ.get(_PROVEN):
        return asked
    backend = _first_that_starts(_candidates(asked), asked)
    os.environ[_ASKED] = os.environ[_PROVEN] = backend
    # Mesa's software renderer would start a thread per core in every worker; a small picture is
    # drawn faster by one.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    if backend in {"egl", "osmesa"}:
        os.environ["PYOPENGL_PLATFORM"] = backend
    _renew_context_of_imported_mujoco()
    return backend


def _candidates(asked: str) -> tuple[str, ...]:
    """Backends to try, in order, for a value of `MUJOCO_GL`."""
    known = _ORDER.get(platform.system(), ("glfw",))
    if asked in _AUTOMATIC:
        return known
    if asked in _DISABLED:
        raise GLError(
            f"{_ASKED}={asked} turns rendering off, and goalsight's tasks are seen through a "
            f"camera; unset {_ASKED}"
        )
    backend = _ALIASES.get(asked, asked)
    if backend not in known:
        raise GLError(
            f"{_ASKED}={asked} is no OpenGL backend of this system; it has: {', '.join(known)} "
            f"(or unset {_ASKED}: goalsight chooses)"
        )
    return (backend,)


def _first_that_starts(backends: tuple[str, ...], asked: str) -> str:
    """The first backend whose probe returns no complaint."""
    complaints = []
    for backend in backends:
        complaint = _PROBES[backend]()
        if complaint is None:
            return backend
        complaints.append(f"{backend}: {complaint}")
    why = "; ".join(complaints)
    if asked in _AUTOMATIC:
        raise GLError(f"no OpenGL backend renders here ({why}); {how_to_install()}")
    raise GLError(
        f"{_ASKED}={asked} does not render here ({why}); unset {_ASKED} to let goalsight choose, "
        f"or {how_to_install()}"
    )


def how_to_install() -> str:
    """Which system packages to install, for each package manager of this system."""
    if platform.system() == "Darwin":
        return f"install with: brew install {' '.join(PACKAGES['brew'])}"
    return (
        f"install with: apt-get install {' '.join(PACKAGES['apt'])} "
        f"(Debian, Ubuntu) or dnf install {' '.join(PACKAGES['dnf'])} (Fedora)"
    )


def _load(*names: str) -> ctypes.CDLL | None:
    """The first shared library of these that loads."""
    for name in names:
        try:
            return ctypes.CDLL(name, ctypes.RTLD_GLOBAL)
        except OSError:
            continue
    return None


def _probe_egl() -> str | None:
    """Initialise a device display the way MuJoCo will; None when it works, else a complaint.

    The display is left initialised: MuJoCo takes it over, and the driver is loaded only once.
    """
    if _load("libOpenGL.so.0", "libGL.so.1", "libGLESv2.so.2") is None:
        return "no libOpenGL.so.0"
    egl = _load("libEGL.so.1", "libEGL.so")
    if egl is None:
        return "no libEGL.so.1"
    pointer, integer = ctypes.c_void_p, ctypes.c_int
    egl.eglGetProcAddress.argtypes, egl.eglGetProcAddress.restype = [ctypes.c_char_p], pointer
    query = egl.eglGetProcAddress(b"eglQueryDevicesEXT")
    display_of = egl.eglGetProcAddress(b"eglGetPlatformDisplayEXT")
    if not query or not display_of:
        return "the driver has no device displays"
    devices, count = (pointer * 16)(), integer()
    query_type = ctypes.CFUNCTYPE(
        ctypes.c_uint, integer, ctypes.POINTER(pointer), ctypes.POINTER(integer)
    )
    if not query_type(query)(len(devices), devices, ctypes.byref(count)) or count.value < 1:
        return "no device (a Mesa driver is missing)"
    display_type = ctypes.CFUNCTYPE(pointer, ctypes.c_uint, pointer, pointer)
    platform_device = 0x313F
    for device in devices[: count.value]:
        display = display_type(display_of)(platform_device, device, None)
        if display and _egl_display_works(egl, display):
            return None
    return "no device initialises"


def _egl_display_works(egl: ctypes.CDLL, display: int) -> bool:
    """Whether a display initialises and has a desktop-OpenGL configuration for off-screen use."""
    pointer, integer = ctypes.c_void_p, ctypes.c_int
    egl.eglInitialize.argtypes = [pointer, pointer, pointer]
    if not egl.eglInitialize(display, None, None):
        return False
    surface_type, pbuffer, renderable_type, opengl, none = 0x3033, 0x0001, 0x3040, 0x0008, 0x3038
    wanted = (integer * 5)(surface_type, pbuffer, renderable_type, opengl, none)
    config, count = pointer(), integer()
    egl.eglChooseConfig.argtypes = [pointer, pointer, pointer, integer, pointer]
    found = egl.eglChooseConfig(display, wanted, ctypes.byref(config), 1, ctypes.byref(count))
    return bool(found) and count.value > 0


def _probe_osmesa() -> str | None:
    """Create and drop a context; None when it works, else a complaint."""
    library = _load(*(f"libOSMesa.so.{number}" for number in (8, 6)), "libOSMesa.so")
    if library is None:
        return "no libOSMesa.so.8"
    library.OSMesaCreateContextExt.restype = ctypes.c_void_p
    rgba = 0x1908
    context = library.OSMesaCreateContextExt(rgba, 24, 8, 0, None)
    if not context:
        return "cannot create a context"
    library.OSMesaDestroyContext.argtypes = [ctypes.c_void_p]
    library.OSMesaDestroyContext(context)
    return None


def _probe_glfw() -> str | None:
    """Initialise GLFW, which needs a screen; None when it works, else a complaint."""
    headless = not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    if platform.system() == "Linux" and headless:
        return "no screen"
    try:
        import glfw
    except ImportError as error:
        return str(error)
    return None if glfw.init() else "no screen"


def _probe_cgl() -> str | None:
    """Load macOS's own OpenGL; None when it works, else a complaint."""
    framework = "/System/Library/Frameworks/OpenGL.framework/OpenGL"
    return None if _load(framework) is not None else "no OpenGL framework"


_PROBES: dict[str, Callable[[], str | None]] = {
    "egl": _probe_egl,
    "osmesa": _probe_osmesa,
    "glfw": _probe_glfw,
    "cgl": _probe_cgl,
}


def _renew_context_of_imported_mujoco() -> None:
    """Let a MuJoCo that was imported earlier see the choice: it reads it once, at import."""
    for name in ("mujoco.rendering.classic.gl_context", "mujoco.gl_context"):
        if name in sys.modules:
            importlib.reload(sys.modules[name])
            return
