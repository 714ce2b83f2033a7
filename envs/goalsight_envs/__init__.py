"""MuJoCo arm tasks for goal-image planning. Importing registers the environments.

>>> import gymnasium, goalsight_envs
>>> env = gymnasium.make("Goalsight/Push-v0", size=64)
>>> observation, info = env.reset(seed=0)
>>> observation["pixels"].shape
(64, 64, 3)
"""

from goalsight_envs.gl import GLError, prepare, select_backend

# Before anything imports mujoco: it reads the choice once, at import. Where nothing renders, making
# an environment raises; an import that fails could not be unpickled.
prepare()

import gymnasium  # noqa: E402

MAX_EPISODE_STEPS = 200
"""Control steps after which a registered environment truncates."""

_TASKS = {
    "Reach": "reach",
    "Push": "push",
    "Grasp": "grasp",
    "PickPlace": "pick_place",
    "Drawer": "drawer",
    "Stack": "stack",
    "Scene": "scene",
}
for _task, _module in _TASKS.items():
    gymnasium.register(
        id=f"Goalsight/{_task}-v0",
        entry_point=f"goalsight_envs.{_module}:{_task}Env",
        max_episode_steps=MAX_EPISODE_STEPS,
    )

__all__ = ["MAX_EPISODE_STEPS", "GLError", "select_backend"]
