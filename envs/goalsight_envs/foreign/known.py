"""Settings for families of environments that were tried: the picture that shows the task, mostly.

What a user says comes first; an id that is not here gets the defaults of `WrapConfig`.
"""

from __future__ import annotations

from dataclasses import replace

from goalsight_envs.foreign.config import WrapConfig

_FETCH = WrapConfig(
    lookat=(1.34, 0.75, 0.52),
    distance=1.0,
    azimuth=130.0,
    elevation=-25.0,
    hide=("robot0:mocap",),  # it shows where the arm was told to go
    goal="achieved",
    hand="site:robot0:grip",
    step=0.05,
)
_OGBENCH_CUBE = WrapConfig(
    camera="front_pixels",
    goal="body:object_0",
    threshold=0.04,
    displacement=0.06,
    hand="site:ur5e/robotiq/pinch",
    step=0.05,
    frameskip=2,
    low=(0.28, -0.32, 0.02),
    high=(0.57, 0.32, 0.25),
    proprio=("0:17",),
    make={"mode": "data_collection", "visualize_info": False, "terminate_at_goal": False},
)
KNOWN: dict[str, WrapConfig] = {
    "FetchReach-v4": replace(
        _FETCH, own_goals=True, low=(1.14, 0.55, 0.40), high=(1.54, 0.95, 0.73)
    ),
    "FetchPush-v4": replace(
        _FETCH,
        low=(1.15, 0.55, 0.415),
        high=(1.52, 0.95, 0.47),
        displacement=0.06,
        proprio=("0:3", "9:11", "20:25"),
    ),
    "cube-single-v0": _OGBENCH_CUBE,
}
"""Settings by id, without the module that registers it."""
