"""DINO-style self-distillation: agree with the target encoder on which prototype a latent is.

Two forces hold each other: a sharp target keeps the answers from being uniform, and a centre, the
running mean of the target's logits, keeps one prototype from winning always (Caron et al. 2021,
arXiv:2104.14294).
"""

from __future__ import annotations

from torch import Tensor


def centred_teacher(logits: Tensor, centre: Tensor, temperature: float = 0.04) -> Tensor:
    """What the target encoder answers, centred and sharpened.

    Args:
        logits: (*B, C) similarities to C prototypes.
        centre: (C,) running mean of such logits.
        temperature: small ones sharpen.

    Returns:
        (*B, C) probabilities without gradient.
    """
    return ((logits.detach().float() - centre) / temperature).softmax(-1)


def distillation_loss(logits: Tensor, teacher: Tensor, temperature: float = 0.1) -> Tensor:
    """Cross-entropy between the target encoder's answer and the prediction's.

    Args:
        logits: (*B, C) the prediction's similarities to the prototypes.
        teacher: (*B, C) probabilities, see `centred_teacher`.
        temperature: of the prediction; larger than the teacher's.

    Returns:
        () loss >= 0.
    """
    return -(teacher * (logits.float() / temperature).log_softmax(-1)).sum(-1).mean()
