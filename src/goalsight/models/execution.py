"""How a model's rollouts are run: as they are written, compiled, or captured in a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor

from goalsight.errors import UserError
from goalsight.models.imagination import Imagination, Start
from goalsight.models.predictor import Predictor

Execution = Literal["eager", "compile", "graph"]
"""`eager`: as written. `compile`: through `torch.compile`, for the shapes of the first plans and
again for others; the first decision takes a minute or more. `graph`: recorded once as a CUDA graph
and replayed with one launch. Both look at the history anew in each iteration, which is little."""
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

    Raises:
        UserError: if a graph is wanted of a device that has none.
    """
    device, low = next(predictor.parameters()).device, precision == "bfloat16"

    def whole(z: Tensor, past: Tensor | None, proprio: Tensor | None, plans: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=low):
            return predictor.imagine(z, past, proprio)(plans)

    if execution == "eager":
        return partial(_begin, predictor, partial(_precision, device.type, low))
    if execution == "compile":
        mode = "reduce-overhead" if device.type == "cuda" else "default"
        return _from_nothing(torch.compile(whole, fullgraph=True, dynamic=False, mode=mode))
    if device.type != "cuda":
        raise UserError(
            f"execution=graph records CUDA graphs and the model is on {device}; use --device cuda, "
            "or execution=eager"
        )
    return _from_nothing(Captured(whole))


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


class Captured:
    """A function of tensors as CUDA graphs, one for each set of shapes it is called with."""

    def __init__(self, function: Whole) -> None:
        """Record nothing yet."""
        self._function = function
        self._graphs: dict[tuple[object, ...], _Graph] = {}

    def __call__(
        self, z: Tensor, past: Tensor | None, proprio: Tensor | None, plans: Tensor
    ) -> Tensor:
        """What the function returns; the same memory at every call with the same shapes."""
        inputs = (z, past, proprio, plans)
        shapes = tuple(None if x is None else (x.shape, x.dtype) for x in inputs)
        if shapes not in self._graphs:
            self._graphs[shapes] = _Graph(self._function, *inputs)
        return self._graphs[shapes].replay(*inputs)


class _Graph:
    """A recording: it reads from and writes to memory that stays where it is."""

    def __init__(self, function: Whole, *inputs: Tensor | None) -> None:
        # Tensors made in inference mode could not be written to outside of it.
        with torch.inference_mode(mode=False), torch.no_grad():
            self._inputs = [None if x is None else x.clone() for x in inputs]
            call = partial(function, *self._inputs)  # type: ignore[arg-type]
            side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):  # libraries allocate and choose in the first calls
                    call()
            torch.cuda.current_stream().wait_stream(side)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._output = call()

    def replay(self, *inputs: Tensor | None) -> Tensor:
        """Run it on other values of the same shapes."""
        for held, given in zip(self._inputs, inputs, strict=True):
            if held is not None and given is not None:
                held.copy_(given)
        self._graph.replay()
        return self._output
