"""Cartesian control of the 7-joint arm: an action becomes joint targets by damped least squares."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

JOINTS = tuple(f"joint{i}" for i in range(1, 8))
FINGERS = ("left_finger", "right_finger")
HOME = np.array([0.0, 0.30, 0.0, -2.20, 0.0, 2.50, 0.785398])
"""Joint angles [rad] with the tool pointing straight down over the table."""
TOOL_DOWN = np.array([0.0, 1.0, 0.0, 0.0])
"""Orientation (w, x, y, z) every target keeps: fingers down, opening along world y."""


@dataclass(frozen=True, kw_only=True)
class ArmConfig:
    """What one control step may do, and where the fingertip may go."""

    step: float = 0.02
    """Largest fingertip displacement per axis and control step [m]."""
    gripper_step: float = 0.01
    """Largest change of a finger's commanded position per control step [m]."""
    low: tuple[float, float, float] = (0.35, -0.22, 0.02)
    """Lower corner of the workspace of the fingertip [m], base frame."""
    high: tuple[float, float, float] = (0.65, 0.22, 0.22)
    """Upper corner of the workspace [m]."""
    lead: float = 0.03
    """How far the commanded fingertip may run ahead of the real one per axis [m]; bounds forces."""
    iterations: int = 3
    """Damped-least-squares iterations per control step."""
    damping: float = 0.02
    """Damping of the least squares, in units of the Jacobian's singular values."""


class Arm:
    """Turns Cartesian actions into joint targets, and joint targets back into fingertip positions.

    The commanded pose is whatever the actuators' targets say (`data.ctrl`), so the controller has
    no state of its own: restoring the simulator's state restores the controller.
    """

    def __init__(self, model: mujoco.MjModel, config: ArmConfig | None = None) -> None:
        self.model = model
        self.config = config or ArmConfig()
        self._scratch = mujoco.MjData(model)
        self._site = model.site("fingertip").id
        self._damping = self.config.damping**2 * np.eye(6)
        joints = [model.joint(name) for name in JOINTS]
        self.qpos = np.array([j.qposadr[0] for j in joints])
        self.dofs = np.array([j.dofadr[0] for j in joints])
        self.finger_qpos = np.array([model.joint(name).qposadr[0] for name in FINGERS])
        self.ctrl = np.array([model.actuator(name).id for name in JOINTS])
        self.finger_ctrl = np.array([model.actuator(name).id for name in FINGERS])
        self.limits: Array = np.array([j.range for j in joints])
        """(7, 2) joint limits [rad]."""
        self.low, self.high = np.array(self.config.low), np.array(self.config.high)

    def fingertip(self, data: mujoco.MjData) -> Array:
        """(3,) position of the real fingertip [m]."""
        return np.array(data.site_xpos[self._site])

    def opening(self, data: mujoco.MjData) -> float:
        """Distance between the finger pads [m], 0 to 0.08."""
        return float(data.qpos[self.finger_qpos].sum())

    def commanded(self, data: mujoco.MjData) -> Array:
        """(3,) fingertip position the joint targets stand for [m]."""
        self._forward(data.ctrl[self.ctrl])
        return np.array(self._scratch.site_xpos[self._site])

    def apply(self, data: mujoco.MjData, action: Array) -> None:
        """Write the actuators' targets for one control step.

        Args:
            data: the simulation; only `ctrl` is written.
            action: (4,) in [-1, 1]: fingertip dx, dy, dz and finger opening, in units of `step`.
        """
        cfg = self.config
        real = self.fingertip(data)
        target = self.commanded(data) + cfg.step * action[:3]
        target = np.minimum(np.maximum(target, real - cfg.lead), real + cfg.lead)
        target = np.minimum(np.maximum(target, self.low), self.high)
        data.ctrl[self.ctrl] = self.solve(target, data.ctrl[self.ctrl], cfg.iterations)
        fingers = data.ctrl[self.finger_ctrl] + cfg.gripper_step * action[3]
        data.ctrl[self.finger_ctrl] = np.clip(fingers, 0.0, 0.04)

    def solve(self, target: Array, start: Array, iterations: int) -> Array:
        """Joint angles that bring the fingertip to `target`, tool down.

        Damped least squares on the six-dimensional pose error, with the redundant joint drawn
        to `HOME` in the null space (Nakamura and Hanafusa 1986).

        Args:
            target: (3,) fingertip position [m].
            start: (7,) joint angles to start from [rad].
            iterations: how many steps to take.

        Returns:
            (7,) joint angles [rad] within the joint limits.
        """
        q = np.array(start)
        error, step = np.empty(6), np.empty(6)
        jacobian = np.empty((6, self.model.nv))
        for iteration in range(iterations):
            self._forward(q)
            self._pose_error(target, error)
            mujoco.mj_jacSite(self.model, self._scratch, jacobian[:3], jacobian[3:], self._site)
            jac = jacobian[:, self.dofs]
            gram = jac @ jac.T + self._damping
            # None in the last iteration: what the null space leaves of it would be read back as
            # the next command, and a zero action would drift.
            posture = (0.05 if iteration < iterations - 1 else 0.0) * (HOME - q)
            # MuJoCo's own solver: for a matrix this small NumPy's checks cost more than the sums.
            mujoco.mju_cholFactor(gram, 0.0)
            mujoco.mju_cholSolve(step, gram, error - jac @ posture)
            q = q + posture + jac.T @ step
            q = np.minimum(np.maximum(q, self.limits[:, 0]), self.limits[:, 1])
        return q

    def _forward(self, q: Array) -> None:
        self._scratch.qpos[self.qpos] = q
        mujoco.mj_kinematics(self.model, self._scratch)
        mujoco.mj_comPos(self.model, self._scratch)

    def _pose_error(self, target: Array, error: Array) -> None:
        quat, inverse, difference = np.empty(4), np.empty(4), np.empty(4)
        error[:3] = target - self._scratch.site_xpos[self._site]
        mujoco.mju_mat2Quat(quat, self._scratch.site_xmat[self._site])
        mujoco.mju_negQuat(inverse, quat)
        mujoco.mju_mulQuat(difference, TOOL_DOWN, inverse)
        mujoco.mju_quat2Vel(error[3:], difference, 1.0)
