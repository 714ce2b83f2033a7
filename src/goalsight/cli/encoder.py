"""`goalsight encoder import`: published V-JEPA 2 weights as a checkpoint of ours."""

from __future__ import annotations

from pathlib import Path


def import_(name: str, *, out: Path, download: bool = False) -> int:
    """Turn a published V-JEPA 2 encoder into a checkpoint that world models are trained on.

    It must be in the format of Hugging Face transformers with safetensors; a fine-tuned video
    classifier will do, its encoder is taken. Nothing is fetched unless --download is given.

    Args:
        name: A folder, or an id on the hub such as facebook/vjepa2-vitl-fpc64-256.
        out: Folder for the checkpoint.
        download: Fetch it from the hub if it is not on this machine yet.

    Example:
        goalsight encoder import facebook/vjepa2-vitl-fpc64-256 --out runs/vjepa2 --download
        goalsight train --config vjepa-ac --encoder-from runs/vjepa2 --data runs/push-data --out ...
    """
    from goalsight.checkpoint import WEIGHTS, save_checkpoint
    from goalsight.models.hub import load_vjepa2

    encoder = load_vjepa2(name, download=download)
    save_checkpoint(out, encoder, {"source": name, "labels_used": [], "finished": True})
    config = encoder.config
    parameters = sum(parameter.numel() for parameter in encoder.parameters())
    tokens = (config.image_size // config.patch) ** 2
    print(
        f"{out / WEIGHTS}: {parameters / 1e6:.0f}M parameters, pictures of {config.image_size} "
        f"pixels, {tokens} tokens of {config.width} numbers"
    )
    return 0
