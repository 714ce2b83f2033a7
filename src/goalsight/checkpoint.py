"""Checkpoints: a folder of three plain files. Loading one never runs code that came with it.

`model.safetensors` holds the weights, `config.yaml` what the model is made of, `card.json` where
it comes from and the checksums of the other two.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from goalsight import __version__
from goalsight.devices import resolve_device
from goalsight.errors import CheckpointError, OutputError, UserError
from goalsight.io import (
    json_text,
    parse_yaml,
    read_bytes,
    read_json,
    remove_folder,
    sha256,
    swap_folder,
    yaml_text,
)
from goalsight.models import WorldModel, WorldModelConfig
from goalsight.models.video_encoder import VideoEncoder, VideoEncoderConfig
from goalsight.paths import config_dir, repository
from goalsight.provenance import git_commit

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.yaml", "card.json"
Model = WorldModel | VideoEncoder
"""What a checkpoint may hold."""
KINDS: dict[str, tuple[type[Any], type[Any]]] = {
    "world_model": (WorldModel, WorldModelConfig),
    "video_encoder": (VideoEncoder, VideoEncoderConfig),
}
"""What `kind` in `config.yaml` stands for."""
AGAIN = "restore the checkpoint or train it again"
"""The way out where one is damaged."""
COUNTS = {"depth", "depths", "members", "components", "heads", "num_hidden_layers", "num_layers"}
"""Names of a config's fields that say how often something is built."""
MOST_LAYERS, MOST, MOST_BUFFERS = 512, 2**24, 2**30
"""What those can be at the most, any number of a config, and all buffers together [bytes]."""
IN_A_RUN = "checkpoint"
"""Name of the checkpoint's folder inside the folder of a training run."""
RETIRED_HEADS = ("macro", "temporal_distance")
"""Heads of version 0.1 that nothing uses any more: a checkpoint that holds one loads without it."""
LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """A model that was read from disk and fits what its card says."""

    model: WorldModel
    """In evaluation mode, on the device asked for."""
    config: WorldModelConfig
    """What the model is made of."""
    card: dict[str, Any]
    """Dataset, action and proprio names, statistics, metrics, `labels_used`, checksums."""
    sha256: str
    """Hex SHA-256 of `model.safetensors`: the checkpoint's identity."""


def save_checkpoint(folder: str | Path, model: Model, card: Mapping[str, Any]) -> None:
    """Write a checkpoint, replacing the one that is there; a kill leaves the old or the new.

    Args:
        folder: of the checkpoint; its parent is made if it is missing.
        model: whose weights, on any device.
        card: what else to remember, JSON values; checksums, version and commit are added.

    Raises:
        OutputError: if the folder holds something else.
        ValueError: if a number in the card is not finite or of no kind JSON knows.
        OSError: if it cannot be written; the old checkpoint stays then.
    """
    folder = Path(folder)
    _refuse_foreign(folder)
    contents = {
        WEIGHTS: safetensors.torch.save(_weights(model)),
        CONFIG: _config_text(model).encode(),
    }
    written = {
        "goalsight": __version__,
        "commit": git_commit(),
        **card,
        "sha256": {name: sha256(content) for name, content in contents.items()},
    }
    contents[CARD] = json_text(written).encode()
    beside = folder.with_name(f".{folder.name}.new")
    remove_folder(beside)
    try:
        beside.mkdir(parents=True)
        for name, content in contents.items():
            (beside / name).write_bytes(content)
        # `load_checkpoint` knows what a kill in between its two renames leaves.
        swap_folder(beside, folder, _set_aside(folder))
    finally:
        remove_folder(beside)


def load_checkpoint(folder: str | Path, device: torch.device | str = "cpu") -> Checkpoint:
    """Read a world model and check it against its card.

    Args:
        folder: of the checkpoint.
        device: where the model goes; `auto` for a GPU where there is one.

    Raises:
        CheckpointError: if a file is missing, damaged or replaced, or holds something else.
        UserError: if PyTorch cannot use the device here.
    """
    model, card = _load(Path(folder), device)
    if not isinstance(model, WorldModel):
        raise CheckpointError(
            f"{folder} holds a video encoder, which cannot plan; train a world model on it with "
            f"goalsight train --encoder-from {folder}"
        )
    return Checkpoint(model, model.config, card, card["sha256"][WEIGHTS])


def load_video_encoder(
    folder: Path, device: torch.device | str = "cpu"
) -> tuple[VideoEncoder, dict[str, Any]]:
    """Read what `goalsight pretrain` writes, and its card; arguments as in `load_checkpoint`.

    Raises:
        CheckpointError: as there, or if it holds a world model.
    """
    model, card = _load(folder, device)
    if not isinstance(model, VideoEncoder):
        raise CheckpointError(
            f"{folder} holds no video encoder; give the folder of a goalsight pretrain run"
        )
    return model, card


def _load(folder: Path, device: torch.device | str) -> tuple[Model, dict[str, Any]]:
    """What a checkpoint holds, and its card."""
    device = resolve_device(str(device))
    _check_device(device)
    if not folder.is_dir() and _set_aside(folder).is_dir():
        folder = _set_aside(folder)  # the writer was killed between its two renames
    card = read_card(folder)
    weights, text = _read_checked(folder, WEIGHTS, card), _read_checked(folder, CONFIG, card)
    try:
        tensors = safetensors.torch.load(weights)
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(f"{folder / WEIGHTS} is not a safetensors file: {error}") from None
    for name in RETIRED_HEADS:
        own = {tensor for tensor in tensors if tensor.startswith(f"heads.{name}.")}
        if own:
            LOG.warning("%s: head %s is ignored, nothing uses it any more", folder, name)
        tensors = {tensor: value for tensor, value in tensors.items() if tensor not in own}
    # A few bytes of config can ask for any amount of memory: on the meta device a model takes none,
    # and one that the weights fit is as large as they are.
    with torch.device("meta"):
        planned = _build(text, folder / CONFIG)
    _check_fit(planned.state_dict(), tensors, folder / WEIGHTS)
    _check_buffers(planned, folder / CONFIG)
    model = _build(text, folder / CONFIG)
    model.load_state_dict(tensors)
    return model.to(device).eval(), card


def find_checkpoint(name_or_path: str | Path) -> Path:
    """The folder of a checkpoint.

    Args:
        name_or_path: a checkpoint's folder, the folder of a training run, or the name of a
            checkpoint that ships with goalsight.

    Raises:
        CheckpointError: if there is none; lists the names that exist.
    """
    path = Path(name_or_path)
    for folder in (path, path / IN_A_RUN):
        if (folder / CARD).is_file() or (_set_aside(folder) / CARD).is_file():
            return folder
    if path.exists():
        raise CheckpointError(
            f"no checkpoint in {path} ({CARD} is missing); give the folder that goalsight train "
            "wrote"
        )
    known_here = shipped()
    if str(name_or_path) in known_here:
        return known_here[str(name_or_path)]
    known = f"one of {', '.join(known_here)}" if known_here else "none ships with this version"
    raise CheckpointError(
        f"no checkpoint {str(name_or_path)!r}: there is no such folder, and no such name ({known})"
    )


def _check_device(device: torch.device | str) -> None:
    """Try the device before anything is read."""
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # each backend its own
        reason = str(error).partition("\n")[0]
        raise UserError(f"device {str(device)!r} cannot be used here: {reason}") from None


def shipped() -> dict[str, Path]:
    """Checkpoints that ship with goalsight, by name."""
    root = repository()
    home = (config_dir().parent if root is None else root) / "checkpoints"
    return {card.parent.name: card.parent for card in sorted(home.glob(f"*/{CARD}"))}


def _weights(model: Model) -> dict[str, Tensor]:
    """The state as tensors that share no memory."""
    return {
        name: tensor.detach().to("cpu", copy=True).contiguous()
        for name, tensor in model.state_dict().items()
    }


def _config_text(model: Model) -> str:
    kinds = {classes[0]: name for name, classes in KINDS.items()}
    return yaml_text({"kind": kinds[type(model)], **asdict(model.config)})


def _set_aside(folder: Path) -> Path:
    """Where the old checkpoint is for the moment in which the new one takes its name."""
    return folder.with_name(f".{folder.name}.old")


def _refuse_foreign(folder: Path) -> None:
    """A folder is replaced only if all there is in it is a checkpoint."""
    if not folder.exists():
        return
    found = {entry.name for entry in folder.iterdir()} if folder.is_dir() else {"a file"}
    if foreign := sorted(found - {WEIGHTS, CONFIG, CARD}):
        raise OutputError(
            f"{folder} already holds something else ({foreign[0]}); give another folder"
        )


def read_card(folder: Path) -> dict[str, Any]:
    """The card of a checkpoint's folder; raises CheckpointError if there is none."""
    path = folder / CARD
    card = read_json(path, error=CheckpointError, advice=AGAIN)
    sums = card.get("sha256")
    if not isinstance(sums, dict) or not {WEIGHTS, CONFIG} <= set(sums):
        raise CheckpointError(f"{path} has no sha256 of {WEIGHTS} and {CONFIG}")
    return card


def _read_checked(folder: Path, name: str, card: Mapping[str, Any]) -> bytes:
    content = read_bytes(folder / name, error=CheckpointError, advice=AGAIN)
    found = sha256(content)
    if found != card["sha256"][name]:
        raise CheckpointError(
            f"{folder / name} is not the file that was saved (sha256 {found[:12]}, the card says "
            f"{str(card['sha256'][name])[:12]}); restore it or train again"
        )
    return content


def _build(text: bytes, path: Path) -> Model:
    """An untrained model as the config says; leaves the global random stream as it was."""
    values = parse_yaml(text, path, error=CheckpointError)
    if (kind := values.get("kind")) not in KINDS:
        raise CheckpointError(
            f"{path}: unknown kind {kind!r}; this version knows: {', '.join(KINDS)}"
        )
    model_class, config_class = KINDS[values.pop("kind")]
    known = {field.name for field in fields(config_class)}
    if unknown := sorted(map(str, set(values) - known)):
        raise CheckpointError(
            f"{path}: unknown field {unknown[0]!r}; this version knows: {', '.join(sorted(known))}"
        )
    if isinstance(values.get("heads"), dict):
        heads = values["heads"].items()
        values["heads"] = {name: made for name, made in heads if name not in RETIRED_HEADS}
    _check_numbers(values, path)
    try:
        with torch.random.fork_rng(devices=[]):
            model: Model = model_class(config_class(**values))
            return model
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: {error}") from None


def _check_numbers(value: object, path: Path) -> None:
    """Refuse a config that would have layers built until memory ends, before one is."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            count = len(inner) if isinstance(inner, list) else inner
            if name in COUNTS and isinstance(count, int) and count > MOST_LAYERS:
                raise CheckpointError(
                    f"{path}: {name} is {count}, more than {MOST_LAYERS} are not built; {AGAIN}"
                )
            _check_numbers(inner, path)
    elif isinstance(value, list):
        for inner in value:
            _check_numbers(inner, path)
    elif isinstance(value, int | float) and not abs(value) <= MOST:
        raise CheckpointError(f"{path}: {value:g} is no size of a model; {AGAIN}")


def _check_buffers(planned: Model, path: Path) -> None:
    """Refuse a config whose tables, which no weights tell the size of, would fill the memory."""
    size = sum(buffer.numel() * buffer.element_size() for buffer in planned.buffers())
    if size > MOST_BUFFERS:
        raise CheckpointError(
            f"{path}: its tables take {size / 2**30:.0f} GiB, {MOST_BUFFERS // 2**30} are read at "
            f"the most; {AGAIN}"
        )


def _check_fit(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], path: Path) -> None:
    """Names, shapes and types of the weights against those of the config's model."""
    for name in sorted(set(wanted) | set(found)):
        if name not in found or name not in wanted:
            problem = "is missing" if name in wanted else "is not part of this model"
            raise CheckpointError(f"{path}: tensor {name!r} {problem}; it fits another config")
        want, got = wanted[name], found[name]
        if want.shape != got.shape or want.dtype != got.dtype:
            raise CheckpointError(
                f"{path}: tensor {name!r} is {got.dtype} {tuple(got.shape)} where the config "
                f"makes {want.dtype} {tuple(want.shape)}"
            )
