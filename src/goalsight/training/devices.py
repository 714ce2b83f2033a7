"""Which precision and how many threads a run gets where nobody said."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from goalsight.provenance import cores

Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed", "bf16-true", "64-true"]
"""Lightning's names, and `auto`."""


def resolve_precision(precision: str, accelerator: str) -> str:
    """Lightning's name of the precision to train in.

    `auto` is bf16-mixed where the hardware multiplies bfloat16 itself, else 32-true: what has to
    be emulated gains nothing.

    Args:
        precision: `auto` or a name of Lightning's, which is given back.
        accelerator: Lightning's name, such as `auto`, `cpu`, `gpu`.
    """
    if precision != "auto":
        return precision
    native = {"cuda": _cuda_has_bf16, "mps": lambda: False, "cpu": cpu_has_bf16}
    return "bf16-mixed" if native[device_type(accelerator)]() else "32-true"


def device_type(accelerator: str) -> Literal["cuda", "mps", "cpu"]:
    """The kind of device that Lightning will choose."""
    if accelerator in {"auto", "gpu", "cuda"} and torch.cuda.is_available():
        return "cuda"
    if accelerator in {"auto", "gpu", "mps"} and torch.backends.mps.is_available():
        return "mps"
    return "cpu"


def is_first_process() -> bool:
    """Whether this process is the one that writes, as torchrun, SLURM and Lightning number them.

    Lightning's own word exists only once there is a trainer.
    """
    node = os.environ.get("GROUP_RANK", os.environ.get("NODE_RANK", "0"))
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"):
        if name in os.environ:
            alone = name == "LOCAL_RANK" and node != "0"
            return int(os.environ[name]) == 0 and not alone
    return node == "0"


def cpu_has_bf16() -> bool:
    """Whether this processor multiplies bfloat16 itself (AVX-512 BF16 or AMX)."""
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in probes)


def _cuda_has_bf16() -> bool:
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


@contextmanager
def threads(number: int | None) -> Iterator[int]:
    """Use so many processor threads inside the block.

    Args:
        number: None for one per core this process may use, unless `OMP_NUM_THREADS` says.

    Yields:
        The number used.
    """
    before = torch.get_num_threads()
    if number is None:
        given = os.environ.get("OMP_NUM_THREADS", "")
        number = before if given else cores()
    torch.set_num_threads(number)
    try:
        yield number
    finally:
        torch.set_num_threads(before)
