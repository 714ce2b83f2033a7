"""What every diagnostic shares: model and episodes, latents imagined from them, files written.

A model stands beside the episodes to look at it with: those it trained on and those it never saw.
Every diagnostic writes the same two files: NAME.json for machines, NAME.png for people.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from goalsight import __version__
from goalsight.checkpoint import find_checkpoint, load_checkpoint
from goalsight.clip import Clip
from goalsight.data import Dataset, Windows, open_dataset, split_episodes
from goalsight.errors import DatasetError, OutputError, UserError
from goalsight.io import replace_file, replace_json
from goalsight.models import WorldModel
from goalsight.progress import Progress, progress_bar, silent
from goalsight.provenance import git_commit

FIT_EPISODES = 200
"""Training episodes read at most to fit probes: enough, and they fit into memory."""
FIT_FRAMES = 4000
"""Their frames that a probe is fitted on."""
MEMORY_LIMIT = 2 * 2**30
"""Latents of up to this many bytes are kept; large token grids get fewer windows."""
FRAMES_AT_ONCE = 256
"""Frames encoded in one call."""
ENCODED_AT_ONCE = 256
"""Frames that pass the encoder together; bounds memory, changes no number."""
DOTS_PER_INCH = 150
COLOURS = {
    "encoded": "#3a86c8",
    "imagined": "#e4572e",
    "copied": "#8d99ae",
    "mean": "#b08f2e",
}
"""One colour for each kind of latent, in every figure."""
STYLE: Any = {  # matplotlib types the keys as a literal of hundreds
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}
MARK = "#c9184a"
"""Colour of what is pointed at."""


@dataclass(frozen=True)
class Split:
    """Which episodes are for fitting and which for judging."""

    fit: NDArray[np.int64]
    """Episodes a probe may be fitted on."""
    held_out: NDArray[np.int64]
    """Episodes every number is measured on."""
    note: str
    """What the held-out episodes are, in words."""


def split_for(card: Mapping[str, Any], dataset: Dataset) -> Split:
    """Episodes that a model did not train on, as far as its card tells.

    Args:
        card: of the checkpoint.
        dataset: to look at.

    Raises:
        DatasetError: if the dataset has a single episode: nothing can be held out.
    """
    episodes = len(dataset.episodes)
    if episodes < 2:
        raise DatasetError(
            f"{dataset.path} has a single episode; a diagnosis needs one to fit and one to judge"
        )
    trained_on = card.get("dataset", {}).get("fingerprint")
    split = card.get("split")
    if trained_on == dataset.fingerprint() and split and split["validation"] > 0:
        fit, held_out = split_episodes(episodes, split["validation"], split["seed"])
        return Split(fit, held_out, "the training run's validation episodes")
    fit, held_out = split_episodes(episodes, 0.2, 0)
    if trained_on is not None and trained_on != dataset.fingerprint():
        return Split(fit, held_out, "episodes of another dataset than the model's own")
    return Split(fit, held_out, "episodes the model may have trained on: its card names no split")


@dataclass(frozen=True)
class EvalContext:
    """What is looked at."""

    model: WorldModel
    """In evaluation mode, on its device."""
    dataset: Dataset
    """What it is shown."""
    split: Split
    """Of the dataset's episodes."""
    checkpoint: Mapping[str, Any]
    """Name and checksum of the checkpoint, for the report."""

    def windows(self, episodes: Sequence[int] | NDArray[np.int64], blocks: int) -> Windows:
        """Windows that reach `blocks` action blocks ahead and as far back as the model looks.

        Raises:
            DatasetError: if no episode is long enough.
        """
        config = self.model.config
        frames = blocks + (config.context if blocks else 1)
        with progress_bar("Decoding") as report:
            return Windows(
                self.dataset,
                episodes,
                frames,
                config.frameskip,
                config.image_size,
                progress=report,
            )

    def held_out(self, blocks: int, count: int, seed: int) -> Latents:
        """Latents of held-out windows, imagined so many blocks ahead; see `imagine`."""
        windows = self.windows(self.split.held_out, blocks)
        return self._imagine(windows, blocks, count, seed)

    def to_fit(self, seed: int, blocks: int = 0, count: int = FIT_FRAMES) -> Latents:
        """Latents to fit probes on, of single frames or imagined further ahead; see `imagine`.

        More frames than usual come from as many more episodes.
        """
        order = np.random.default_rng(seed).permutation(self.split.fit)
        episodes = FIT_EPISODES * max(1, -(-count // FIT_FRAMES))
        windows = self.windows(np.sort(order[:episodes]), blocks)
        return self._imagine(windows, blocks, count, seed)

    def _imagine(self, windows: Windows, blocks: int, count: int, seed: int) -> Latents:
        with progress_bar("Imagining", "windows") as report:
            return imagine(
                self.model, windows, blocks=blocks, count=count, seed=seed, progress=report
            )


def open_subject(
    checkpoint: str | Path, data: str | Path | Dataset, device: str = "auto"
) -> EvalContext:
    """Load a checkpoint and open a dataset that it can be shown.

    Args:
        checkpoint: folder of a checkpoint or of a training run, or the name of a shipped one.
        data: dataset, or its folder.
        device: where the model runs; `auto` for a GPU where there is one.

    Raises:
        CheckpointError: if there is no such checkpoint or it is damaged.
        DatasetError: if there is no such dataset, or it is of another robot than the model.
    """
    dataset = data if isinstance(data, Dataset) else open_dataset(data)
    folder = find_checkpoint(checkpoint)
    loaded = load_checkpoint(folder, device)
    config = loaded.config
    if config.action_dim != dataset.action_dim or config.proprio_dim not in {
        0,
        dataset.proprio_dim,
    }:
        raise DatasetError(
            f"{dataset.path} has actions of {dataset.action_dim} and proprio of "
            f"{dataset.proprio_dim} numbers, the model takes {config.action_dim} and "
            f"{config.proprio_dim or 'no'}; give a dataset of the robot it was trained for"
        )
    return EvalContext(
        model=loaded.model,
        dataset=dataset,
        split=split_for(loaded.card, dataset),
        checkpoint={"path": str(folder), "sha256": loaded.sha256},
    )


@dataclass(frozen=True)
class Latents:
    """Latents of N windows, on the CPU. Frame 0 is the present, frame b is b action blocks later.

    Raises:
        ValueError: if the fields disagree in windows, blocks or the shape of a latent.
    """

    encoded: Tensor
    """(N, H+1, P, D) what the encoder makes of the recorded frames."""
    imagined: Tensor
    """(N, H, P, D) open-loop predictions of frames 1 to H from the recorded actions."""
    labels: dict[str, Tensor]
    """name -> (N, H+1, d) simulator truth as `state.*` and proprio as `proprio.*`, SI units."""
    episodes: Tensor
    """(N,) episode of each window."""

    def __post_init__(self) -> None:
        count, frames, *latent = self.encoded.shape
        wanted = (count, frames - 1, *latent)
        if tuple(self.imagined.shape) != wanted or self.encoded.ndim != 4:
            raise ValueError(
                f"encoded {tuple(self.encoded.shape)} needs imagined {wanted}, got "
                f"{tuple(self.imagined.shape)}"
            )
        if self.episodes.shape != (count,):
            raise ValueError(f"{count} windows need ({count},) episodes, got {self.episodes.shape}")
        for name, values in self.labels.items():
            if values.ndim != 3 or values.shape[:2] != (count, frames):
                raise ValueError(
                    f"label {name!r} must be ({count}, {frames}, d), got {tuple(values.shape)}"
                )

    @property
    def blocks(self) -> int:
        """H, action blocks imagined."""
        return self.imagined.shape[1]


@torch.no_grad()
def imagine(
    model: WorldModel,
    windows: Windows,
    *,
    blocks: int,
    count: int = 1000,
    seed: int = 0,
    memory_limit: int = MEMORY_LIMIT,
    progress: Progress = silent,
) -> Latents:
    """Encode windows of a dataset and imagine them from their present frame on.

    One pass serves every diagnostic: `probe`, `collapse` and `drift` are functions
    of its result.

    Args:
        model: in evaluation mode, on any device.
        windows: of T >= `blocks` + 1 frames, `blocks` of them after the present; the frames before
            the present are history for models that look back. Models are compared on the same
            predictions if T and `seed` are the same.
        blocks: H, action blocks to imagine; 0 only encodes.
        count: windows to take, at random and without repetition; all there are if fewer.
        seed: of the choice.
        memory_limit: bytes of latents to keep at most; fewer windows are taken if need be.
        progress: told how many windows are done.

    Raises:
        ValueError: if the windows are too short or cut at another frameskip than the model's.
        UserError: if the model encodes or predicts something that is not a number.
    """
    size = 4 * (2 * blocks + 1) * model.patches * model.latent_dim
    chosen = _choose(len(windows), min(count, memory_limit // size), seed)
    step = max(1, FRAMES_AT_ONCE // (blocks + 1))
    parts = []
    for start in range(0, len(chosen), step):
        parts.append(_imagine_batch(model, windows, chosen[start : start + step], blocks))
        progress(min(start + step, len(chosen)), len(chosen))
    return Latents(
        encoded=torch.cat([part.encoded for part in parts]),
        imagined=torch.cat([part.imagined for part in parts]),
        labels={name: torch.cat([part.labels[name] for part in parts]) for name in parts[0].labels},
        episodes=torch.cat([part.episodes for part in parts]),
    )


def _choose(available: int, count: int, seed: int) -> list[int]:
    """Indices of the windows to look at, at least one, in the order of the dataset."""
    order = np.random.default_rng(seed).permutation(available)
    return sorted(order[: max(1, count)].tolist())


def _imagine_batch(model: WorldModel, windows: Windows, indices: list[int], blocks: int) -> Latents:
    """The latents of one batch of windows."""
    clip = windows.__getitems__(indices)
    now = clip.length - 1 - blocks
    if now < 0:
        raise ValueError(
            f"{blocks} blocks need windows of at least {blocks + 1} frames, got {clip.length}"
        )
    if clip.length > 1 and clip.frameskip != model.config.frameskip:
        raise ValueError(
            f"the model takes blocks of {model.config.frameskip} control steps, the windows are "
            f"cut at {clip.frameskip}"
        )
    device = next(model.buffers()).device
    there = clip.to(device)
    z = model.encode(there.frames)
    imagined = z[:, :0]
    if blocks:
        past = there.actions[:, :now] if now else None
        plans = there.actions[:, None, now:]
        context, known = z[:, : now + 1], there.proprio[:, : now + 1]
        imagined = model.rollout(context, plans, past, known)[:, 0]
    labels = {f"state.{name}": values for name, values in windows.truth(indices).items()}
    names = windows.dataset.provenance.proprio_names
    labels |= {f"proprio.{n}": clip.proprio[..., i : i + 1] for i, n in enumerate(names)}
    if not (z.isfinite().all() and imagined.isfinite().all()):
        raise UserError(
            "the model makes latents that are not numbers; its training diverged: train it again "
            "with a smaller --optimiser.lr"
        )
    return Latents(
        encoded=z[:, now:].float().cpu(),
        imagined=imagined.float().cpu(),
        labels={name: values[:, now:].float() for name, values in labels.items()},
        episodes=torch.tensor([windows.locate(index)[0] for index in indices]),
    )


def draw_clips(model: WorldModel, windows: Windows, count: int, seed: int) -> Clip:
    """Windows drawn without replacement, as one batch on the model's device.

    Args:
        model: that will look at them.
        windows: to draw from.
        count: how many; all there are if there are fewer.
        seed: of the choice.

    Returns:
        A clip with one batch axis.
    """
    order = np.random.default_rng(seed).permutation(len(windows))
    return windows.__getitems__(np.sort(order[:count]).tolist()).to(device_of(model))


def device_of(model: WorldModel) -> torch.device:
    """Where a model's weights are."""
    return next(model.parameters()).device


def encode_frames(model: WorldModel, frames: Tensor) -> Tensor:
    """Latents of many frames, some at a time.

    Args:
        model: that encodes.
        frames: (*B, C, H, W) uint8, on any device.

    Returns:
        (*B, P, D) float32 latents on the model's device.
    """
    flat = frames.flatten(0, -4)
    parts = [
        model.encode(part[:, None].to(device_of(model)))[:, 0]
        for part in torch.split(flat, ENCODED_AT_ONCE)
    ]
    z = torch.cat(parts)
    return z.reshape(*frames.shape[:-3], *z.shape[1:])


def imagine_plans(model: WorldModel, z: Tensor, clip: Clip, now: int, plans: Tensor) -> Tensor:
    """Roll plans out from frame `now` of each clip, with the history the model looks back at.

    Args:
        model: that imagines.
        z: (*B, T, P, D) latents of the clip's frames.
        clip: batch of clips; those after `now` are not looked at.
        now: frame the plans begin at.
        plans: (*B, N, H, K, A) candidate plans.

    Returns:
        (*B, N, H, P, D) imagined latents after each block.
    """
    past = clip.actions[..., :now, :, :] if now else None
    proprio = clip.proprio[..., : now + 1, :] if model.config.proprio_dim else None
    return model.rollout(z[..., : now + 1, :, :], plans, past, proprio)


def compact(values: NDArray[np.float64]) -> list[Any]:
    """Nested lists of numbers rounded to five significant digits: what a figure needs of them."""
    exponents = np.floor(np.log10(np.maximum(np.abs(values), 1e-30)))
    scale = 10.0 ** (4 - exponents)
    rounded: list[Any] = (np.round(values * scale) / scale).tolist()
    return rounded


def require_frames(windows: Windows, wanted: int) -> None:
    """Refuse windows that are too short for a diagnostic.

    Raises:
        UserError: naming how many frames a window needs.
    """
    got = len(windows[0].frames)
    if got < wanted:
        raise UserError(f"this needs windows of {wanted} frames, got {got}; cut longer windows")


def report_values(report: object) -> dict[str, Any]:
    """A report as JSON values: plain numbers, None for one that is not finite.

    Args:
        report: a dataclass of numbers, strings, tuples, mappings and further dataclasses.

    >>> report_values(complex)
    Traceback (most recent call last):
    TypeError: a report is a dataclass, got <class 'complex'>
    """
    if not is_dataclass(report) or isinstance(report, type):
        raise TypeError(f"a report is a dataclass, got {report!r}")
    values: dict[str, Any] = _plain(asdict(report))
    return values


def _plain(value: object) -> Any:  # noqa: ANN401  (JSON has no type of its own)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


def write_report(
    out: Path, name: str, values: Mapping[str, Any], figure: Figure
) -> tuple[Path, Path]:
    """Write `OUT/NAME.json` and `OUT/NAME.png`, replacing those of an earlier look.

    Args:
        out: folder, made if it is missing.
        name: of the diagnostic.
        values: JSON values; version and commit are added.
        figure: to draw.

    Returns:
        The two files.

    Raises:
        OutputError: if `out` is a file.
        OSError: if they cannot be written.
    """
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file; give a folder to write {name}.json and .png into")
    drawing = io.BytesIO()
    figure.savefig(drawing, format="png", dpi=DOTS_PER_INCH)
    picture, numbers = out / f"{name}.png", out / f"{name}.json"
    replace_file(picture, drawing.getvalue())
    replace_json(numbers, {"goalsight": __version__, "commit": git_commit(), **values})
    return numbers, picture


@mpl.rc_context(STYLE)
def panels(columns: int, *, width: float = 4.2, height: float = 3.2) -> tuple[Figure, list[Axes]]:
    """A white figure with panels side by side, each so many inches wide and high."""
    figure = Figure(figsize=(width * columns, height), layout="constrained")
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def sheet(rows: int, columns: int, width: float, height: float) -> tuple[Figure, NDArray[Any]]:
    """Panels for pictures: no ticks, no grid."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes: NDArray[Any] = figure.subplots(rows, columns, squeeze=False)
    for place in axes.flat:
        bare(place)
    return figure, axes


def bare(axes: Axes) -> None:
    """Take ticks, grid and frame away, for a picture."""
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
