"""What drawing a foreign MuJoCo model costs, as it came and without what a small picture loses."""

from __future__ import annotations

import statistics
import sys
import time

PICTURES = 20
"""Pictures that are timed."""


def faster(env_id: str, size: int) -> str:
    """The id with `fast_render` behind it; says on stderr what that gains.

    Args:
        env_id: of an environment of another package.
        size: height and width of the pictures [pixels].

    Raises:
        UserError: if it is one of goalsight's own, which are drawn fast already.
        WrapError: if it cannot be wrapped.
    """
    from goalsight.errors import UserError
    from goalsight_envs.foreign import add_setting, is_foreign

    if not is_foreign(env_id):
        raise UserError(f"{env_id} is drawn fast already; leave out --fast-render")
    fast = add_setting(env_id, "fast_render=true")
    slow_ms, fast_ms = (picture_ms(name, size) for name in (env_id, fast))
    print(
        f"goalsight: a picture takes {fast_ms:.1f} ms instead of {slow_ms:.1f} ms "
        f"({slow_ms / fast_ms:.1f} times as fast)",
        file=sys.stderr,
    )
    return fast


def picture_ms(env_id: str, size: int) -> float:
    """Median milliseconds of a picture of an environment, after two to warm up."""
    from goalsight_envs.foreign import wrap

    env = wrap(env_id, size=size, observe_pixels=False, draw_goals=False)
    env.reset(seed=0)
    took = []
    for _ in range(PICTURES + 2):
        began = time.perf_counter()
        env.render()
        took.append(1e3 * (time.perf_counter() - began))
    env.close()
    return statistics.median(took[2:])
