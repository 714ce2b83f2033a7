"""What the encoder takes for the same thing: patch similarity, for models with a token grid.

A token grid can be asked which other patches look like a given one, as DINO's feature maps are
(Caron et al. 2021, arXiv:2104.14294), and its principal components shown as colours (DINOv2, Oquab
et al. 2023, arXiv:2304.07193).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from torch import Tensor

from goalsight.data import Dataset
from goalsight.data.frames import read_frames
from goalsight.diagnostics.context import MARK, STYLE, compact, encode_frames, sheet
from goalsight.errors import UserError
from goalsight.models import WorldModel
from goalsight.pictures import resize

Pictures = NDArray[np.uint8]
Array = NDArray[np.float64]
BACKGROUND_FRAMES = 128
"""Frames whose median is taken for the empty scene."""


@dataclass(frozen=True, kw_only=True)
class SimilarityReport:
    """What the encoder makes of F frames of one episode."""

    episode: int
    """Which episode."""
    steps: tuple[int, ...]
    """(F,) control steps of the frames."""
    pictures: Pictures
    """(F, H, W, 3) the frames."""
    patch: tuple[int, int]
    """Row and column of the patch that all are compared with, in the first frame."""
    maps: Array
    """(F, h, w) cosine of every patch with the given one, -1 to 1."""
    colours: Array
    """(F, h, w, 3) first three principal components of the patches as colours in [0, 1]."""
    explained: tuple[float, ...]
    """Share of the variance that each of those components explains."""

    def summary(self) -> str:
        """What was found, in a few lines for a person."""
        shares = ", ".join(f"{100 * share:.0f} %" for share in self.explained)
        components = f"principal components explain {shares} of the variance"
        flat = self.maps.reshape(len(self.maps), -1)
        return (
            f"patch {self.patch} of the first frame: median similarity {np.median(flat):.2f}, "
            f"highest in the other frames {flat[1:].max(1).mean():.2f}\n{components}"
        )

    def numbers(self) -> dict[str, Any]:
        """What was found, as JSON values."""
        flat = self.maps.reshape(len(self.maps), -1)
        peaks = [np.unravel_index(i, self.maps.shape[1:]) for i in flat.argmax(1)]
        return {
            "episode": self.episode,
            "steps": list(self.steps),
            "grid": list(self.maps.shape[1:]),
            "patch": list(self.patch),
            "peaks": [[int(row), int(column)] for row, column in peaks],
            "highest": flat.max(1).tolist(),
            "median": np.median(flat, axis=1).tolist(),
            "explained": list(self.explained),
        }

    def to_json(self) -> dict[str, Any]:
        """`numbers`, the maps and the colours; pictures left out."""
        maps = {"maps": compact(self.maps), "colours": compact(self.colours)}
        return self.numbers() | maps


@torch.inference_mode()
def similarity(
    model: WorldModel,
    dataset: Dataset,
    episode: int,
    *,
    frames: int = 6,
    patch: tuple[int, int] | None = None,
) -> SimilarityReport:
    """Look at some frames of an episode through the encoder.

    Args:
        model: whose encoder.
        dataset: where the episode is.
        episode: which.
        frames: looked at, evenly spaced, first and last included.
        patch: row and column of the patch in the first frame that all patches are compared with;
            by default the one that differs most from the empty scene.

    Raises:
        UserError: if there is no such episode or patch, the tokens form no square grid, or the
            model has one latent a picture and no patches.
        DatasetError: if the frames cannot be read.
    """
    if not 0 <= episode < len(dataset.episodes) or frames < 2:
        raise UserError(
            f"need 2 frames or more of an episode from 0 to {len(dataset.episodes) - 1}, got "
            f"{frames} frames of episode {episode}"
        )
    if model.patches == 1:
        raise UserError(
            "this model has one latent a picture and no patches to compare; "
            "`goalsight inspect probe` says what the latent knows"
        )
    side = grid_side(model.patches)
    size = model.config.image_size
    recorded = _frames_of(dataset, episode, size)
    steps = np.linspace(0, len(recorded) - 1, min(frames, len(recorded))).round().astype(int)
    chosen = recorded[steps]
    z = encode_frames(model, chosen)
    patch = patch or _salient(chosen[0], _background(dataset, size), side)
    colours, explained = principal_colours(rearrange(z, "f (h w) d -> f h w d", h=side))
    return SimilarityReport(
        episode=episode,
        steps=tuple(steps.tolist()),
        pictures=np.ascontiguousarray(chosen.movedim(1, -1).numpy()),
        patch=patch,
        maps=_array(patch_similarity(z, patch)),
        colours=_array(colours),
        explained=explained,
    )


def grid_side(patches: int) -> int:
    """Patches along one side of a square token grid.

    Raises:
        UserError: if so many tokens form no square.
    """
    side = math.isqrt(patches)
    if side * side != patches:
        raise UserError(
            f"{patches} tokens form no square grid of patches; this diagnostic needs one"
        )
    return side


def patch_similarity(z: Tensor, patch: tuple[int, int]) -> Tensor:
    """Cosine of every patch of every frame with one patch of the first frame.

    Args:
        z: (F, P, D) token grids, row by row.
        patch: row and column in the first frame.

    Returns:
        (F, h, w) in [-1, 1]; 1 at the patch itself.

    Raises:
        UserError: if there is no such patch.
    """
    side = grid_side(z.shape[1])
    row, column = patch
    if not (0 <= row < side and 0 <= column < side):
        raise UserError(f"no patch ({row}, {column}): rows and columns go from 0 to {side - 1}")
    query = z[0, row * side + column]
    cosine = F.cosine_similarity(z, query.expand_as(z), dim=-1)
    return rearrange(cosine, "f (h w) -> f h w", h=side)


def principal_colours(z: Tensor) -> tuple[Tensor, tuple[float, ...]]:
    """The first three principal components as red, green and blue.

    Args:
        z: (*S, D) vectors; the components are those of all of them together.

    Returns:
        (*S, 3) colours in [0, 1], each stretched from the 2nd to the 98th percentile, and the share
        of the variance that each component explains.
    """
    flat = z.reshape(-1, z.shape[-1]).double()
    centred = flat - flat.mean(0)
    _, singular, directions = torch.linalg.svd(centred, full_matrices=False)
    # A component's sign is arbitrary; fixed, so that the same model gives the same colours.
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    scores = F.pad(centred @ (directions * largest.sign()).T, (0, max(0, 3 - len(singular))))
    scores = scores[:, :3]
    bounds = torch.quantile(scores, torch.tensor([0.02, 0.98], dtype=scores.dtype).to(scores), 0)
    spread = (bounds[1] - bounds[0]).clamp_min(1e-12)
    colours = ((scores - bounds[0]) / spread).clamp(0, 1)
    variance = singular.square() / singular.square().sum().clamp_min(1e-12)
    return colours.reshape(*z.shape[:-1], 3), tuple(variance[:3].tolist())


def _salient(picture: Tensor, background: Tensor, side: int) -> tuple[int, int]:
    """Row and column of the patch in which a picture differs most from the empty scene.

    A matter of pixels alone, so that every model of one grid is asked about the same patch.
    """
    apart = (picture.float() - background.float()).square().sum(0)
    cells = F.adaptive_avg_pool2d(apart[None, None], side).flatten()
    index = int(cells.argmax())
    return index // side, index % side


def _background(dataset: Dataset, size: int) -> Tensor:
    """(3, H, W) median of frames from all over the dataset: the scene without what moves."""
    count = len(dataset.episodes)
    episodes = np.unique(np.linspace(0, count - 1, min(count, 32)).astype(int)).tolist()
    each = -(-BACKGROUND_FRAMES // len(episodes))
    parts = []
    for episode in episodes:
        frames = read_frames(dataset, episode)
        steps = np.linspace(0, len(frames) - 1, min(each, len(frames))).astype(int)
        parts.append(torch.from_numpy(np.array(frames[steps])))
    return resize(torch.cat(parts), size).median(0).values.movedim(-1, 0)


def _frames_of(dataset: Dataset, episode: int, size: int) -> Tensor:
    """(T, 3, H, W) frames of an episode at the model's image size."""
    frames = torch.from_numpy(np.array(read_frames(dataset, episode)))
    return resize(frames, size).movedim(-1, 1)


def _array(tensor: Tensor) -> Array:
    return tensor.double().cpu().numpy()


@mpl.rc_context(STYLE)
def draw_similarity(report: SimilarityReport) -> Figure:
    """The frames, the map over each of them, and the principal components as colours."""
    columns = len(report.pictures)
    figure, axes = sheet(3, columns, 1.75 * columns, 5.9)
    limits = (float(report.maps.min()), float(report.maps.max()))
    for i, (picture, values, colours) in enumerate(
        zip(report.pictures, report.maps, report.colours, strict=True)
    ):
        axes[0, i].imshow(picture)
        axes[0, i].set_title(f"step {report.steps[i]}")
        shown = axes[1, i].imshow(
            values, cmap="inferno", vmin=limits[0], vmax=limits[1], interpolation="nearest"
        )
        axes[2, i].imshow(colours, interpolation="nearest")
    _mark_patch(axes[0, 0], report.patch, report.pictures.shape[1] / report.maps.shape[1])
    figure.colorbar(shown, ax=axes[1, :].tolist(), fraction=0.02, pad=0.01)
    shares = " + ".join(f"{100 * share:.0f}" for share in report.explained)
    for row, name in enumerate(("frame", "similarity", "colours of the patches")):
        axes[row, 0].set_ylabel(name)
    figure.suptitle(
        f"Cosine with patch {report.patch} of the first frame. Colours: principal components, "
        f"{shares} % of the variance",
        fontsize=9,
    )
    return figure


def _mark_patch(axes: Axes, patch: tuple[int, int], side: float) -> None:
    corner = (patch[1] * side - 0.5, patch[0] * side - 0.5)
    axes.add_patch(Rectangle(corner, side, side, fill=False, edgecolor=MARK, linewidth=2))
