"""One part of a run out of several, so that machines can share the work without talking."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from goalsight.errors import UserError

T = TypeVar("T")


@dataclass(frozen=True)
class Shard:
    """Which part: shard 2 of 3 plays the second, fifth, eighth... item of the table."""

    index: int
    """From 1 to `count`."""
    count: int
    """Parts in all."""

    def __post_init__(self) -> None:
        """Raises UserError where there is no such part."""
        if not 1 <= self.index <= self.count:
            raise UserError(f"shard must be 1/N to N/N, got {self.index}/{self.count}")

    def of(self, items: Sequence[T]) -> list[T]:
        """This shard's items; those of all shards together are all of them, each once.

        >>> Shard(2, 3).of("abcdefgh")
        ['b', 'e', 'h']
        """
        return list(items[self.index - 1 :: self.count])

    def __str__(self) -> str:
        """As the user types it."""
        return f"{self.index}/{self.count}"


def parse_shard(text: str) -> Shard | None:
    """A shard as it is typed, or None where nothing is.

    Raises:
        UserError: if it is not two numbers.

    >>> parse_shard("2/3")
    Shard(index=2, count=3)
    """
    if not text:
        return None
    found = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    if not found:
        raise UserError(f"shard is typed I/N, such as 1/3, got {text!r}")
    return Shard(int(found[1]), int(found[2]))
