"""How a model's rollouts are run: as they are written, or compiled."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor

from goalsight.models.imagination import Imagination, Start
from goalsight.models.predictor import Predictor

Execution = Literal["eager", "compile"]
"""`eager`: as written. `compile`: through `torch.compile`, for the shapes of the first plans and
again for others; the first decision takes a minute or more, and each iteration looks at the history
anew, which is little."""
Precision = Literal["float32", "bfloat16"]
"""Of the matrix products; latents stay float32."""
EXECUTIONS, PRECISIONS = get_args(Execution), get_args(Precision)
Whole = Callable[[Tensor, Tensor | None, Tensor | None, Tensor], Tensor]
"""History and plans to imagined latents, from nothing to the end."""


def executor(predictor: Predictor, execution: Execution, precision: Precision) -> Start:
    """How to begin a session of rollouts.

    Args:
        predictor: that imagines.
        execution: how it is run.
        precision: of its matrix products.
    """
    device, low = next(predictor.parameters()).device, precision == "bfloat16"

    def whole(z: Tensor, past: Tensor | None, proprio: Tensor | None, plans: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=low):
            return predictor.imagine(z, past, proprio)(plans)

    if execution == "eager":
        return partial(_begin, predictor, partial(_precision, device.type, low))
    mode = "reduce-overhead" if device.type == "cuda" else "default"
    return _from_nothing(torch.compile(whole, fullgraph=True, dynamic=False, mode=mode))


def _precision(kind: str, low: bool) -> AbstractContextManager[object]:
    # Not autocast switched off: where a trainer switched it on, it stays on.
    return torch.autocast(kind, torch.bfloat16) if low else nullcontext()


def _begin(
    predictor: Predictor,
    precision: Callable[[], AbstractContextManager[object]],
    z: Tensor,
    past: Tensor | None,
    proprio: Tensor | None,
) -> Imagination:
    """A session in some precision."""
    with precision():
        imagination = predictor.imagine(z, past, proprio)

    def imagine(plans: Tensor) -> Tensor:
        with precision():
            return imagination(plans)

    return imagine


def _from_nothing(whole: Whole) -> Start:
    """Sessions of a function that takes history and plans at once."""

    def start(z: Tensor, past: Tensor | None, proprio: Tensor | None) -> Imagination:
        def imagine(plans: Tensor) -> Tensor:
            # Compiled for CUDA it returns memory that the next call writes over.
            return whole(z, past, proprio, plans.contiguous()).clone()

        return imagine

    return start
