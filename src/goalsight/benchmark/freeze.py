"""Pairs for an environment without a shipped manifest: drawn once, then frozen beside the run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from goalsight.benchmark.make_manifests import BUDGETS, SEEDS, Recipe, make_manifest
from goalsight.benchmark.manifest import Manifest, load_manifest, save_manifest
from goalsight.benchmark.store import FROZEN
from goalsight.environments import Env, make_env
from goalsight.errors import OutputError, UserError
from goalsight.progress import Progress, silent

EPISODES_PER_SEED = 10_000
"""Seeds of resets that belong to one seed of a benchmark."""


@dataclass(frozen=True, kw_only=True)
class FreezeConfig:
    """Which pairs to draw."""

    env: str
    """Gymnasium id, with settings behind it where it is a wrapped environment's."""
    pairs: int
    """How many."""
    seed: int = 0
    """Which; another seed draws other pairs."""
    tier: str = ""
    """`near` or `far`; empty: `far` where the environment's own goals can be made pictures, as of
    the arm scene's tasks, else `near`."""
    budget: int | None = None
    """Control steps a row has for a pair; None: the tier's."""

    def __post_init__(self) -> None:
        """Raises UserError where a field is out of its range."""
        if self.pairs < 1 or self.seed < 0 or (self.budget is not None and self.budget < 1):
            raise UserError("pairs and budget must be at least 1, seed 0 or more")
        if self.tier and self.tier not in BUDGETS:
            raise UserError(f"tier must be one of {', '.join(BUDGETS)}, got {self.tier!r}")


def frozen_manifest(out: Path, config: FreezeConfig, progress: Progress = silent) -> Manifest:
    """The pairs of a run: those in its folder, or new ones that are written there.

    Args:
        out: folder of the run.
        config: which pairs; what is there must be of these, and at least as many.
        progress: told how many pairs are drawn.

    Raises:
        ManifestError: if the pairs in the folder were changed, or none can be drawn.
        OutputError: if the folder holds other pairs.
        UserError: if the environment cannot be made.
    """
    folder = out / FROZEN
    kept = sorted(folder.glob("*.json"))
    if kept:
        return _checked(load_manifest(kept[0]), config, out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out} already holds something else; choose another --out")
    tier = config.tier or _tier(config.env)
    recipe = Recipe(
        name=_name(config.env, tier, config.seed),
        env=config.env,
        pairs=config.pairs,
        seed_base=SEEDS[tier, ""] + EPISODES_PER_SEED * (1 + config.seed),
        tier=tier,
        steps=config.budget,
    )
    manifest = make_manifest(recipe, progress)
    folder.mkdir(parents=True, exist_ok=True)
    save_manifest(manifest, folder)
    return manifest


def has_expert(env: Env) -> bool:
    """Whether the environment's scripted expert can be a row."""
    from goalsight_envs.foreign import ForeignEnv, has_expert

    inner = env.unwrapped
    return has_expert(inner) if isinstance(inner, ForeignEnv) else True


def _checked(manifest: Manifest, config: FreezeConfig, out: Path) -> Manifest:
    """The manifest if it is the one that is asked for."""
    differs = (
        config.env not in {manifest.env, manifest.env.partition("?")[0]}
        or not manifest.name.endswith(f"-{config.seed}")
        or (config.tier and manifest.tier != config.tier)
        or (config.budget and manifest.budget != config.budget)
    )
    if differs or len(manifest.pairs) < config.pairs:
        raise OutputError(
            f"{out} holds {len(manifest.pairs)} pairs {manifest.name} of {manifest.env} with a "
            f"budget of {manifest.budget}, which are not those asked for; choose another --out"
        )
    return manifest


def _tier(env_id: str) -> str:
    """The tier that says most about an environment."""
    from goalsight_envs.foreign import ForeignEnv

    env = make_env(env_id, observe_pixels=False, draw_goals=False)
    inner = env.unwrapped
    tier = "near" if isinstance(inner, ForeignEnv) and not inner.config.own_goals else "far"
    env.close()
    return tier


def _name(env_id: str, tier: str, seed: int) -> str:
    """A name for files: the id without module, settings and capitals."""
    bare = env_id.partition("?")[0].rpartition(":")[2].lower()
    return f"{re.sub('[^a-z0-9]+', '-', bare).strip('-')}-{tier}-{seed}"
