"""Makes the shipped manifests, the frozen pairs of the benchmark: `make manifests`.

    python -m scripts.make_manifests [FOLDER [NAME ...]]

Run once a version of a scene; the result is committed. Making it again on the same MuJoCo gives
the same pairs. Names given after the folder make only those manifests.
"""

from __future__ import annotations

import sys
from pathlib import Path

from goalsight.benchmark.manifest import SEEDS, Recipe, generate_manifest, save_manifest

TASKS = {
    "reach": "Goalsight/Reach-v0",
    "push": "Goalsight/Push-v0",
    "grasp": "Goalsight/Grasp-v0",
    "pick-place": "Goalsight/PickPlace-v0",
    "drawer": "Goalsight/Drawer-v0",
    "stack": "Goalsight/Stack-v0",
    "scene": "Goalsight/Scene-v0",
}
NEAR = ("reach", "push", "grasp", "pick-place", "drawer")
"""Tasks with a `near` tier: 25 control steps are not enough to finish a stack or a tidy scene."""
SHIFTED = {task: "near" if task in {"reach", "push"} else "far" for task in TASKS}
"""The tier of each task that the shift levels are shipped for."""
SHIFTED_SEEDS = {
    # The same starts and goals as without the shift: looks alone differ, row by row.
    "ood-visual": 0,
    # Another cube needs other states.
    "ood-physics": 5_000_000,
}
"""What a level adds to the first seed."""


def _recipe(task: str, tier: str, use: str, level: str = "") -> Recipe:
    return Recipe(
        name=f"{task}-{tier}{f'-{level}' if level else ''}{use}",
        env=TASKS[task],
        pairs=100 if use else 200,
        seed_base=SEEDS[tier, use] + (SHIFTED_SEEDS[level] if level else 0),
        tier=tier,
        level=level,
    )


USES = ("", "-dev")
RECIPES = (
    *(_recipe(task, "near", use) for task in NEAR for use in USES),
    *(_recipe(task, "far", use) for task in TASKS for use in USES),
    *(
        _recipe(task, tier, use, level)
        for level in SHIFTED_SEEDS
        for task, tier in SHIFTED.items()
        for use in USES
    ),
)
"""The manifests that are shipped in `configs/bench/`."""


def main(folder: Path, names: tuple[str, ...] = ()) -> None:
    """Write shipped manifests into a folder, all of them unless some are named."""
    for recipe in RECIPES:
        if not names or recipe.name in names:
            path = save_manifest(generate_manifest(recipe), folder)
            sys.stderr.write(f"wrote {path}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("configs/bench"), tuple(sys.argv[2:]))
