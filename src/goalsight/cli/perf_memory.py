"""`goalsight perf memory`: how long an agent waits for a sub-goal."""

from __future__ import annotations

import json as jsonlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from goalsight.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from goalsight.memory import Memory, Search, Segment, SubgoalFinder

EPISODE = 100
"""Frames of a synthetic episode."""
MANIFOLD = 12
"""Dimensions that synthetic latents move in: about the effective rank of trained ones."""
NEAREST = 100
"""Rows nearest to a present that an index should not miss."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One way to search and how long it takes."""

    search: str
    """exact, or the library of the index."""
    p50_ms: float
    """Median time from a present latent to its sub-goal."""
    p95_ms: float
    """95th percentile of it."""
    processor_p95_ms: float
    """95th percentile of the processor's own time for it: what is left on a busy machine."""
    recall: float
    """Share of the `NEAREST` rows truly nearest to a present that are among those it measures."""
    same: float
    """Share of the answers that are those of the exact search."""
    found: float
    """Share of the answers that are a sub-goal, not the goal itself."""
    excess: float
    """How much worse its segments score at most, in units of the latents' variance; infinite if it
    found none where there is one."""


def memory(
    *,
    rows: int = 1_000_000,
    dim: int = 64,
    index: Literal["auto", "exact", "faiss"] = "auto",
    decisions: int = 200,
    threads: int = 1,
    json: bool = False,
) -> None:
    """Measure the time from a present latent to a sub-goal, by index and by looking at every row.

    The latents are synthetic: walks on a curved surface of 12 dimensions, in episodes of 100
    frames. The goal is near a recorded frame, the presents are near frames of episodes that came
    near it later.

    Args:
        rows: recorded latents.
        dim: numbers of a latent.
        index: as in `goalsight memory build`.
        decisions: answers to time.
        threads: processor threads.
        json: print JSON for a machine to read.

    Example:
        goalsight perf memory --rows 1000000 --dim 64
    """
    import torch

    from goalsight.data.progress import delayed_bar
    from goalsight.memory import ExactSearch, search_for
    from goalsight.memory.search import CANDIDATES, LISTS_PROBED, build_index, index_factory
    from goalsight.provenance import hardware

    if rows < EPISODE or decisions < 1:
        raise UserError(f"--rows must be at least {EPISODE} and --decisions 1")
    torch.set_num_threads(threads)
    _limit_library(threads)
    recorded = _walks(rows, dim)
    with delayed_bar("Building the index", "steps") as report:
        began = time.perf_counter()
        kind, content = build_index(recorded.flatten(1), index)
        build_s = time.perf_counter() - began
        report(1, 1)
    made = _memory(recorded, kind, content)
    searches: dict[str, Search] = {"exact": ExactSearch(made, torch.device("cpu"))}
    if kind:
        searches = {kind: search_for(made), **searches}
    answers, goal_ms = _measure(made, searches, *_questions(recorded, decisions))
    facts: dict[str, Any] = {
        "rows": len(recorded),
        "dim": dim,
        "threads": threads,
        "goal_ms": round(goal_ms, 1),
        "build_s": round(build_s, 1),
        "index_mb": 0 if content is None else round(content.numel() / 1e6, 1),
        "index": f"{index_factory(*recorded.flatten(1).shape)}, {LISTS_PROBED} lists probed for "
        f"{CANDIDATES} candidates"
        if kind
        else "",
        "hardware": hardware(),
    }
    if json:
        print(jsonlib.dumps(facts | {"answers": [asdict(answer) for answer in answers]}, indent=2))
    else:
        _print(facts, answers)


def _print(facts: Mapping[str, Any], answers: Sequence[Answer]) -> None:
    """For a person."""
    print("{rows} latents of {dim} numbers, {threads} threads; {hardware}".format(**facts))
    for answer in answers:
        print(
            f"{answer.search:>6}  a sub-goal in {answer.p50_ms:6.2f} ms (p95 {answer.p95_ms:.2f}, "
            f"of the processor {answer.processor_p95_ms:.2f}); {100 * answer.recall:.1f} % of the "
            f"nearest {NEAREST} seen; {100 * answer.found:.0f} % found, {100 * answer.same:.0f} % "
            f"as the exact search, score at most {answer.excess:.3f} worse"
        )
    print("  goal  {goal_ms} ms once a goal: every row is looked at".format(**facts))
    if facts["index"]:
        print(" index  {index}; {build_s} s to build, {index_mb} MB".format(**facts))


def _memory(recorded: Tensor, kind: str, index: Tensor | None) -> Memory:
    """The latents (F, 1, D) as `goalsight memory build` would keep them."""
    import torch

    from goalsight.memory import Memory

    return Memory(
        latents=recorded,
        lengths=torch.full((len(recorded) // EPISODE,), EPISODE),
        every=1,
        frameskip=5,
        variance=float(recorded.var(0).mean()),
        encoder="",
        index=index,
        index_kind=kind,
    )


def _walks(rows: int, dim: int) -> Tensor:
    """(F, 1, D) recorded latents in episodes."""
    import torch

    generator = torch.Generator().manual_seed(0)
    episodes = rows // EPISODE
    start = torch.randn(episodes, 1, MANIFOLD, generator=generator)
    steps = 0.15 * torch.randn(episodes, EPISODE, MANIFOLD, generator=generator)
    places = (start + steps.cumsum(1)).flatten(0, 1)
    straight, bent = (
        torch.randn(MANIFOLD, dim, generator=generator) / MANIFOLD**0.5 for _ in range(2)
    )
    latents = torch.tanh(places @ straight) + 0.3 * torch.sin(places @ bent)
    return (latents / latents.std(0))[:, None].contiguous()


def _questions(recorded: Tensor, decisions: int) -> tuple[Tensor, Tensor]:
    """(n, 1, D) presents and a goal (1, 1, D) that recorded episodes lead to from near them."""
    import torch

    generator = torch.Generator().manual_seed(1)
    goal = recorded[EPISODE * (len(recorded) // EPISODE // 2) + EPISODE - 5]
    nearest = (recorded - goal).square().sum((1, 2)).argsort()
    nearest = nearest[nearest % EPISODE >= EPISODE // 2][:decisions]
    before = torch.randint(10, EPISODE // 2, (len(nearest),), generator=generator)
    presents = recorded[nearest - before]
    noise = 0.2 * torch.randn(len(presents) + 1, *goal.shape, generator=generator)
    return presents + noise[1:], goal[None] + noise[:1]


def _measure(
    memory: Memory, searches: dict[str, Search], presents: Tensor, goal: Tensor
) -> tuple[list[Answer], float]:
    """What each search answers to the same presents, and the time to prepare a goal [ms]."""
    from goalsight.memory import SubgoalConfig, SubgoalFinder

    turns = {}
    goal_ms = 0.0
    for name, search in searches.items():
        finder = SubgoalFinder(memory, SubgoalConfig(), search)
        began = time.perf_counter()
        finder.set_goals(goal)
        goal_ms = 1e3 * (time.perf_counter() - began)
        for present in presents[:3]:
            finder.aim(present[None])
        turns[name] = [_turn(finder, present) for present in presents]
    seen = _recall(searches, presents)
    exact = [turn.segment for turn in turns["exact"]]
    return [_answer(name, turns[name], seen[name], exact) for name in searches], goal_ms


@dataclass(frozen=True)
class _Turn:
    """One answer."""

    segment: Segment | None
    took_ms: float
    busy_ms: float


def _turn(finder: SubgoalFinder, present: Tensor) -> _Turn:
    began, busy = time.perf_counter(), time.process_time()
    segment = finder.aim(present[None]).segments[0]
    took, worked = time.perf_counter() - began, time.process_time() - busy
    return _Turn(segment, 1e3 * took, 1e3 * worked)


def _recall(searches: Mapping[str, Search], presents: Tensor) -> dict[str, float]:
    """Share of the rows truly nearest to the presents that each search measures."""
    import torch

    shares: dict[str, list[float]] = {name: [] for name in searches}
    for present in presents.flatten(1):
        rows, energy = searches["exact"].near(present)
        nearest = rows[energy.topk(min(NEAREST, len(rows)), largest=False).indices]
        for name, search in searches.items():
            among = rows if name == "exact" else search.near(present)[0]
            shares[name].append(float(torch.isin(nearest, among).float().mean()))
    return {name: float(np.mean(values)) for name, values in shares.items()}


def _answer(
    name: str, turns: Sequence[_Turn], recall: float, exact: Sequence[Segment | None]
) -> Answer:
    p50, p95 = np.percentile([turn.took_ms for turn in turns], [50, 95])
    found = [turn.segment for turn in turns]
    worse = [
        0.0 if true is None else float("inf") if mine is None else mine.score - true.score
        for mine, true in zip(found, exact, strict=True)
    ]
    same = np.mean([_rows(mine) == _rows(true) for mine, true in zip(found, exact, strict=True)])
    busy = np.percentile([turn.busy_ms for turn in turns], 95)
    return Answer(
        search=name, p50_ms=round(float(p50), 3), p95_ms=round(float(p95), 3),
        processor_p95_ms=round(float(busy), 3), recall=recall,
        same=float(same), found=1 - found.count(None) / len(found), excess=max(worse),
    )  # fmt: skip


def _rows(segment: Segment | None) -> tuple[int, int] | None:
    """What makes two answers the same: their scores may differ by rounding."""
    return None if segment is None else (segment.start, segment.end)


def _limit_library(threads: int) -> None:
    """Keep faiss, if it is there, to as many threads as PyTorch."""
    from importlib.util import find_spec

    if find_spec("faiss"):
        import faiss

        faiss.omp_set_num_threads(threads)
