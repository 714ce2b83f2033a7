"""Which device `auto` is, here."""

from __future__ import annotations

from functools import cache

from goalsight.errors import UserError

AUTO = "auto"
"""The default everywhere: a GPU that PyTorch can use, else the processor."""


def resolve_device(name: str) -> str:
    """The PyTorch device that a name stands for on this machine.

    Apple's `mps` is used where it is asked for by name: not every operation of ours exists there.

    Args:
        name: `auto`, or a device as PyTorch writes it, which is returned as it is.

    Raises:
        UserError: if it is a bare number, which does not say of what.

    >>> resolve_device("cuda:1")
    'cuda:1'
    """
    if name.strip().lstrip("-").isdigit():
        raise UserError(
            f"device {name!r} cannot be used here: a number does not say of what; give auto, cpu, "
            f"cuda, cuda:{name.strip().lstrip('-')} or mps"
        )
    return _best() if name == AUTO else name


@cache
def _best() -> str:
    """`cuda` if a number can be put on it, else `cpu`; looked up once a process."""
    import torch

    if not torch.cuda.is_available():
        return "cpu"
    try:
        torch.zeros(1, device="cuda").add_(1).item()
    except RuntimeError:  # a driver or a card that this build of PyTorch has no kernels for
        return "cpu"
    return "cuda"
