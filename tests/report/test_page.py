"""One page that needs nothing else, shows every episode, and hides no failure."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from goalsight.benchmark.results import Results, load_results, to_json
from goalsight.errors import UserError
from goalsight.report import write_report
from goalsight.report.plots import colour_of, distance_over_time, success_over_start

VOID = {"meta", "img", "br", "path", "use", "line", "polyline", "rect"}


class Outline(HTMLParser):
    """Collects tags with their attributes and checks that they close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    return write_report(run).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def outline(page: str) -> Outline:
    parser = Outline()
    parser.feed(page)
    assert parser.open == []
    return parser


def test_the_page_needs_no_other_file(outline: Outline) -> None:
    """No address leads out of it: pictures and videos are inside."""
    for tag, attributes in outline.seen:
        for name in ("src", "data-src", "href", "xlink:href"):
            address = attributes.get(name)
            assert address is None or address.startswith(("data:", "#")), (tag, address)


def test_every_episode_is_there_failures_of_the_agent_first(outline: Outline) -> None:
    cards = [attributes for tag, attributes in outline.seen if tag == "article"]
    shown = [(card["data-row"], card["data-pair"], card["data-kind"]) for card in cards]
    assert shown[:4] == [
        ("agent", "3", "missed"),
        ("agent", "1", "missed"),
        ("agent", "2", "lost"),
        ("agent", "0", "held"),
    ]
    assert [row for row, _, _ in shown[4:]] == ["hold"] * 4


def test_an_episode_shows_start_goal_and_rollout(outline: Outline) -> None:
    tags = [tag for tag, _ in outline.seen]
    assert tags.count("img") == 2 * 8
    assert tags.count("video") == 4  # the agent's: only its every step was filmed
    pictures = [attributes for tag, attributes in outline.seen if tag == "img"]
    assert all(picture["alt"] for picture in pictures)


def test_the_table_says_what_was_measured(page: str) -> None:
    assert "25 %" in page  # one of four held
    assert "50 %" in page  # two of four reached
    assert "40 / 60 ms" not in page  # percentiles, not extremes
    assert "cube_pos" in page
    assert "+1 / −0, p = 1.000" in page
    assert "abc123" in page


def test_names_cannot_break_the_page(page: str, outline: Outline) -> None:
    assert "alert(1)" in page
    assert [tag for tag, _ in outline.seen].count("script") == 1


def test_the_page_reads_on_a_phone_and_in_the_dark(page: str) -> None:
    assert 'name="viewport" content="width=device-width' in page
    assert "prefers-color-scheme: dark" in page


def test_plots_take_their_ink_from_the_page_and_are_the_same_each_time(results: Results) -> None:
    for plot in (distance_over_time, success_over_start):
        svg = plot(results)
        assert svg == plot(results)
        assert "currentColor" in svg
        assert "#000000" not in svg
        assert not re.search(r"fill: ?#fff", svg)


def test_every_row_has_a_colour_of_its_own() -> None:
    rows = ["random", "hold", "expert", "agent", "oracle", "gcbc"]
    assert len({colour_of(row, rows) for row in rows}) == len(rows)


def test_results_read_back_as_they_were_written(results: Results, run: Path) -> None:
    assert load_results(run / "results.json") == results


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"schema": 9}, "has schema 9, this goalsight reads 1"),
        ({"rows": 3}, "is not a results.json of goalsight"),
        ({"extra": 3}, "is not a results.json of goalsight"),
    ],
)
def test_other_results_are_refused(
    results: Results, tmp_path: Path, changed: dict[str, object], message: str
) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps({**to_json(results), **changed}))
    with pytest.raises(UserError, match=message):
        load_results(path)


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*results.json: No such file"):
        write_report(tmp_path)
