"""`goalsight inspect decode`: real, decoded and imagined frames side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from goalsight.errors import UserError

if TYPE_CHECKING:
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
