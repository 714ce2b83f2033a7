"""Two runs compared pair by pair, and the script that prints it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from goalsight.benchmark.results import Results, compare_runs, p_value, to_json, verdict
from goalsight.errors import UserError
from goalsight.io import replace_json

SCRIPT = Path(__file__).parents[2] / "scripts" / "mcnemar.py"
_spec = importlib.util.spec_from_file_location("mcnemar", SCRIPT)
assert _spec is not None
assert _spec.loader is not None
script = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(script)
Made = Callable[..., Results]


def saved(folder: Path, results: Results) -> Path:
    folder.mkdir()
    replace_json(folder / "results.json", to_json(results))
    return folder


def test_only_pairs_on_which_the_runs_differ_count(results_of: Made) -> None:
    """5 won, 1 lost of 9: two-sided binomial, 2 x (1 + 6) / 64."""
    first = results_of(agent=[1, 1, 1, 1, 1, 0, 1, 0, 1])
    second = results_of(agent=[0, 0, 0, 0, 0, 1, 1, 0, 1])
    test = compare_runs(first, second)
    assert (test.only_first, test.only_second) == (5, 1)
    assert test.p == pytest.approx(2 * 7 / 64)
    assert compare_runs(second, first).only_first == 1


def test_the_order_in_which_pairs_were_played_says_nothing(results_of: Made) -> None:
    first, second = results_of(agent=[1, 0, 0]), results_of(agent=[1, 1, 0])
    shuffled = replace(second, pairs=second.pairs[::-1])
    assert compare_runs(first, shuffled) == compare_runs(first, second)


def test_runs_of_two_manifests_are_refused(results_of: Made) -> None:
    with pytest.raises(UserError, match=r"two manifests, written .aaaa.* only identical pairs"):
        compare_runs(results_of(agent=[1]), results_of("b" * 64, agent=[1]))


def test_runs_of_different_length_are_compared_only_where_both_played(results_of: Made) -> None:
    first, second = results_of(agent=[1, 1, 0, 0]), results_of(agent=[0, 0])
    with pytest.raises(UserError, match=r"played 4 and 2 pairs of written; .* --pairs 2"):
        compare_runs(first, second)
    assert compare_runs(first, second, pairs=2).only_first == 2
    with pytest.raises(UserError, match="--pairs 2"):
        compare_runs(first, second, pairs=3)
    with pytest.raises(UserError, match="at least 1, got 0"):
        compare_runs(first, second, pairs=0)


def test_a_row_that_was_not_played_is_named_with_those_that_were(results_of: Made) -> None:
    with pytest.raises(UserError, match="no row 'gcbc' in the run of written; it has: agent, zero"):
        compare_runs(results_of(agent=[1], zero=[0]), results_of(agent=[1]), ("gcbc", "agent"))


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (1e-7, "p < 0.001"),
        (0.001, "p = 0.001"),
        (0.0103, "p = 0.010"),
        (0.0953, "p = 0.10"),
        (1.0, "p = 1.00"),
    ],
)
def test_a_probability_has_the_digits_that_say_something(p: float, text: str) -> None:
    assert p_value(p) == text


def test_the_script_prints_one_line(
    results_of: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = saved(tmp_path / "a", results_of(agent=[1, 1, 0], hold=[0, 0, 0]))
    second = saved(tmp_path / "b", results_of(agent=[0, 1, 0]))
    assert script.main([str(first), str(second)]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"written, 3 pairs: {first} (agent) against {second} (agent): 1 won, 0")
    assert verdict(compare_runs(results_of(agent=[1]), results_of(agent=[0]))) in told
    assert script.main([str(first), str(first), "--rows", "agent", "zero", "--pairs", "1"]) == 0
    assert "1 pairs" in capsys.readouterr().out


def test_the_script_says_in_one_line_why_it_cannot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.main([str(tmp_path / "a"), str(tmp_path / "b")]) == 2
    line = capsys.readouterr().err
    assert line.startswith("mcnemar: ")
    assert line.endswith("a/results.json is missing; give the folder of a run of goalsight bench\n")
