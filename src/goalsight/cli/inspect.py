"""`goalsight inspect`: look into a world model, with a figure and JSON for every question.

Each command shows a checkpoint episodes that it did not train on and writes OUT/NAME.json and
OUT/NAME.png.
"""

from __future__ import annotations

import json as jsonlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from goalsight.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from goalsight.data import Windows
    from goalsight.diagnostics import EvalContext
    from goalsight.diagnostics.decode import DecoderConfig
    from goalsight.models.decoder import Decoder


def decode(
    *,
    checkpoint: str,
    data: Path,
    out: Path,
    blocks: int = 10,
    windows: int = 200,
    steps: int = 2000,
    seed: int = 0,
    device: str = "auto",
    json: bool = False,
) -> None:
    """Show what a model imagines as pictures, by a decoder trained on its frozen latents.

    For looking only: the model learns nothing from the decoder, which is kept in
    OUT/decoder.safetensors and used again. A model of pixels needs none.

    Args:
        checkpoint: Folder of a checkpoint or of a training run, or the name of a shipped one.
        data: Folder of the dataset.
        out: Folder for decode.json, decode.png and decoder.safetensors.
        blocks: Action blocks to imagine ahead.
        windows: Held-out windows to measure; all there are if fewer.
        steps: Training steps of the decoder; 2000 take about two minutes on a processor.
        seed: Of the choice of windows and of the decoder.
        device: PyTorch device the model runs on; auto is a GPU where there is one.
        json: Print JSON for a machine to read.

    Example:
        goalsight inspect decode --checkpoint runs/push --data runs/push-data --out runs/look
    """
    from goalsight.cli.inspect import check_counts, finish
    from goalsight.diagnostics import open_subject
    from goalsight.diagnostics.decode import (
        DecoderConfig,
        compare,
        draw_decode,
        drawer,
        is_generative,
    )
    from goalsight.diagnostics.decode import decode as run

    check_counts(blocks=blocks, windows=windows, steps=steps)
    subject = open_subject(checkpoint, data, device)
    decoder = None
    if not is_generative(subject.model):
        decoder = _decoder(subject, out, DecoderConfig(steps=steps, seed=seed))
    shown = subject.windows(subject.split.held_out, blocks)
    draw = drawer(subject.model, decoder)
    rollouts = run(subject.model, shown, draw, blocks=blocks, count=windows, seed=seed)
    report = compare(rollouts)
    finish(subject, out, "decode", report, draw_decode(rollouts, report), json=json)


def _decoder(subject: EvalContext, out: Path, config: DecoderConfig) -> Decoder:
    """The decoder that is in `out`, or a new one that is put there."""
    from goalsight.diagnostics.context import FIT_EPISODES
    from goalsight.diagnostics.decode import fit_decoder
    from goalsight.models.decoder import DECODER, load_decoder, save_decoder
    from goalsight.progress import progress_bar

    path, identity = out / DECODER, str(subject.checkpoint["sha256"])
    if path.is_file():
        return load_decoder(path, identity).to(next(subject.model.buffers()).device)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{out} is a file; give --out a folder") from None
    episodes = subject.split.fit[:: -(-len(subject.split.fit) // FIT_EPISODES)]
    windows = subject.windows(episodes, 0)
    with progress_bar("Training the decoder", "steps") as progress:
        decoder = fit_decoder(subject.model, windows, config, progress=progress)
    save_decoder(path, decoder, identity)
    return decoder


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


def probe(
    *,
    checkpoint: str,
    data: Path,
    out: Path,
    blocks: int = 5,
    windows: int = 1000,
    frames: int = 4000,
    seed: int = 0,
    device: str = "auto",
    json: bool = False,
) -> None:
    """Read simulator truth and proprio out of latents, encoded and imagined.

    Linear and MLP probes are fitted on encoded frames of training episodes and judged on held-out
    ones: R2 and error in SI units for every variable, from the encoder and from predictions 1 to
    BLOCKS ahead. Labels are used by the probes alone; the model stays as it is.

    Args:
        checkpoint: Folder of a checkpoint or of a training run, or the name of a shipped one.
        data: Folder of the dataset.
        out: Folder for probe.json and probe.png.
        blocks: Action blocks to imagine ahead.
        windows: Held-out windows to look at; all there are if fewer.
        frames: Training frames to fit the probes on; an error that shrinks with more of them was
            the probe's, not the model's.
        seed: Of the choice of windows and of the MLP probe.
        device: PyTorch device the model runs on; auto is a GPU where there is one.
        json: Print JSON for a machine to read.

    Example:
        goalsight inspect probe --checkpoint runs/push --data runs/push-data --out runs/look
    """
    from goalsight.diagnostics import draw_probe, open_subject
    from goalsight.diagnostics import probe as run

    check_counts(blocks=blocks, windows=windows, frames=frames)
    subject = open_subject(checkpoint, data, device)
    fit, held_out = subject.to_fit(seed, count=frames), subject.held_out(blocks, windows, seed)
    report = run(fit, held_out, seed=seed)
    finish(subject, out, "probe", report, draw_probe(report), json=json)


def collapse(
    *,
    checkpoint: str,
    data: Path,
    out: Path,
    blocks: int = 5,
    windows: int = 1000,
    seed: int = 0,
    device: str = "auto",
    json: bool = False,
) -> None:
    """Say how much of the latent space is used: std per dimension, spectrum, effective rank.

    Args:
        checkpoint: Folder of a checkpoint or of a training run, or the name of a shipped one.
        data: Folder of the dataset.
        out: Folder for collapse.json and collapse.png.
        blocks: Action blocks to imagine ahead; imagined latents are measured at the last.
        windows: Held-out windows to look at; all there are if fewer.
        seed: Of the choice of windows.
        device: PyTorch device the model runs on; auto is a GPU where there is one.
        json: Print JSON for a machine to read.

    Example:
        goalsight inspect collapse --checkpoint runs/push --data runs/push-data --out runs/look
    """
    from goalsight.diagnostics import collapse as run
    from goalsight.diagnostics import draw_collapse, open_subject

    check_counts(blocks=blocks, windows=windows)
    subject = open_subject(checkpoint, data, device)
    report = run(subject.held_out(blocks, windows, seed))
    finish(subject, out, "collapse", report, draw_collapse(report), json=json)


def drift(
    *,
    checkpoint: str,
    data: Path,
    out: Path,
    blocks: int = 10,
    windows: int = 1000,
    seed: int = 0,
    device: str = "auto",
    json: bool = False,
) -> None:
    """Measure how far imagination strays, 1 to BLOCKS action blocks ahead, open loop.

    The error is in units of the latents' variance and stands beside two that need no model: the
    present frame again (copy-last) and the mean latent.

    Args:
        checkpoint: Folder of a checkpoint or of a training run, or the name of a shipped one.
        data: Folder of the dataset.
        out: Folder for drift.json and drift.png.
        blocks: Action blocks to imagine ahead.
        windows: Held-out windows to look at; all there are if fewer.
        seed: Of the choice of windows.
        device: PyTorch device the model runs on; auto is a GPU where there is one.
        json: Print JSON for a machine to read.

    Example:
        goalsight inspect drift --checkpoint runs/push --data runs/push-data --out runs/look
    """
    from goalsight.diagnostics import draw_drift, open_subject
    from goalsight.diagnostics import drift as run

    check_counts(blocks=blocks, windows=windows)
    subject = open_subject(checkpoint, data, device)
    report = run(subject.held_out(blocks, windows, seed))
    finish(subject, out, "drift", report, draw_drift(report), json=json)


class Report(Protocol):
    """What every diagnostic gives back: a dataclass of plain values."""

    def summary(self) -> str:
        """A few lines for a person."""


def check_counts(**counts: int) -> None:
    """Refuse what must be at least 1, by the name of its flag.

    Raises:
        UserError: for the first that is not.
    """
    for name, value in counts.items():
        if value < 1:
            raise UserError(f"--{name.replace('_', '-')} must be at least 1, got {value}")


def finish(
    subject: EvalContext, out: Path, name: str, report: Report, figure: Figure, *, json: bool
) -> None:
    """Write the two files of a diagnostic and print one of them.

    Args:
        subject: what was looked at.
        out: folder for the files.
        name: of the diagnostic.
        report: dataclass with the numbers.
        figure: of them.
        json: print the numbers instead of the summary.
    """
    from goalsight.diagnostics import report_values, write_report

    values = about(subject) | report_values(report)
    numbers, picture = write_report(out, name, values, figure)
    if json:
        print(jsonlib.dumps(values, indent=2))
        return
    print(report.summary())
    print(f"judged on {len(subject.split.held_out)} episodes: {subject.split.note}")
    print(f"{numbers}  {picture}")


def about(subject: EvalContext) -> dict[str, Any]:
    """What was looked at, as JSON values that head every report."""
    return {
        "checkpoint": dict(subject.checkpoint),
        "dataset": {
            "path": str(subject.dataset.path),
            "fingerprint": subject.dataset.fingerprint(),
            "held_out_episodes": len(subject.split.held_out),
            "held_out": subject.split.note,
        },
    }
