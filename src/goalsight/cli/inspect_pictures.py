"""`goalsight inspect` similarity, energy and surprise: questions shown as pictures.

Each writes OUT/NAME.json and OUT/NAME.png, as the other members of the group do.
"""

from __future__ import annotations

import json as jsonlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from goalsight.cli.inspect import about, check_counts
from goalsight.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from goalsight.data import Windows
    from goalsight.diagnostics import EvalContext


def similarity(
    *,
    checkpoint: str,
    data: Path,
    out: Path,
    episode: int | None = None,
    frames: int = 6,
    patch: str | None = None,
    device: str = "auto",
    json: bool = False,
) -> None:
    """Show which patches look to the encoder like a given one, in some frames of an episode.

    And the principal components of the patches as colours. For models with a token grid.

    Args:
        checkpoint: Folder of a checkpoint or of a training run, or the name of a shipped one.
        data: Folder of the dataset.
        out: Folder for similarity.json and similarity.png.
        episode: Which episode; the first held-out one by default.
        frames: Frames of it, evenly spaced.
        patch: Row and column of a patch in the first frame, such as 2,5; by default the one
            that differs most from the empty scene.
        device: PyTorch device the model runs on; auto is a GPU where there is one.
        json: Print JSON for a machine to read.

    Example:
        goalsight inspect similarity --checkpoint runs/push --data runs/push-data --out runs/look
    """
    from goalsight.diagnostics import draw_similarity, open_subject
    from goalsight.diagnostics import similarity as run

    check_counts(frames=frames)
    place = None if patch is None else _row_and_column(patch)
    subject = open_subject(checkpoint, data, device)
    which = int(subject.split.held_out[0]) if episode is None else episode
    report = run(subject.model, subject.dataset, which, frames=frames, patch=place)
    _finish(about(subject), out, "similarity", report, draw_similarity(report), json=json)


def energy(
    *,
    checkpoint: str,
    data: Path,
    out: Path,
    axes: str | None = None,
    blocks: int = 1,
    windows: int = 64,
    grid: int = 15,
    seed: int = 0,
    device: str = "auto",
    json: bool = False,
) -> None:
    """Draw the energy landscape over two action axes round the recorded action.

    The goal is the frame that was really recorded BLOCKS later: a model that can be planned with
    has one valley, with the recorded action in it.

    Args:
        checkpoint: Folder of a checkpoint or of a training run, or the name of a shipped one.
        data: Folder of the dataset.
        out: Folder for energy.json and energy.png.
        axes: Names of two action axes, such as dx,gripper; the first two by default.
        blocks: Action blocks to imagine ahead.
        windows: Recorded moments to look at; all there are if fewer.
        grid: Values an axis is set to, from -1 to 1.
        seed: Of the choice of moments.
        device: PyTorch device the model runs on; auto is a GPU where there is one.
        json: Print JSON for a machine to read.

    Example:
        goalsight inspect energy --checkpoint runs/push --data runs/push-data --out runs/look
    """
    from goalsight.diagnostics import draw_landscape, energy_landscape, open_subject

    check_counts(blocks=blocks, windows=windows)
    names = _names(axes)
    if names is not None and len(names) != 2:
        raise UserError(f"--axes takes two action axes, such as dx,dy; got {axes!r}")
    subject = open_subject(checkpoint, data, device)
    report = energy_landscape(
        subject.model,
        _held_out(subject, blocks),
        axes=names and (names[0], names[1]),
        horizon=blocks,
        count=windows,
        grid=grid,
        seed=seed,
    )
    _finish(about(subject), out, "energy", report, draw_landscape(report), json=json)


def surprise(
    *,
    checkpoint: str,
    out: Path,
    violations: str = "teleported,recoloured,frozen",
    pairs: int = 100,
    seed: int = 0,
    device: str = "auto",
    json: bool = False,
) -> None:
    """Test whether the model is surprised by what cannot happen: violation of expectation.

    Staged in the simulator of Goalsight/Push-v0: the cube is suddenly elsewhere, has another
    colour, or does not move though it is pushed. Every such clip stands beside a matched one in
    which nothing of the kind happens; AUROC says how well surprise tells them apart, .5 is chance.
    Below it the model expects the opposite: one that has not learnt that a push moves the cube is
    less surprised by a frozen cube than by a pushed one.

    Args:
        checkpoint: Folder of a checkpoint or of a training run, or the name of a shipped one.
        out: Folder for surprise.json and surprise.png.
        violations: Which to stage, separated by commas.
        pairs: Matched pairs of each.
        seed: Of everything random.
        device: PyTorch device the model runs on; auto is a GPU where there is one.
        json: Print JSON for a machine to read.

    Example:
        goalsight inspect surprise --checkpoint runs/push --out runs/look
    """
    from goalsight.checkpoint import find_checkpoint, load_checkpoint
    from goalsight.diagnostics import draw_surprise
    from goalsight.diagnostics import surprise as run
    from goalsight.diagnostics.surprise import check_robot
    from goalsight.diagnostics.voe_scenes import VIOLATIONS, stage
    from goalsight_envs.push import PushEnv

    check_counts(pairs=pairs)
    wanted = _names(violations) or ()
    chosen = [name for name in VIOLATIONS if name in wanted]
    if not wanted or len(chosen) != len(wanted):
        raise UserError(f"--violations are {', '.join(VIOLATIONS)}; got {violations!r}")
    folder = find_checkpoint(checkpoint)
    loaded = load_checkpoint(folder, device)
    config = loaded.config
    check_robot(loaded.model, len(PushEnv.action_names), len(PushEnv.proprio_names))
    events = [
        stage(
            name,
            pairs=pairs,
            size=config.image_size,
            frameskip=config.frameskip,
            context=config.context,
            seed=seed,
        )
        for name in chosen
    ]
    report = run(loaded.model, events, seed=seed)
    head = {"checkpoint": {"path": str(folder), "sha256": loaded.sha256}, "seed": seed}
    _finish(head, out, "surprise", report, draw_surprise(report), json=json)


class _Report(Protocol):
    """What these diagnostics return; arrays and pictures do not belong on a terminal."""

    def summary(self) -> str:
        """A few lines for a person."""

    def numbers(self) -> dict[str, Any]:
        """JSON values that fit on a screen."""

    def to_json(self) -> dict[str, Any]:
        """All JSON values."""


def _finish(
    head: Mapping[str, Any], out: Path, name: str, report: _Report, figure: Figure, *, json: bool
) -> None:
    """Write the two files and print the numbers, or a summary for a person."""
    from goalsight.diagnostics import write_report

    numbers, picture = write_report(out, name, {**head, **report.to_json()}, figure)
    if json:
        print(jsonlib.dumps({**head, **report.numbers()}, indent=2))
        return
    print(report.summary())
    if held_out := head.get("dataset"):
        print(f"judged on {held_out['held_out_episodes']} episodes: {held_out['held_out']}")
    print(f"{numbers}  {picture}")


def _held_out(subject: EvalContext, blocks: int) -> Windows:
    return subject.windows(subject.split.held_out, blocks)


def _names(text: str | None) -> tuple[str, ...] | None:
    """Names separated by commas."""
    if text is None:
        return None
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _row_and_column(text: str) -> tuple[int, int]:
    try:
        row, column = (int(number) for number in text.split(","))
    except ValueError:
        raise UserError(f"--patch takes row and column, such as 2,5; got {text!r}") from None
    return row, column
