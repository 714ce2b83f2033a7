"""Steps the physics so that the arm moves alike on every MuJoCo the package runs on.

Its servos are stiff and their forces limited: in fast moves they are at the limit most of the time.
A force at its limit no longer depends on the velocity. From MuJoCo 3.5 on the implicit integrators
know that; before, they still counted the servo's damping in, which acts like up to 1.8 kg m2 more
inertia of a joint: the fingertip went 13 mm in a control step instead of 18.
"""

from __future__ import annotations

import re

import mujoco

_RELEASE = tuple(int(number) for number in re.findall(r"\d+", mujoco.__version__)[:2])
LIMITS_KNOWN = _RELEASE >= (3, 5)
"""Whether this MuJoCo's integrator knows which servos are at their limit."""


def advance(
    model: mujoco.MjModel, data: mujoco.MjData, steps: int, limits_known: bool = LIMITS_KNOWN
) -> None:
    """Run physics steps: `mj_step`, and what it does from MuJoCo 3.5 on with an older one.

    Args:
        model: of a scene in which every actuator is a servo with limits of control and force; it
            is as before on return.
        data: simulation to advance.
        steps: how many.
        limits_known: whether `mj_step` alone does it.
    """
    if limits_known:
        mujoco.mj_step(model, data, nstep=steps)
        return
    gain, bias = model.actuator_gainprm.copy(), model.actuator_biasprm.copy()
    low, high = model.actuator_forcerange.T
    control = data.ctrl.clip(*model.actuator_ctrlrange.T)
    for _ in range(steps):
        mujoco.mj_step1(model, data)
        force = gain[:, 0] * control + bias[:, 0]
        force += bias[:, 1] * data.actuator_length + bias[:, 2] * data.actuator_velocity
        limited = (force <= low) | (force >= high)
        # A servo at its limit becomes that very force, whose slope in the velocity is zero.
        model.actuator_gainprm[limited, 0] = 0.0
        model.actuator_biasprm[limited, :3] = 0.0
        model.actuator_biasprm[limited, 0] = force.clip(low, high)[limited]
        try:
            mujoco.mj_step2(model, data)
        finally:
            model.actuator_gainprm[:], model.actuator_biasprm[:] = gain, bias
