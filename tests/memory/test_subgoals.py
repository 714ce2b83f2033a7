"""Sub-goals: the best recorded segment of all, and a frame on it that is not too far."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from goalsight.memory import (
    ExactSearch,
    LibrarySearch,
    Memory,
    Segment,
    SubgoalConfig,
    SubgoalFinder,
)
from goalsight.memory.search import build_index, index_factory

CPU = torch.device("cpu")
WALK = [float(i) for i in range(20)]
CONFIG = SubgoalConfig(aim_blocks=2, match_radius=0.3, step_cost=0.01, switch_margin=0.0)


def memory_of(*episodes: list[float], every: int = 1, frameskip: int = 2) -> Memory:
    """Latents of one number each, with variance 1 as the unit."""
    rows = torch.tensor([value for episode in episodes for value in episode])
    return Memory(
        latents=rows[:, None, None],
        lengths=torch.tensor([len(episode) for episode in episodes]),
        every=every,
        frameskip=frameskip,
        variance=1.0,
        encoder="a",
    )


def latents(*values: float) -> Tensor:
    """(B, 1, 1)."""
    return torch.tensor(values)[:, None, None]


def finder(memory: Memory, goal: Tensor, config: SubgoalConfig = CONFIG) -> SubgoalFinder:
    made = SubgoalFinder(memory, config, ExactSearch(memory, CPU))
    made.set_goals(goal)
    return made


def test_it_aims_so_many_blocks_ahead_on_the_segment_from_here_to_the_goal() -> None:
    """Blocks of 2 control steps, a row a step: 2 blocks ahead of row 3 is row 7."""
    aim = finder(memory_of(WALK), latents(15.1)).aim(latents(3.2))
    segment = aim.segments[0]
    assert segment is not None
    assert (segment.start, segment.aim, segment.end) == (3, 7, 15)
    assert segment.score == pytest.approx(0.04 + 0.01 + 0.01 * 12 / 2, abs=1e-5)
    assert aim.latents.tolist() == [[[7.0]]]


def test_rows_kept_at_every_other_step_are_counted_in_blocks_too() -> None:
    aim = finder(memory_of(WALK, every=2, frameskip=2), latents(15.0)).aim(latents(3.0))
    assert aim.segments[0] is not None
    assert aim.segments[0].aim == 5


@pytest.mark.parametrize(
    ("why", "memory", "now", "goal"),
    [
        ("the segment is no longer than the model's range", memory_of(WALK), 3.0, 7.0),
        ("the recorded way leads there from here, not back", memory_of(WALK), 15.0, 3.0),
        ("nothing was recorded near the present", memory_of(WALK), -5.0, 15.0),
        ("nothing was recorded near the goal", memory_of(WALK), 3.0, 40.0),
        ("no single episode was near both", memory_of(WALK[:10], WALK[10:]), 3.0, 15.0),
        ("the present is nearer than any segment promises", memory_of(WALK), 3.0, 3.1),
    ],
)
def test_the_goal_itself_is_aimed_at_where(
    why: str, memory: Memory, now: float, goal: float
) -> None:
    aim = finder(memory, latents(goal)).aim(latents(now))
    assert aim.segments == (None,), why
    assert torch.equal(aim.latents, latents(goal))


def test_of_two_ways_the_shorter_is_taken_and_left_only_for_a_better_one() -> None:
    slow = [value / 2 for value in range(40)]
    memory = memory_of(slow, WALK)
    way = finder(memory, latents(15.0)).aim(latents(3.0)).segments[0]
    assert way is not None
    assert way.episode == 1
    followed = Segment(episode=0, start=6, aim=10, end=30, jumps=0, score=0.0)
    for stay, episode in ((0.0, 1), (0.05, 1), (0.1, 0)):  # the price of 12 more rows is 0.06
        config = SubgoalConfig(aim_blocks=2, match_radius=0.3, step_cost=0.01, switch_margin=stay)
        segment = finder(memory, latents(15.0), config).aim(latents(3.0), (followed,)).segments[0]
        assert segment is not None
        assert segment.episode == episode


def random_memory(seed: int, episodes: int = 12, length: int = 30) -> Memory:
    generator = torch.Generator().manual_seed(seed)
    steps = 0.3 * torch.randn(episodes, length, 2, 3, generator=generator)
    lengths = torch.randint(2, length + 1, (episodes,), generator=generator)
    rows = steps.cumsum(1)
    kept = [episode[:n] for episode, n in zip(rows, lengths.tolist(), strict=True)]
    return Memory(
        latents=torch.cat(kept), lengths=lengths, every=1, frameskip=3, variance=0.5, encoder="a"
    )


def by_hand(memory: Memory, config: SubgoalConfig, now: Tensor, goal: Tensor) -> float:
    """Score of the best segment, by looking at every pair of rows of every episode."""
    best, first = float("inf"), 0
    for length in memory.lengths.tolist():
        rows = memory.latents[first : first + length]
        here = (rows - now).square().mean((1, 2)) / memory.variance
        there = (rows - goal).square().mean((1, 2)) / memory.variance
        for i in range(length):
            for j in range(i + 1, length):
                if here[i] <= config.match_radius and there[j] <= config.match_radius:
                    score = here[i] + there[j] + config.step_cost * (j - i) / 3
                    best = min(best, float(score))
        first += length
    return best


@settings(max_examples=25)
@given(seed=st.integers(0, 2**16), near=st.floats(0.05, 3), pace=st.floats(0, 0.3))
def test_no_pair_of_rows_is_better_than_the_segment_found(
    seed: int, near: float, pace: float
) -> None:
    memory = random_memory(seed)
    config = SubgoalConfig(aim_blocks=1, match_radius=near, step_cost=pace, switch_margin=0.0)
    now, goal = memory.latents[1:2] + 0.1, memory.latents[-2:-1] - 0.1
    segment = finder(memory, goal, config).aim(now).segments[0]
    best = by_hand(memory, config, now[0], goal[0])
    direct = float((now - goal).square().mean()) / memory.variance
    if segment is None:
        return  # within range, or straight on is better: tested above
    assert segment.score == pytest.approx(best, abs=1e-4)
    assert best < direct
    assert segment.start < segment.aim < segment.end


@given(seed=st.integers(0, 2**16))
@settings(max_examples=10)
def test_a_problem_in_a_batch_is_answered_as_alone(seed: int) -> None:
    memory = random_memory(seed, episodes=30)
    config = SubgoalConfig(aim_blocks=1, match_radius=2.0)
    picks = torch.randint(memory.rows, (2, 6), generator=torch.Generator().manual_seed(seed))
    now, goals = memory.latents[picks[0]] + 0.05, memory.latents[picks[1]] - 0.05
    together = finder(memory, goals, config).aim(now)
    for problem in range(6):
        one = slice(problem, problem + 1)
        alone = finder(memory, goals[one], config).aim(now[one])
        assert alone.segments[0] == together.segments[problem]
        assert torch.equal(alone.latents[0], together.latents[problem])


def test_goals_come_first_and_have_the_memorys_shape() -> None:
    made = SubgoalFinder(memory_of(WALK), CONFIG, ExactSearch(memory_of(WALK), CPU))
    with pytest.raises(RuntimeError, match=r"call set_goals\(goals\) first"):
        made.aim(latents(1.0))
    with pytest.raises(ValueError, match=r"goals must be \(B, 1, 1\), got \(1, 2, 1\)"):
        made.set_goals(torch.zeros(1, 2, 1))
    made.set_goals(latents(1.0))
    with pytest.raises(ValueError, match="goals, got"):
        made.aim(latents(1.0, 2.0))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("aim_blocks", 0),
        ("jumps", -1),
        ("match_radius", -1.0),
        ("step_cost", -1.0),
        ("switch_margin", -0.1),
    ],
)
def test_a_setting_out_of_range_is_named(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{field} must be"):
        SubgoalConfig(**{field: value})  # type: ignore[arg-type]


def test_an_index_answers_as_looking_at_every_row_does() -> None:
    pytest.importorskip("faiss")
    memory = random_memory(0, episodes=300)
    kind, content = build_index(memory.latents.flatten(1), "faiss")
    assert kind == "faiss"
    again = build_index(memory.latents.flatten(1), "faiss")[1]
    assert content is not None
    assert again is not None
    assert torch.equal(content, again)
    indexed = Memory(**{**vars(memory), "index": content, "index_kind": kind})
    search = LibrarySearch(indexed, candidates=64)
    config = SubgoalConfig(
        aim_blocks=1, match_radius=0.05
    )  # fewer rows are that near than it is asked for
    through = SubgoalFinder(indexed, config, search)
    goal = memory.latents[700:701]
    through.set_goals(goal)
    exact = finder(memory, goal, config)
    found = []
    for row in [*range(685, 700), *range(0, memory.rows, 197)]:
        now = memory.latents[row : row + 1] + 0.02
        mine, true = through.aim(now).segments[0], exact.aim(now).segments[0]
        assert (mine is None) == (true is None)
        if mine is not None and true is not None:
            found.append(mine)
            assert mine.score == pytest.approx(true.score, abs=1e-5)
            assert replace(mine, score=0.0) == replace(true, score=0.0)
    assert found


@pytest.mark.parametrize("numbers", [2, 5, 64])
def test_an_index_of_codes_misses_few_of_the_nearest(numbers: int) -> None:
    """Latents of any width; the codes rank roughly, so more are asked for than are wanted."""
    pytest.importorskip("faiss")
    stream = torch.Generator().manual_seed(0)
    surface = torch.randn(6, numbers, generator=stream)  # latents fill few of their dimensions
    rows = torch.tanh(torch.randn(20_000, 6, generator=stream) @ surface)
    assert "PQ" in index_factory(*rows.shape)
    kind, content = build_index(rows, "faiss")
    memory = Memory(
        latents=rows[:, None],
        lengths=torch.full((200,), 100),
        every=1,
        frameskip=1,
        variance=1.0,
        encoder="",
        index=content,
        index_kind=kind,
    )
    through, exact = LibrarySearch(memory), ExactSearch(memory, torch.device("cpu"))
    for query in torch.tanh(torch.randn(10, 6, generator=stream) @ surface):
        nearest = exact.energy(query).topk(50, largest=False).indices
        found, energy = through.near(query)
        assert torch.isin(nearest, found).float().mean() > 0.9
        torch.testing.assert_close(energy, exact.energy(query)[found], atol=1e-4, rtol=1e-4)
