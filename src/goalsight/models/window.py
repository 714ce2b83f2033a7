"""Rollouts of the transformer with nothing done twice, exactly equal to the plain way.

A step of a rollout looks at a window of the last `context` frames and at nothing else. So what a
frame is inside the transformer depends on how many frames before it are in the window, and moves
on with it: beyond the first layer a frame's keys and values hold for one step only, and a cache
of them that outlived the step would be another model than the one that was trained. What does
hold, and is computed once:

- observed frames before the present one, in all layers: for all plans and all iterations;
- a frame's embedding, its conditioning in all layers, and its queries, keys and values of the
  first layer: for all steps whose window it is in;
- the last layer and the output: for the newest frame alone, the others only give it keys and
  values there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from goalsight.models.causal_block import Angles
from goalsight.models.vit import attend

if TYPE_CHECKING:
    from goalsight.models.action_predictor import TransformerPredictor

Keys = tuple[Tensor, Tensor]
"""Rotated keys and values of tokens, (B, heads, L, d) each."""


@dataclass(frozen=True)
class Frame:
    """A frame of all plans, for as long as it is in the window."""

    x: Tensor
    """(R, 1, S, W) embedded tokens of R plans."""
    modulations: tuple[Tensor | None, ...]
    """(R, 1, 1, 6 W) for every block, or None."""
    first: tuple[Tensor, ...]
    """Queries, keys and values (R, heads, S, d) of the first block, not rotated."""


class WindowImagination:
    """The session of one decision of a `TransformerPredictor`; see `Predictor.imagine`."""

    def __init__(
        self,
        predictor: TransformerPredictor,
        z: Tensor,
        past: Tensor | None,
        proprio: Tensor | None,
    ) -> None:
        """Look at the observed frames before the present one, once.

        Args:
            predictor: that imagines.
            z: (B, T, P, D) latents, the present one last; T <= its context.
            past: (B, T-1, K, A) blocks between them; None if T is 1.
            proprio: (B, T, Q) standardised proprio at them, or None.
        """
        self._predictor = predictor
        self._seen = z.shape[1] - 1
        self._z, self._proprio = z[:, -1:], None if proprio is None else proprio[:, -1:]
        self._observed: list[list[Keys]] = []
        if past is not None:
            before = None if proprio is None else proprio[:, :-1]
            x, condition = predictor.embed(z[:, :-1], past.flatten(-2), before)
            self._observed = [
                self._look(x[:, start:], None if condition is None else condition[:, start:])
                for start in range(self._seen)
            ]

    def _look(self, x: Tensor, condition: Tensor | None) -> list[Keys]:
        """What every block offers of observed frames (B, F, S, W) at the head of a window."""
        angles, sees = self._predictor.geometry(0, x.shape[1])
        found = []
        for block in self._predictor.layers:
            modulation = block.modulation(condition)
            query, key, value = block.heads_of(x, modulation)
            found.append((block.turn(key, angles), value))
            mixed = attend(block.turn(query, angles), found[-1][0], value, sees)
            x = block.close(x, mixed, modulation)
        return found

    def __call__(self, plans: Tensor) -> Tensor:
        """Latents (B, N, H, P, D) after each block of plans (B, N, H, K, A)."""
        batch, count, horizon = plans.shape[:3]
        actions = self._predictor.from_action(plans.flatten(-2).flatten(0, 1))
        z, proprio = (
            None if x is None else x.repeat_interleave(count, dim=0)
            for x in (self._z, self._proprio)
        )
        assert z is not None
        frames: list[Frame] = []
        predicted = []
        for step in range(horizon):
            frames.append(self._frame(z, actions[:, step : step + 1], proprio))
            frames = frames[-self._predictor.context :]
            newest = self._step(frames, self._offered(step, len(frames)), count)
            z, proprio = self._predictor.read(newest, z, proprio)
            predicted.append(z)
        imagined = torch.cat(predicted, dim=1)
        return imagined.reshape(batch, count, *imagined.shape[1:])

    def _frame(self, z: Tensor, action: Tensor, proprio: Tensor | None) -> Frame:
        """What a frame brings whatever the window: z (R, 1, P, D), embedded action (R, 1, W)."""
        x, condition = self._predictor.embed_with(z, action, proprio)
        blocks = self._predictor.layers
        modulations = tuple(block.modulation(condition) for block in blocks)
        return Frame(x, modulations, blocks[0].heads_of(x, modulations[0]))

    def _offered(self, step: int, imagined: int) -> list[Keys]:
        """What observed frames offer the window of a step; none where it has moved past them."""
        frames = min(self._seen + 1 + step, self._predictor.context)
        start = self._seen - (frames - imagined)
        return self._observed[start] if start < self._seen else []

    def _step(self, frames: list[Frame], observed: list[Keys], count: int) -> Tensor:
        """The newest frame's tokens (R, 1, S', W) behind the last block.

        Args:
            frames: those of the window that belong to the plans.
            observed: keys and values in every block of those before them, shared by all plans.
            count: N, plans of a problem.
        """
        tokens = frames[0].x.shape[2]
        before = observed[0][0].shape[2] // tokens if observed else 0
        angles, sees = self._predictor.geometry(before, len(frames))
        x = torch.cat([frame.x for frame in frames], dim=1)
        *blocks, last = self._predictor.layers
        for number, block in enumerate(blocks):
            modulation = _join([frame.modulations[number] for frame in frames])
            if number == 0:
                parts = zip(*(frame.first for frame in frames), strict=True)
                query, key, value = (torch.cat(part, dim=2) for part in parts)
            else:
                query, key, value = block.heads_of(x, modulation)
            key = block.turn(key, angles)
            key, value = _behind(observed[number : number + 1], key, value, count)
            x = block.close(x, attend(block.turn(query, angles), key, value, sees), modulation)
        modulations = [frame.modulations[-1] for frame in frames]
        key, value = last.keys_and_values(x, _join(modulations))
        key, value = _behind(observed[-1:], last.turn(key, angles), value, count)
        # Nothing is read from the action's token: it is not even asked what it sees.
        newest = x[:, -1:, self._predictor.unread :]
        asked = newest.shape[2]
        query = last.turn(last.queries(newest, modulations[-1]), _tail(angles, asked))
        return last.close(newest, attend(query, key, value), modulations[-1])


def _join(modulations: list[Tensor | None]) -> Tensor | None:
    """Those of some frames (R, 1, 1, 6 W) side by side."""
    known = [modulation for modulation in modulations if modulation is not None]
    return torch.cat(known, dim=1) if known else None


def _tail(angles: Angles, tokens: int) -> Angles:
    return angles[0][-tokens:], angles[1][-tokens:]


def _behind(observed: list[Keys], key: Tensor, value: Tensor, count: int) -> Keys:
    """Keys and values (R, heads, L, d) of the plans behind those they share (B, heads, O, d)."""
    if not observed:
        return key, value
    joined = []
    for shared, own in zip(observed[0], (key, value), strict=True):
        everywhere = shared.to(own.dtype)[:, None].expand(-1, count, -1, -1, -1)
        mine = own.reshape(-1, count, *own.shape[1:])
        joined.append(torch.cat((everywhere, mine), dim=3).flatten(0, 1))
    return joined[0], joined[1]
