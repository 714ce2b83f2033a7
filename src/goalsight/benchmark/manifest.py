"""Frozen start and goal pairs: a JSON file and the full solver states beside it.

`load_manifest` reads them and `generate_manifest` draws new ones. `manifest_in` draws those of a
run on an environment that no shipped manifest is of, and keeps them in its folder.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goalsight.environments import Env, make_env, task_of
from goalsight.errors import ManifestError, OutputError, UserError
from goalsight.io import inside, npz_bytes, read_json, replace_file, sha256
from goalsight.paths import config_dir
from goalsight.progress import Progress, silent

SCHEMA = 1
"""Version of the manifest's shape."""
REMAKE = "take it from the repository again, or make it there with `make manifests`"
AHEAD = 25
"""Control steps from start to goal in the `near` tier."""
EPISODE_STEPS = 100
"""Control steps of a play episode."""
EPISODES_PER_PAIR = 20
"""Episodes that are looked through for a pair before making a manifest is given up."""
BUDGETS = {"near": 50, "far": 150}
"""Tiers, and the control steps a row has for a pair of each."""
FROZEN = "manifest"
"""Folder of the pairs of a run that no shipped manifest describes; it is there before the run."""
EPISODES_PER_SEED = 10_000
"""Seeds of resets that belong to one seed of a benchmark."""
SEEDS = {
    ("near", ""): 1_000_000,
    ("near", "-dev"): 2_000_000,
    ("far", ""): 4_000_000,
    ("far", "-dev"): 5_000_000,
}
"""First seed by tier and use; the ranges of a task never meet."""

Drawn = tuple["Pair", NDArray[np.float64], NDArray[np.float64]]
"""A pair with the full solver states (S,) of its start and goal."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Where a start and goal pair comes from."""

    seed: int
    """Seed of the episode."""
    episode: int
    """Number of the episode, counted from the manifest's seed base."""
    step: int
    """Control step of the start: the goal of `near` comes 25 later, `far` begins at 0."""
    displacement: float
    """Task distance between start and goal [m]."""
    factors: Mapping[str, Any] = field(default_factory=dict)
    """Factors of variation that are not nominal, of start and goal alike, as JSON values."""

    def to_json(self) -> dict[str, Any]:
        """As plain values; a nominal pair says nothing of factors, so that older hashes hold."""
        values = asdict(self)
        return values if self.factors else {k: v for k, v in values.items() if k != "factors"}


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A task's frozen benchmark."""

    name: str
    schema: int
    env: str
    """Gymnasium id."""
    tier: str
    """`near` or `far`."""
    budget: int
    """Control steps a row has for a pair."""
    frameskip: int
    """K that the manifest was made with; recorded, an agent brings its own."""
    mujoco: str
    """Version of MuJoCo that made the states."""
    threshold: float
    """Largest distance to the goal that counts as success [m]."""
    min_displacement: float
    """Least distance between start and goal [m]."""
    pairs: tuple[Pair, ...]
    start: NDArray[np.float64]
    """(P, S) full solver state of every start."""
    goal: NDArray[np.float64]
    """(P, S) full solver state of every goal."""

    def __post_init__(self) -> None:
        """Raises ManifestError where the fields do not fit each other."""
        if self.schema != SCHEMA:
            raise ManifestError(
                f"manifest {self.name} has schema {self.schema}, this goalsight reads {SCHEMA}"
            )
        wanted = (len(self.pairs), self.start.shape[-1])
        if self.start.shape != wanted or self.goal.shape != wanted:
            raise ManifestError(
                f"manifest {self.name} has {len(self.pairs)} pairs but states of shape "
                f"{self.start.shape} and {self.goal.shape}; {REMAKE}"
            )
        if not (np.isfinite(self.start).all() and np.isfinite(self.goal).all()):
            raise ManifestError(f"manifest {self.name} has states that are not finite; {REMAKE}")
        close = [i for i, pair in enumerate(self.pairs) if pair.displacement <= self.threshold]
        if close:
            raise ManifestError(f"manifest {self.name} has pairs solved at their start: {close}")

    @property
    def hash(self) -> str:
        """SHA-256 over every field and state; what a result says it was measured on."""
        return _hash(_described(self), self.states())

    def states(self) -> bytes:
        """The start and goal states as the bytes of an npz file, the same on every machine.

        What the hash is taken over; the file beside the manifest holds them compressed, and how
        small a compressor makes them differs from one version of zlib to the next.
        """
        return _plain(self.start, self.goal)


def save_manifest(manifest: Manifest, folder: Path) -> Path:
    """Write `NAME.npz` and `NAME.json` into a folder; returns the path of the JSON."""
    path = folder_of(manifest, folder).with_name(f"{manifest.name}.json")
    states = npz_bytes(start=manifest.start, goal=manifest.goal)
    replace_file(path.with_suffix(".npz"), states)
    described = _described(manifest)
    hashes = {"states_sha256": sha256(states), "hash": manifest.hash}
    replace_file(path, _text({**described, **hashes}).encode())
    return path


def load_manifest(path: Path) -> Manifest:
    """Read a manifest and verify both its hashes.

    Args:
        path: the JSON file; the states lie beside it under the same name.

    Raises:
        ManifestError: if a file is missing, is not a manifest, or was changed since it was made.
    """
    content = read_json(path, error=ManifestError, advice=REMAKE)
    if "pairs" not in content:
        raise ManifestError(f"{path} is not a benchmark manifest; {REMAKE}")
    states = _read(path.with_suffix(".npz"))
    if sha256(states) != content.get("states_sha256"):
        raise ManifestError(
            f"{path.with_suffix('.npz')} does not have the hash that {path.name} states; {REMAKE}"
        )
    described = {key: value for key, value in content.items() if key not in _HASHES}
    try:
        with np.load(io.BytesIO(states), allow_pickle=False) as arrays:
            start, goal = arrays["start"], arrays["goal"]
        if _hash(described, _plain(start, goal)) != content.get("hash"):
            raise ManifestError(f"{path} was changed since its hash was taken; {REMAKE}")
        inside(path.parent, content.get("name"), source=path, field="name", error=ManifestError)
        pairs = tuple(Pair(**pair) for pair in described.pop("pairs"))
        return Manifest(**described, pairs=pairs, start=start, goal=goal)
    except (TypeError, KeyError, ValueError) as error:
        raise ManifestError(f"{path} is not a manifest of this goalsight: {error}") from None


def folder_of(manifest: Manifest, out: Path) -> Path:
    """The folder inside of another one that has a manifest's name.

    Raises:
        ManifestError: if the name would lead elsewhere.
    """
    source = f"manifest {manifest.name!r}"
    return inside(out, manifest.name, source=source, field="name", error=ManifestError)


def find_manifest(name: str | Path, folder: Path | None = None) -> Path:
    """The path of a manifest given as a file or by the name of a shipped one.

    Args:
        name: path of a JSON file, or a name such as `push-near`.
        folder: where the shipped manifests lie; None for goalsight's own.

    Raises:
        ManifestError: if there is no such file; the message lists the shipped names.
    """
    if Path(name).is_file():
        return Path(name)
    folder = folder or config_dir() / "bench"
    shipped = {path.stem: path for path in sorted(folder.glob("*.json"))}
    if str(name) not in shipped:
        known = ", ".join(shipped)
        raise ManifestError(f"no manifest {str(name)!r}; give a JSON file or one of: {known}")
    return shipped[str(name)]


def another_simulator(manifest: Manifest) -> str:
    """A warning where the pairs were made with another MuJoCo, else nothing."""
    import mujoco

    if manifest.mujoco == mujoco.__version__:
        return ""
    return (
        f"{manifest.name} was made with MuJoCo {manifest.mujoco}, {mujoco.__version__} is "
        "installed; compare numbers with care"
    )


# -- drawing pairs ----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a manifest is made of."""

    name: str
    env: str
    """Gymnasium id."""
    pairs: int
    seed_base: int
    """Seed of the first episode; no dataset is collected from this range."""
    tier: str = "near"
    frameskip: int = 5
    """K of the models the tier was designed for."""
    level: str | Mapping[str, Any] = ""
    """What the factors of each pair are drawn from: a shift level, or values and ranges by name of
    the factor; empty for nominal ones."""
    steps: int | None = None
    """Control steps a row has for a pair; None: as many as the tier gives."""

    def __post_init__(self) -> None:
        """Raises ValueError for a tier that does not exist."""
        if self.tier not in BUDGETS:
            raise ValueError(f"tier must be one of {', '.join(BUDGETS)}, got {self.tier!r}")

    @property
    def budget(self) -> int:
        """Control steps a row has for a pair."""
        return self.steps or BUDGETS[self.tier]


def generate_manifest(recipe: Recipe, progress: Progress = silent) -> Manifest:
    """Draw one pair from each of many held-out episodes, as the tier says.

    Args:
        recipe: what to make.
        progress: told how many pairs are drawn.

    Raises:
        ManifestError: if most episodes have no pair to offer.
    """
    import mujoco

    env = make_env(
        recipe.env,
        observe_pixels=False,
        draw_goals=recipe.tier == "far",
        factors=recipe.level or None,
    )
    task = task_of(env)
    draw = near_pairs if recipe.tier == "near" else far_pairs
    drawn: list[Drawn] = []
    most = EPISODES_PER_PAIR * (recipe.pairs + 1)
    for pair in islice(draw(env, recipe.seed_base, most), recipe.pairs):
        drawn.append(pair)
        progress(len(drawn), recipe.pairs)
    env.close()
    if len(drawn) < recipe.pairs:
        raise ManifestError(
            f"{recipe.env} gave {len(drawn)} of {recipe.pairs} {recipe.tier} pairs in "
            f"{EPISODES_PER_PAIR} episodes a pair: play seldom moves what is measured by "
            f"{task.min_displacement:g}"
        )
    pairs, starts, goals = zip(*drawn, strict=True)
    return Manifest(
        name=recipe.name,
        schema=SCHEMA,
        env=recipe.env,
        tier=recipe.tier,
        budget=recipe.budget,
        frameskip=recipe.frameskip,
        mujoco=mujoco.__version__,
        threshold=task.success_threshold,
        min_displacement=task.min_displacement,
        pairs=tuple(pairs),
        start=np.stack(starts),
        goal=np.stack(goals),
    )


def near_pairs(env: Env, seed_base: int, episodes: int) -> Iterator[Drawn]:
    """A state of a play episode and the one `AHEAD` control steps later, one an episode.

    Chosen at random among those of the episode whose goal shows the task done and which are
    further apart than the task's minimum displacement (so none is solved at its start); an episode
    without any is passed over.

    Args:
        env: the task.
        seed_base: seed of the first episode.
        episodes: how many to look through.
    """
    task = task_of(env)
    least = max(task.min_displacement, task.success_threshold)
    for episode in range(episodes):
        seed = seed_base + episode
        rng = np.random.default_rng([seed, 1])
        states, measured, factors = _play(env, seed, rng)
        apart = task.goal_distance(measured[AHEAD:], measured[:-AHEAD])
        shown = np.array([task.is_goal(goal) for goal in measured[AHEAD:]])
        possible = np.flatnonzero((apart > least) & shown)
        if possible.size == 0:
            continue
        step = int(rng.choice(possible))
        displacement = round(float(apart[step]), 6)
        pair = Pair(
            seed=seed, episode=episode, step=step, displacement=displacement, factors=factors
        )
        yield pair, states[step], states[step + AHEAD]


def far_pairs(env: Env, seed_base: int, episodes: int) -> Iterator[Drawn]:
    """A start and a goal drawn independently, a complete task, one an episode.

    States are rounded to single precision, which halves the file and moves nothing by more than a
    micrometre. A pair that is not further apart than the task's minimum displacement, or whose goal
    does not show the task done, is passed over.

    Args:
        env: the task.
        seed_base: seed of the first episode.
        episodes: how many to look through.
    """
    task = task_of(env)
    least = max(task.min_displacement, task.success_threshold)
    for episode in range(episodes):
        seed = seed_base + episode
        factors = _factors(env.reset(seed=seed)[1])
        start, goal = (
            state.astype(np.float32).astype(np.float64)
            for state in (task.solver_state(), task.goal_state)
        )
        options: dict[str, Any] = {"state": start, "goal_state": goal}
        options |= {"factors": factors} if factors else {}
        observation, info = env.reset(options=options)
        apart = float(info["distance"])
        if apart <= least or info["is_success"] or not task.is_goal(observation["desired_goal"]):
            continue
        pair = Pair(
            seed=seed, episode=episode, step=0, displacement=round(apart, 6), factors=factors
        )
        yield pair, start, goal


def _play(
    env: Env, seed: int, rng: np.random.Generator
) -> tuple[list[NDArray[np.float64]], NDArray[np.float64], dict[str, Any]]:
    """A play episode: full solver states (S,), what the task measures (T, G) [m], its factors."""
    from goalsight_envs.policies import make_policy

    observation, info = env.reset(seed=seed)
    policy = make_policy("play", env, rng)
    policy.reset()
    states, measured = [task_of(env).solver_state()], [observation["achieved_goal"]]
    for _ in range(EPISODE_STEPS):
        observation, *_ = env.step(policy.act())
        states.append(task_of(env).solver_state())
        measured.append(observation["achieved_goal"])
    return states, np.stack(measured), _factors(info)


def _factors(info: dict[str, Any]) -> dict[str, Any]:
    """The factors of an episode as JSON values."""
    values: dict[str, Any] = json.loads(json.dumps(info.get("factors", {})))
    return values


@dataclass(frozen=True, kw_only=True)
class ManifestConfig:
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
    factors: str | Mapping[str, Any] = ""
    """What varies, of start and goal alike: a shift level, or values and ranges by name of the
    factor; empty for nothing. The same pairs as without it where only looks vary."""

    def __post_init__(self) -> None:
        """Raises UserError where a field is out of its range."""
        if self.pairs < 1 or self.seed < 0 or (self.budget is not None and self.budget < 1):
            raise UserError("pairs and budget must be at least 1, seed 0 or more")
        if self.tier and self.tier not in BUDGETS:
            raise UserError(f"tier must be one of {', '.join(BUDGETS)}, got {self.tier!r}")


def manifest_in(out: Path, config: ManifestConfig, progress: Progress = silent) -> Manifest:
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
        return _as_asked(load_manifest(kept[0]), config, out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out} already holds something else; choose another --out")
    tier = config.tier or _best_tier(config.env)
    recipe = Recipe(
        name=_file_name(config, tier),
        env=config.env,
        pairs=config.pairs,
        seed_base=SEEDS[tier, ""] + EPISODES_PER_SEED * (1 + config.seed),
        tier=tier,
        level=config.factors,
        steps=config.budget,
    )
    manifest = generate_manifest(recipe, progress)
    folder.mkdir(parents=True, exist_ok=True)
    save_manifest(manifest, folder)
    return manifest


def has_expert(env: Env) -> bool:
    """Whether the environment's scripted expert can be a row."""
    from goalsight_envs.foreign import ForeignEnv, has_expert

    inner = env.unwrapped
    return has_expert(inner) if isinstance(inner, ForeignEnv) else True


def _as_asked(manifest: Manifest, config: ManifestConfig, out: Path) -> Manifest:
    """The manifest if it is the one that is asked for."""
    differs = (
        config.env not in {manifest.env, manifest.env.partition("?")[0]}
        or manifest.name != _file_name(config, manifest.tier)
        or (config.tier and manifest.tier != config.tier)
        or (config.budget and manifest.budget != config.budget)
    )
    if differs or len(manifest.pairs) < config.pairs:
        raise OutputError(
            f"{out} holds {len(manifest.pairs)} pairs {manifest.name} of {manifest.env} with a "
            f"budget of {manifest.budget}, which are not those asked for; choose another --out"
        )
    return manifest


def _best_tier(env_id: str) -> str:
    """The tier that says most about an environment."""
    from goalsight_envs.foreign import ForeignEnv

    env = make_env(env_id, observe_pixels=False, draw_goals=False)
    inner = env.unwrapped
    tier = "near" if isinstance(inner, ForeignEnv) and not inner.config.own_goals else "far"
    env.close()
    return tier


def _file_name(config: ManifestConfig, tier: str) -> str:
    """A name for files: the id without module, settings and capitals, and what varies.

    Values and ranges are named by a digest, so that a folder of other ones is told apart.
    """
    bare = config.env.partition("?")[0].rpartition(":")[2].lower()
    if isinstance(config.factors, str):
        varies = config.factors
    else:
        varies = f"factors-{sha256(json.dumps(dict(config.factors), sort_keys=True))[:8]}"
    parts = re.sub("[^a-z0-9]+", "-", bare).strip("-"), tier, varies, str(config.seed)
    return "-".join(part for part in parts if part)


# -- files ------------------------------------------------------------------------------------


_HASHES = ("states_sha256", "hash")
_DESCRIBED = tuple(f.name for f in fields(Manifest) if f.name not in ("start", "goal"))


def _described(manifest: Manifest) -> dict[str, Any]:
    """What the JSON holds beside the hashes."""
    described = {name: getattr(manifest, name) for name in _DESCRIBED}
    return {**described, "pairs": [pair.to_json() for pair in manifest.pairs]}


def _text(content: Mapping[str, Any]) -> str:
    """Indented JSON with a line for each pair: what changed in one is seen at a glance."""
    lines = ",\n".join(f"    {json.dumps(pair, allow_nan=False)}" for pair in content["pairs"])
    rest = json.dumps({**content, "pairs": []}, indent=2, ensure_ascii=False, allow_nan=False)
    return rest.replace('"pairs": []', f'"pairs": [\n{lines}\n  ]', 1) + "\n"


def _hash(described: Mapping[str, Any], states: bytes) -> str:
    """SHA-256 of the description in canonical form and of the states."""
    text = json.dumps(described, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256(text, bytes.fromhex(sha256(states)))


def _plain(start: NDArray[np.float64], goal: NDArray[np.float64]) -> bytes:
    """The states as an npz file without compression."""
    return npz_bytes(compressed=False, start=start, goal=goal)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ManifestError(f"cannot read {path}: {error.strerror}; {REMAKE}") from None
