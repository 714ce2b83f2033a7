"""The one container that flows through goalsight: frames, the actions between them, proprio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Clip:
    """A stretch of an episode as the model sees it; any number of leading batch axes.

    An episode is a long clip, a training sample a window of it, a batch is clips stacked, and an
    observation history is a short clip without its last actions.

    Raises:
        ValueError: if the fields disagree in batch shape or number of frames, or a dtype is off.

    >>> clip = Clip(
    ...     frames=torch.zeros(8, 4, 3, 64, 64, dtype=torch.uint8),
    ...     actions=torch.zeros(8, 3, 5, 4),
    ...     proprio=torch.zeros(8, 4, 11),
    ... )
    >>> clip.length, clip.frameskip, tuple(clip.batch_shape)
    (4, 5, (8,))
    """

    frames: Tensor
    """(*B, T, C, H, W) uint8 RGB; frame t is seen before action block t runs."""
    actions: Tensor
    """(*B, T-1, K, A) float32 in [-1, 1]; block t takes frame t to frame t+1 in K control steps."""
    proprio: Tensor
    """(*B, T, Q) float32; what the robot measures of itself at each frame, SI units."""

    def __post_init__(self) -> None:
        for name, axes, dtype in (
            ("frames", 4, torch.uint8),
            ("actions", 3, torch.float32),
            ("proprio", 2, torch.float32),
        ):
            tensor: Tensor = getattr(self, name)
            if tensor.ndim < axes or tensor.dtype != dtype:
                raise ValueError(
                    f"{name} must be {dtype} with at least {axes} axes, got {tensor.dtype} "
                    f"{tuple(tensor.shape)}"
                )
        batch, length = self.frames.shape[:-4], self.frames.shape[-4]
        if self.actions.shape[:-2] != (*batch, length - 1):
            raise ValueError(
                f"{length} frames need {length - 1} action blocks and batch {tuple(batch)}, "
                f"got actions {tuple(self.actions.shape)}"
            )
        if self.proprio.shape[:-1] != (*batch, length):
            raise ValueError(
                f"{length} frames need {length} proprio rows and batch {tuple(batch)}, "
                f"got proprio {tuple(self.proprio.shape)}"
            )

    def __getitem__(self, index: int) -> Clip:
        """One of a batch, without its first axis.

        Raises:
            IndexError: if there is no such one, or no batch axis.
        """
        if not self.batch_shape:
            raise IndexError("this clip has no batch axis")
        return Clip(self.frames[index], self.actions[index], self.proprio[index])

    @property
    def batch_shape(self) -> torch.Size:
        """Leading axes shared by all fields."""
        return self.frames.shape[:-4]

    @property
    def length(self) -> int:
        """T, the number of frames."""
        return self.frames.shape[-4]

    @property
    def frameskip(self) -> int:
        """K, control steps between two frames."""
        return self.actions.shape[-2]

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Clip:
        """The same clip on another device."""
        return Clip(
            self.frames.to(device, non_blocking=non_blocking),
            self.actions.to(device, non_blocking=non_blocking),
            self.proprio.to(device, non_blocking=non_blocking),
        )

    @classmethod
    def stack(cls, clips: Sequence[Clip]) -> Clip:
        """Stack clips of equal shape along a new first axis."""
        return cls(
            torch.stack([clip.frames for clip in clips]),
            torch.stack([clip.actions for clip in clips]),
            torch.stack([clip.proprio for clip in clips]),
        )
