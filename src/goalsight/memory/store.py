"""The file of a memory: latents of recorded frames, and which model and data they are of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from goalsight.errors import MemoryFileError
from goalsight.io import sha256
from goalsight.memory.links import Links
from goalsight.models import WorldModel

LINK_NAMES = ("links.origin", "links.target", "links.energy")
"""Tensors of the links, in the order of their fields."""
SCHEMA = 1
"""Version of the file."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Latents of the frames of E recorded episodes, F rows one episode after another.

    Raises:
        ValueError: if the fields disagree.
    """

    latents: Tensor = field(repr=False)
    """(F, P, D) float32, on the CPU."""
    lengths: Tensor = field(repr=False)
    """(E,) int64 rows of each episode."""
    every: int
    """Control steps between two rows of an episode."""
    frameskip: int
    """K, control steps of one of the model's action blocks; a multiple of `every`."""
    variance: float
    """Of the latents over the rows: the unit of energy."""
    encoder: str
    """Hex SHA-256 of the encoder that made the latents, see `encoder_digest`."""
    source: Mapping[str, str] = field(default_factory=dict)
    """Where they come from: `data` (its fingerprint) and `checkpoint` (its checksum)."""
    links: Links | None = field(default=None, repr=False)
    """Where episodes come near each other, if that was looked for."""
    index: Tensor | None = field(default=None, repr=False)
    """(bytes,) uint8 a search index as its library writes it, if one was built."""
    index_kind: str = ""
    """Of which library the index is."""

    def __post_init__(self) -> None:
        if self.latents.ndim != 3 or int(self.lengths.sum()) != len(self.latents):
            raise ValueError(
                f"latents must be (F, P, D) with the rows of all episodes, got "
                f"{tuple(self.latents.shape)} and {int(self.lengths.sum())} rows"
            )
        if self.every < 1 or self.frameskip % self.every:
            raise ValueError(
                f"every must divide the model's block of {self.frameskip} control steps, got "
                f"{self.every}"
            )

    @property
    def rows(self) -> int:
        """F."""
        return len(self.latents)

    @property
    def rows_per_block(self) -> int:
        """Rows from one end of an action block to the other."""
        return self.frameskip // self.every

    def sha256(self) -> str:
        """Hex SHA-256 of latents, episodes and what they are of: the memory's identity.

        Index and links are left out: they follow from the rest.
        """
        told = json.dumps(self.facts(), sort_keys=True)
        return sha256(told, *(t.contiguous().numpy().data for t in (self.lengths, self.latents)))

    def facts(self) -> dict[str, Any]:
        """What the file says beside its tensors, JSON values."""
        return {
            "schema": SCHEMA,
            "every": self.every,
            "frameskip": self.frameskip,
            "variance": self.variance,
            "encoder": self.encoder,
            "source": dict(self.source),
        }


def encoder_digest(model: WorldModel) -> str:
    """Hex SHA-256 of a model's encoder.

    Latents are a matter of the encoder alone: a checkpoint with one more head, or a predictor
    trained further, still fits a memory that was built before.
    """
    parts: list[str | memoryview] = []
    for name, tensor in sorted(model.encoder.state_dict().items()):
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        parts += [
            f"{name} {tensor.dtype} {tuple(tensor.shape)}",
            flat.view(torch.uint8).numpy().data,
        ]
    return sha256(*parts)


def to_bytes(memory: Memory) -> bytes:
    """The content of a memory's file."""
    tensors = {"latents": memory.latents.contiguous(), "lengths": memory.lengths.contiguous()}
    if memory.links is not None:
        tensors |= {f"links.{name}": part for name, part in vars(memory.links).items()}
    if memory.index is not None:
        tensors["index"] = memory.index
    facts = memory.facts() | {"sha256": memory.sha256(), "index": memory.index_kind}
    return safetensors.torch.save(tensors, {"goalsight": json.dumps(facts)})


def load_memory(path: Path, model: WorldModel | None = None) -> Memory:
    """Read a memory and check it.

    Args:
        path: that `goalsight memory build` wrote.
        model: that will use it; None checks the file alone.

    Raises:
        MemoryFileError: if it is missing, damaged, or of another encoder or block than the model's.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["goalsight"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        memory = _from_file(facts, tensors)
    except FileNotFoundError:
        raise MemoryFileError(
            f"no memory at {path}; make one with: goalsight memory build --checkpoint RUN --data "
            f"DIR --out {path}"
        ) from None
    except (safetensors.SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        raise MemoryFileError(
            f"{path} is no memory or a damaged one ({error}); build it again"
        ) from None
    if memory.sha256() != facts["sha256"]:
        raise MemoryFileError(f"{path} is not the memory that was saved; build it again")
    if model is not None:
        _check_fit(path, memory, model)
    return memory


def _from_file(facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Memory:
    if facts["schema"] != SCHEMA:
        raise ValueError(f"schema {facts['schema']}, this version reads {SCHEMA}")
    return Memory(
        latents=tensors["latents"],
        lengths=tensors["lengths"],
        every=facts["every"],
        frameskip=facts["frameskip"],
        variance=facts["variance"],
        encoder=facts["encoder"],
        source=facts["source"],
        links=Links(*(tensors[name] for name in LINK_NAMES)) if LINK_NAMES[0] in tensors else None,
        index=tensors.get("index"),
        index_kind=facts["index"],
    )


def _check_fit(path: Path, memory: Memory, model: WorldModel) -> None:
    if memory.encoder != encoder_digest(model):
        raise MemoryFileError(
            f"{path} holds latents of another encoder; build a memory with this checkpoint"
        )
    if memory.frameskip != model.config.frameskip:
        raise MemoryFileError(
            f"{path} is of blocks of {memory.frameskip} control steps, the model's have "
            f"{model.config.frameskip}; build a memory with this checkpoint"
        )
