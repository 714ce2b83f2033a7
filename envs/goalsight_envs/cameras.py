"""What the cameras of a scene see; a camera that nobody asks for is never drawn."""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np
from numpy.typing import NDArray

from goalsight_envs import gl

Pixels = NDArray[np.uint8]


class Cameras:
    """The cameras that an environment looks through, the main one first."""

    def __init__(self, model: mujoco.MjModel, names: Sequence[str], size: int) -> None:
        """Check the names; nothing is drawn yet.

        Args:
            model: of the scene.
            names: of its cameras.
            size: height and width of the pictures [pixels].

        Raises:
            ValueError: if the scene has no such camera, none is named, or one is named twice.
        """
        there = [model.camera(number).name for number in range(model.ncam)]
        self.names = (names,) if isinstance(names, str) else tuple(names)
        if not self.names or set(self.names) - set(there) or len(set(self.names)) < len(self.names):
            raise ValueError(
                f"cameras are one or more of {', '.join(there)}, each once; got {list(self.names)}"
            )
        self._model, self._size = model, size
        self._context: mujoco.Renderer | None = None

    @property
    def keys(self) -> dict[str, str]:
        """Observation key of each camera: `pixels` for the main one, `pixels_NAME` for others."""
        return {
            "pixels" if number == 0 else f"pixels_{name}": name
            for number, name in enumerate(self.names)
        }

    def see(self, data: mujoco.MjData, name: str | None = None) -> Pixels:
        """(H, W, 3) what a camera sees of a simulation, the main one unless another is named."""
        gl.claim()
        if self._context is None:
            self._context = mujoco.Renderer(self._model, self._size, self._size)
        # Positions, camera and light must be current; mj_step leaves them one substep behind.
        mujoco.mj_kinematics(self._model, data)
        mujoco.mj_camlight(self._model, data)
        self._context.update_scene(data, name or self.names[0])
        return np.array(self._context.render())

    def close(self) -> None:
        """Free the GL context; the next picture makes another."""
        if self._context is not None:
            self._context.close()
            self._context = None


class Overview:
    """A view for people: the whole workspace, with smooth edges and sharp shadows.

    No model sees it. A picture of 384 pixels takes about 40 ms in software rendering, some 40
    times one of the models' own.
    """

    def __init__(self, model: mujoco.MjModel, size: int = 384) -> None:
        """Make the GL context; the quality that models are drawn with stays as it is.

        Args:
            model: of a scene with a camera `overview`.
            size: height and width of the pictures [pixels].
        """
        quality = model.vis.quality
        before = {name: getattr(quality, name) for name in _FINE}
        try:
            for name, value in _FINE.items():
                setattr(quality, name, value)
            self._context = mujoco.Renderer(model, size, size)
        finally:
            for name, value in before.items():
                setattr(quality, name, value)
        self._model = model

    def see(self, data: mujoco.MjData) -> Pixels:
        """(H, W, 3) uint8 picture of a simulation."""
        mujoco.mj_kinematics(self._model, data)
        mujoco.mj_camlight(self._model, data)
        self._context.update_scene(data, "overview")
        return np.array(self._context.render())

    def close(self) -> None:
        """Free the GL context."""
        self._context.close()


_FINE = {"shadowsize": 1024, "offsamples": 4, "numslices": 28, "numstacks": 16}
"""MuJoCo's rendering quality where people look."""
