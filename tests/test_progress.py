"""One bar for everything that takes long; what is short or quiet draws nothing."""

from __future__ import annotations

import time

import pytest

from goalsight.progress import progress_bar, silent, styled_bar


def test_short_work_draws_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("Counting") as report:
        for done in range(5):
            report(done, 4)
    silent(1, 2)
    assert capsys.readouterr() == ("", "")


def test_a_bar_says_what_is_counted_and_how_much_on_stderr_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with progress_bar("Counting", "sheep", delay_s=0) as report:
        report(3, 9)
        report(4, 9)
        time.sleep(0.3)  # rich draws ten times a second
    out, err = capsys.readouterr()
    assert out == ""
    assert "Counting" in err
    assert "4/9" in err
    assert "sheep" in err


def test_what_was_there_before_says_nothing_of_the_time_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """500 of 600 were there: two more in two seconds leave 98, not 5."""
    clock = [0.0]
    made = []

    def bar(*columns: object, **options: object) -> object:
        made.append(styled_bar(*columns))  # type: ignore[arg-type]
        made[-1].get_time = lambda: clock[0]
        return made[-1]

    monkeypatch.setattr("goalsight.progress.styled_bar", bar)
    with progress_bar("Collecting") as report:
        for done in (500, 501, 502, 503):
            report(done, 600)
            clock[0] += 1
        assert made[0].tasks[0].time_remaining == pytest.approx(97, abs=1)
