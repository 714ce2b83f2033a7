"""The full solver state: everything the next step of a simulation depends on."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PARTS = int(
    mujoco.mjtState.mjSTATE_QPOS
    | mujoco.mjtState.mjSTATE_QVEL
    | mujoco.mjtState.mjSTATE_ACT
    | mujoco.mjtState.mjSTATE_WARMSTART
    | mujoco.mjtState.mjSTATE_CTRL
)
"""MuJoCo's names for it; time is left out, nothing here depends on it."""


def read_state(model: mujoco.MjModel, data: mujoco.MjData) -> Array:
    """(S,) full solver state of a simulation."""
    state = np.empty(mujoco.mj_stateSize(model, PARTS))
    mujoco.mj_getState(model, data, state, PARTS)
    return state


def write_state(model: mujoco.MjModel, data: mujoco.MjData, state: Array) -> None:
    """Set a simulation to a full solver state (S,) and bring its positions up to date."""
    mujoco.mj_resetData(model, data)
    mujoco.mj_setState(model, data, state, PARTS)
    mujoco.mj_kinematics(model, data)


def layout(model: mujoco.MjModel) -> dict[str, slice]:
    """Where each part of the full solver state lies in the vector."""
    sizes = {"qpos": model.nq, "qvel": model.nv, "act": model.na}
    sizes |= {"qacc_warmstart": model.nv, "ctrl": model.nu}
    ends = np.cumsum(list(sizes.values())).tolist()
    return {
        name: slice(end - size, end) for (name, size), end in zip(sizes.items(), ends, strict=True)
    }
