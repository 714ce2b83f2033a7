"""How far a predicted latent is from the encoded one."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn import functional

Distance = Literal["l2", "l1"]


def prediction_error(
    predicted: Tensor, target: Tensor, distance: Distance = "l2", *, normalise: bool = False
) -> Tensor:
    """Mean squared or absolute error between predicted and encoded latents.

    L1 on layer-normed targets is V-JEPA 2's choice (Assran et al. 2025, arXiv:2506.09985).

    Args:
        predicted: (*B, D) predictions.
        target: (*B, D) encoder outputs; gradients flow into both unless the caller detaches.
        distance: `l2`, the squared error, or `l1`, the absolute one.
        normalise: compare with the layer-normed target (over D, without affine parameters). The
            prediction is left as it is: it learns to be normalised.

    Returns:
        () loss.

    Raises:
        ValueError: if there is no such distance.
    """
    if distance not in {"l2", "l1"}:
        raise ValueError(f"distance must be l2 or l1, got {distance!r}")
    predicted, target = predicted.float(), target.float()
    if normalise:
        target = functional.layer_norm(target, target.shape[-1:])
    error = functional.mse_loss if distance == "l2" else functional.l1_loss
    return error(predicted, target)
