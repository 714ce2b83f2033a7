"""Pictures of a foreign environment at the model's size."""

from __future__ import annotations

from typing import Any, Protocol

import mujoco
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from goalsight_envs import gl
from goalsight_envs.foreign.config import WrapConfig
from goalsight_envs.foreign.errors import WrapError
from goalsight_envs.foreign.states import has_mujoco

Pixels = NDArray[np.uint8]
CHANNELS = {1, 3, 4}
"""Grey, RGB, RGB and alpha."""


class Camera(Protocol):
    """Takes pictures of one environment."""

    name: str
    """Fit for a file name."""
    renderer: str
    """What draws."""

    def picture(self) -> Pixels:
        """(size, size, 3) of what the environment looks like now."""

    def close(self) -> None:
        """Free what drawing took."""


def camera_for(env: Any, config: WrapConfig, size: int) -> Camera:  # noqa: ANN401
    """Our own rendering of a MuJoCo model, or the environment's `render()`.

    Args:
        env: the environment, wrappers included.
        config: which camera.
        size: height and width of the pictures [pixels].

    Raises:
        WrapError: if a camera is asked for that does not exist.
    """
    inner = env.unwrapped
    if has_mujoco(inner) and (config.camera or config.distance or config.fast_render):
        return MujocoCamera(inner, config, size)
    if config.camera or config.distance:
        raise WrapError("camera and distance need a MuJoCo model, this environment has none")
    return RenderCamera(env, size)


class RenderCamera:
    """The middle square of what the environment's `render()` gives, resized."""

    name = "render"
    renderer = "render"

    def __init__(self, env: Any, size: int) -> None:  # noqa: ANN401
        """Use an environment made with `render_mode="rgb_array"`."""
        self._env, self._size = env, size
        self._draws = has_mujoco(env.unwrapped)

    def picture(self) -> Pixels:
        """(size, size, 3).

        Raises:
            WrapError: if `render()` gives no picture.
        """
        if self._draws:
            gl.claim()
        return squared(to_rgb(self._env.render()), self._size)

    def close(self) -> None:
        """Nothing of ours."""


def to_rgb(drawn: Any) -> Pixels:  # noqa: ANN401
    """What an environment's `render()` gives as (H, W, 3) RGB.

    Args:
        drawn: (H, W), (H, W, C) or (C, H, W) with C 1, 3 or 4 (alpha is dropped), uint8 or float
            in [0, 1]; of a list of pictures the last.

    Raises:
        WrapError: if it is none of these.
    """
    if isinstance(drawn, list | tuple):
        drawn = drawn[-1] if drawn else None
    frame = np.asarray(drawn)
    if frame.ndim == 2:
        frame = frame[..., None]
    if frame.ndim == 3 and frame.shape[-1] not in CHANNELS and frame.shape[0] in CHANNELS:
        frame = np.moveaxis(frame, 0, -1)
    if frame.dtype.kind == "f" and frame.size and frame.min() >= 0 and frame.max() <= 1:
        frame = np.rint(frame * 255.0).astype(np.uint8)
    if frame.ndim != 3 or frame.shape[-1] not in CHANNELS or frame.dtype != np.uint8:
        found = "nothing" if drawn is None else f"{frame.dtype} {frame.shape}"
        raise WrapError(
            f"render() gave {found} instead of a picture, uint8 (H, W, 3) or floats in [0, 1]; "
            'make the environment with render_mode="rgb_array"'
        )
    if frame.shape[-1] == 1:
        frame = np.repeat(frame, 3, axis=-1)
    return np.ascontiguousarray(frame[..., :3])


def squared(frame: Pixels, size: int) -> Pixels:
    """(size, size, 3): the middle square of a picture (H, W, 3), averaged down or enlarged."""
    side = min(frame.shape[:2])
    top, left = ((length - side) // 2 for length in frame.shape[:2])
    middle = frame[top : top + side, left : left + side]
    if side == size:
        return np.ascontiguousarray(middle)
    image = Image.fromarray(middle).resize((size, size), Image.Resampling.LANCZOS)
    return np.array(image)


class MujocoCamera:
    """Draws a MuJoCo model without its sites, from a camera of the model or a free one."""

    def __init__(self, env: Any, config: WrapConfig, size: int) -> None:  # noqa: ANN401
        """Look at the simulation of an environment without wrappers.

        Raises:
            WrapError: if the model has no such camera or nothing of a name to hide.
        """
        self.renderer = gl.select_backend()
        self._env, self._config, self._size = env, config, size
        self._model: mujoco.MjModel | None = None
        self._renderer: mujoco.Renderer | None = None
        self._options = mujoco.MjvOption()
        self._options.sitegroup[:] = 0
        self._camera = _camera(env.model, config)
        self.name = "".join(c if c.isalnum() else "_" for c in config.camera) or "free"
        _hidden(env.model, config.hide)

    def picture(self) -> Pixels:
        """(size, size, 3)."""
        gl.claim()
        env = self._env
        if self._renderer is None or self._model is not env.model:  # some compile anew at a reset
            self.close()
            self._model, self._renderer = env.model, _renderer(env.model, self._config, self._size)
        for rgba, index in _hidden(env.model, self._config.hide):
            rgba[index, 3] = 0.0
        self._renderer.update_scene(env.data, self._camera, self._options)
        return np.array(self._renderer.render())

    def close(self) -> None:
        """Free the GL context."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None


def _renderer(model: mujoco.MjModel, config: WrapConfig, size: int) -> mujoco.Renderer:
    """A renderer, as fast as asked for."""
    model.vis.global_.offwidth = max(size, model.vis.global_.offwidth)
    model.vis.global_.offheight = max(size, model.vis.global_.offheight)
    if config.fovy:
        model.vis.global_.fovy = config.fovy
    if config.fast_render:
        model.vis.quality.offsamples = 0
        model.light_castshadow[:] = 0
    renderer = mujoco.Renderer(model, size, size)
    if config.fast_render:
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            renderer.scene.flags[flag] = 0
    return renderer


def _camera(model: mujoco.MjModel, config: WrapConfig) -> mujoco.MjvCamera:
    """The camera that is asked for."""
    camera = mujoco.MjvCamera()
    mujoco.mjv_defaultFreeCamera(model, camera)
    if config.camera:
        names = [model.camera(i).name for i in range(model.ncam)]
        number = config.camera if config.camera.isdigit() else ""
        if config.camera not in names and not (number and int(number) < model.ncam):
            raise WrapError(f"no camera {config.camera!r}; the model has: {', '.join(names)}")
        camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        camera.fixedcamid = int(number) if number else names.index(config.camera)
        return camera
    if config.lookat:
        camera.lookat[:] = config.lookat
    if config.distance:
        camera.distance, camera.azimuth = config.distance, config.azimuth
        camera.elevation = config.elevation
    return camera


def _hidden(model: mujoco.MjModel, names: tuple[str, ...]) -> list[tuple[Any, int]]:
    """Colours of what is not drawn: (array, row) of each geom, and of all geoms of each body."""
    bodies = {model.body(i).name: i for i in range(model.nbody)}
    geoms = {model.geom(i).name: i for i in range(model.ngeom)}
    found: list[tuple[Any, int]] = []
    for name in names:
        if name in bodies:
            body = model.body(bodies[name])
            first, count = int(body.geomadr[0]), int(body.geomnum[0])
            found += [(model.geom_rgba, index) for index in range(first, first + count)]
        elif name in geoms:
            found.append((model.geom_rgba, geoms[name]))
        else:
            raise WrapError(f"no body or geom {name!r} to hide in the model")
    return found
