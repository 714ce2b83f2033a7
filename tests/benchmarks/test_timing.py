"""What is compared takes turns, and stands beside its floor."""

from __future__ import annotations

import json

import pytest
from tests.clock import Clock

from benchmarks.timing import beside, clocked, in_turns, show
from goalsight.errors import UserError


def test_turns_alternate_and_the_warm_up_is_left_out() -> None:
    order: list[str] = []
    seconds = {"a": [9.0, 3.0, 1.0, 2.0], "b": [9.0, 30.0, 10.0, 20.0]}

    def turn(name: str) -> float:
        order.append(name)
        return seconds[name][len(order) // 2 - (len(order) % 2 == 0)]

    found = in_turns({"a": lambda: turn("a"), "b": lambda: turn("b")}, 3, warm_up=1)
    assert order == ["a", "b"] * 4
    assert (found["a"].milliseconds, found["a"].least, found["a"].turns) == (2000, 1000, 3)
    assert (found["b"].milliseconds, found["b"].least) == (20_000, 10_000)
    assert beside("a", found["b"], "b", found["a"]).ratio == 10


def test_a_turn_is_the_mean_of_its_work(clock: Clock) -> None:
    clock.tick = 0
    seconds = iter([0.1, 0.2, 0.3, 0.4])
    assert clocked(lambda: clock.sleep(next(seconds)), times=4)() == pytest.approx(0.25)
    assert next(seconds, None) is None


def test_no_round_is_refused() -> None:
    with pytest.raises(UserError, match="at least 1 round, got 0"):
        in_turns({}, 0)


def test_a_measurement_is_printed_with_its_floor(capsys: pytest.CaptureFixture[str]) -> None:
    found = in_turns({"slow": lambda: 4e-3, "floor": lambda: 1e-3}, 3)
    one = beside("slow work", found["slow"], "quick work", found["floor"])
    show([one], json=True)
    assert json.loads(capsys.readouterr().out)["ratio"] == pytest.approx(4)
    show([one, one], json=False)
    printed = capsys.readouterr().out
    assert printed.count("| slow work | 4 | 4 | 250 | 1 | 1 | 4.0 |") == 2
    assert "floor: quick work; 3 turns of each" in printed
