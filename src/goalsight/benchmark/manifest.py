"""Frozen start and goal pairs: a JSON file and the full solver states beside it."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goalsight.errors import ManifestError
from goalsight.io import inside, npz_bytes, read_json, replace_file, sha256

SCHEMA = 1
"""Version of the manifest's shape."""
REMAKE = "take it from the repository again, or `python -m goalsight.benchmark.make_manifests`"


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


def find_manifest(name: str, folder: Path) -> Path:
    """The path of a manifest given as a file or by the name of a shipped one.

    Args:
        name: path of a JSON file, or a name such as `push-near`.
        folder: where the shipped manifests lie.

    Raises:
        ManifestError: if there is no such file; the message lists the shipped names.
    """
    if Path(name).is_file():
        return Path(name)
    shipped = {path.stem: path for path in sorted(folder.glob("*.json"))}
    if name not in shipped:
        known = ", ".join(shipped)
        raise ManifestError(f"no manifest {name!r}; give a JSON file or one of: {known}")
    return shipped[name]


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
