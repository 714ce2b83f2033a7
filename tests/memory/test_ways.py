"""Ways that change episodes: links where two were at one place, and the best way over them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from goalsight.errors import MemoryFileError
from goalsight.memory import ExactSearch, Memory, SubgoalConfig, SubgoalFinder, load_memory
from goalsight.memory.build import save_memory
from goalsight.memory.links import find_links
from goalsight.memory.ways import Ways


def linked(episodes: list[Tensor], stride: int = 1) -> Memory:
    """A memory of episodes (n, V) in blocks of 2 steps, with its links."""
    rows, lengths = torch.cat(episodes), torch.tensor([len(episode) for episode in episodes])
    return Memory(
        latents=rows[:, None],
        lengths=lengths,
        every=1,
        frameskip=2,
        variance=1.0,
        encoder="a",
        links=find_links(rows, lengths, stride),
    )


def line(*values: float) -> Tensor:
    return torch.tensor(values)[:, None]


def walks(seed: int, episodes: int = 6, length: int = 12) -> list[Tensor]:
    steps = 0.4 * torch.randn(episodes, length, 2, generator=torch.Generator().manual_seed(seed))
    return list(steps.cumsum(1))


def test_a_row_is_linked_to_the_nearest_row_of_each_other_episode() -> None:
    memory = linked([line(0, 1, 2), line(1.9, 1.2), line(5.0, 0.1, 0.2)])
    links = memory.links
    assert links is not None
    assert links.origin.tolist() == list(range(8))
    assert links.target[1, :2].tolist() == [4, 7]  # 1.2 is nearest to 1, then 0.2
    assert links.energy[1, :2].tolist() == pytest.approx([0.04, 0.64], abs=1e-5)
    assert links.energy[1, 2:].isinf().all()
    assert linked([line(*map(float, range(9)))], stride=3).links.origin.tolist() == [0, 3, 6]  # type: ignore[union-attr]


def test_a_way_goes_on_in_another_episode_where_none_alone_leads_there(tmp_path: Path) -> None:
    first, second = line(*map(float, range(10))), line(*[value + 0.1 for value in range(8, 20)])
    memory = linked([first, second])
    save_memory(memory, tmp_path / "m")
    memory = load_memory(tmp_path / "m")  # with its links
    aims = {}
    for jumps in (0, 1):
        config = SubgoalConfig(aim_blocks=2, match_radius=0.3, step_cost=0.01, jumps=jumps)
        finder = SubgoalFinder(memory, config, ExactSearch(memory, torch.device("cpu")))
        finder.set_goals(line(16.0)[None])
        for now in (3.0, 7.0):
            aims[jumps, now] = finder.aim(line(now)[None]).segments[0]
    assert aims[0, 3.0] is aims[0, 7.0] is None
    early, late = aims[1, 3.0], aims[1, 7.0]
    assert early is not None
    assert late is not None
    assert (early.start, early.aim, early.jumps) == (3, 7, 1)
    assert (late.episode, late.jumps) == (0, 1)
    assert float(memory.latents[late.aim]) == pytest.approx(11.1)  # 4 rows on, in the other one


def test_changing_episodes_without_links_is_refused() -> None:
    memory = replace(linked([line(0.0, 1.0)]), links=None)
    with pytest.raises(MemoryFileError, match="goalsight memory build --links"):
        SubgoalFinder(memory, SubgoalConfig(jumps=1), ExactSearch(memory, torch.device("cpu")))


@given(seed=st.integers(0, 2**16), jumps=st.integers(0, 3), pace=st.floats(0, 0.2))
@settings(max_examples=20)
def test_no_way_is_cheaper_than_the_one_found(seed: int, jumps: int, pace: float) -> None:
    memory = linked(walks(seed))
    rows, links = memory.latents[:, 0], memory.links
    assert links is not None
    energy = (rows - rows[40]).square().mean(1)
    ways = Ways(memory, energy, match_radius=0.2, step_cost=pace, jumps=jumps)

    @cache
    def cheapest(row: int, left: int) -> float:
        """By trying every later row of the episode, and every link from it."""
        found = [float("inf")]
        for stop in range(row + 1, 12 * (row // 12 + 1)):
            walked = pace * (stop - row) / 2
            if energy[stop] <= 0.2:
                found.append(walked + float(energy[stop]))
            if left:
                found += [
                    walked + cost + cheapest(target, left - 1)
                    for target, cost in zip(
                        links.target[stop].tolist(), links.energy[stop].tolist(), strict=True
                    )
                    if cost <= 0.2
                ]
        return min(found)

    for row in range(0, memory.rows, 5):
        assert float(ways.to_go[-1, row]) == pytest.approx(cheapest(row, jumps), abs=1e-4)


@given(seed=st.integers(0, 2**16))
@settings(max_examples=20)
def test_following_a_way_pays_its_price(seed: int) -> None:
    memory = linked(walks(seed))
    rows = memory.latents[:, 0]
    energy = (rows - rows[40]).square().mean(1)
    ways = Ways(memory, energy, match_radius=0.2, step_cost=0.1, jumps=3)
    for row in torch.nonzero(ways.to_go[-1].isfinite()).squeeze(1).tolist()[::4]:
        reached = [ways.walk(row, steps)[0] for steps in range(30)]
        there = reached.index(None)  # steps to the goal
        assert reached[there:] == [None] * (30 - there)
        end, jumps = ways.walk(row, 0)[1:]
        assert row < end < 12 * (row // 12 + 1)
        assert 0.1 * there / 2 <= float(ways.to_go[-1, row]) + 1e-5
        assert len({place // 12 for place in reached[:there] if place is not None}) <= jumps + 1
