"""Rollouts: imagining plans from one observed history, and how that is run.

What all plans of a decision share is computed once, when the history is set.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Literal, get_args

import torch
from einops import repeat
from torch import Tensor

if TYPE_CHECKING:
    from goalsight.models.predictor import Predictor, PresentPredictor

Precision = Literal["float32", "bfloat16"]
"""Of the matrix products; latents stay float32."""
PRECISIONS = get_args(Precision)

Imagination = Callable[[Tensor], Tensor]
"""Plans (B, N, H, K, A) to the latents (B, N, H, P, D) after each block, from a history that is
set: the session of one decision, which a planner asks once an iteration."""

Start = Callable[[Tensor, Tensor | None, Tensor | None], Imagination]
"""Begins one: `Predictor.imagine`, or the same run otherwise, see `executor`."""


class StepByStep:
    """The plain way: every step of every plan from scratch, by the predictor's `forward`.

    Any predictor can be rolled out like this. It is what the faster ways must equal, and what
    `benchmarks.deciding` compares them with.
    """

    def __init__(
        self, predictor: Predictor, z: Tensor, past: Tensor | None, proprio: Tensor | None
    ) -> None:
        """Set the history; arguments are those of `Predictor.imagine`."""
        self._predictor, self._history = predictor, (z, past, proprio)

    def __call__(self, plans: Tensor) -> Tensor:
        """Latents (B, N, H, P, D) after each block of plans (B, N, H, K, A)."""
        count = plans.shape[1]
        z, past, known = (
            None if x is None else repeat(x, "b t ... -> b n t ...", n=count) for x in self._history
        )
        assert z is not None
        actions = plans[:, :, :0] if past is None else past
        predicted = []
        for block in torch.split(plans, 1, dim=2):
            actions = torch.cat((actions, block), dim=2)
            z_next, known_next = self._predictor(z, actions, known)
            predicted.append(z_next[:, :, -1])
            z = self._recent(z, z_next)
            actions = actions[:, :, actions.shape[2] - z.shape[2] + 1 :]
            known = None if known is None else self._recent(known, known_next)
        return torch.stack(predicted, dim=2)

    def _recent(self, past: Tensor, predicted: Tensor | None) -> Tensor:
        """The frames to look back to after one more block; `predicted` ends with the new one."""
        assert predicted is not None
        return torch.cat((past, predicted[:, :, -1:]), dim=2)[:, :, -self._predictor.context :]


class Unrolled:
    """Plans through a predictor that sees the present frame only.

    What the actions alone decide is computed for all blocks of all plans at once, and the first
    step's look at the present frame, from which all plans start, once for all of them.
    """

    def __init__(self, predictor: PresentPredictor, z: Tensor, proprio: Tensor | None) -> None:
        """Set the present: (B, P, D) latents and (B, Q) standardised proprio or None."""
        self._predictor = predictor
        self._z = z[:, None]
        self._proprio = None if proprio is None else proprio[:, None]

    def __call__(self, plans: Tensor) -> Tensor:
        """Latents (B, N, H, P, D) after each block of plans (B, N, H, K, A)."""
        z, proprio = self._z, self._proprio  # one for all plans: broadcast by the first step
        predicted = []
        acted = [part.unbind(2) for part in self._predictor.act(plans)]
        for block in zip(*acted, strict=True):
            z, proprio = self._predictor.step(z, block, proprio)
            predicted.append(z)
        return torch.stack(predicted, dim=2)


def executor(predictor: Predictor, *, compiled: bool, precision: Precision) -> Start:
    """How to begin a session of rollouts.

    Args:
        predictor: that imagines.
        compiled: whether they go through `torch.compile`: for the shapes of the first plans and
            again for others; the first decision takes a minute or more, and each iteration looks
            at the history anew, which is little.
        precision: of its matrix products.
    """
    device, low = next(predictor.parameters()).device, precision == "bfloat16"
    if not compiled:
        return partial(_begin, predictor, partial(_precision, device.type, low))

    def whole(z: Tensor, past: Tensor | None, proprio: Tensor | None, plans: Tensor) -> Tensor:
        """History and plans to imagined latents, from nothing to the end."""
        with torch.autocast(device.type, torch.bfloat16, enabled=low):
            return predictor.imagine(z, past, proprio)(plans)

    mode = "reduce-overhead" if device.type == "cuda" else "default"
    fast = torch.compile(whole, fullgraph=True, dynamic=False, mode=mode)

    def start(z: Tensor, past: Tensor | None, proprio: Tensor | None) -> Imagination:
        # Compiled for CUDA it returns memory that the next call writes over.
        return lambda plans: fast(z, past, proprio, plans.contiguous()).clone()

    return start


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
