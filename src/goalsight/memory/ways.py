"""What is left from every recorded row to one goal, and the way there."""

from __future__ import annotations

import torch
from torch import Tensor

from goalsight.memory.store import Memory


class Ways:
    """Ways to one goal: along an episode to its end there, or on in another episode.

    `to_go[n, i]` is the price of the best way from row i that changes episodes at most n times:
    energy from its last row to the goal, energy of every change, and `step_cost` for every block on
    the way. Every price is a running minimum over the later rows of an episode.
    """

    def __init__(
        self, memory: Memory, energy: Tensor, *, match_radius: float, step_cost: float, jumps: int
    ) -> None:
        """Price all rows.

        Args:
            memory: with links, if ways may change episodes.
            energy: (F,) from each row to the goal, in units of the latents' variance.
            match_radius: energy up to which a row counts as at the goal, or two rows as at one
                place.
            step_cost: price of a block on the way.
            jumps: times that a way may change episodes.
        """
        device = energy.device
        lengths = memory.lengths.to(device)
        self._starts = lengths.cumsum(0) - lengths
        self.episode = torch.repeat_interleave(
            torch.arange(len(lengths), device=device), lengths, output_size=memory.rows
        )
        self._offset = torch.arange(memory.rows, device=device) - self._starts[self.episode]
        self._wide = (len(lengths), int(lengths.max()) + 1)
        self._walked = step_cost * self._offset / memory.rows_per_block
        arrive = torch.where(energy <= match_radius, energy, torch.inf)
        nowhere = torch.full_like(self._offset, -1)
        levels = [(*self._along(arrive), nowhere)]
        links = memory.links
        for _ in range(jumps if links is not None else 0):
            assert links is not None, "the loop is empty without"
            origin, target = links.origin.to(device), links.target.to(device)
            between = links.energy.to(device) / memory.variance
            onward = torch.where(
                between <= match_radius, between + levels[-1][0][target], torch.inf
            )
            best, which = onward.min(1)
            price, leave = arrive.clone(), nowhere.clone()
            price[origin] = torch.minimum(arrive[origin], best)
            chosen = target.gather(1, which[:, None])[:, 0]
            leave[origin] = torch.where(best < arrive[origin], chosen, -1)
            levels.append((*self._along(price), leave))
        self.to_go, self._stop, self._leave = (
            torch.stack(column) for column in zip(*levels, strict=True)
        )

    def _along(self, price: Tensor) -> tuple[Tensor, Tensor]:
        """(F,) least price at a later row of each row's episode, walking included, and that row."""
        wide = price.new_full(self._wide, torch.inf)
        wide[self.episode, self._offset] = price + self._walked
        best, column = wide.flip(1).cummin(1)
        best, column = best.flip(1), self._wide[1] - 1 - column.flip(1)
        later = self._offset + 1  # a way has at least one step
        stop = column[self.episode, later] + self._starts[self.episode]
        return best[self.episode, later] - self._walked, stop

    def walk(self, start: int, rows: int) -> tuple[int | None, int, int]:
        """Follow the best way.

        Args:
            start: row to begin at, from which there is a way.
            rows: to go.

        Returns:
            The row reached, or None if the goal is no farther than that; the row at which the
            start's episode is left; how often the whole way changes episodes.
        """
        level, row, left = len(self.to_go) - 1, start, rows
        end, jumps, reached = int(self._stop[level, start]), 0, None
        while True:
            stop = int(self._stop[level, row])
            if reached is None and row + left < stop:
                reached = row + left
            left -= stop - row
            row = int(self._leave[level, stop])
            if row < 0:
                return reached, end, jumps
            level, jumps = level - 1, jumps + 1
