"""One page that needs nothing else, shows every episode, and hides no failure."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from goalsight.benchmark.results import (
    Results,
    compare,
    film_path,
    load_results,
    row_result,
    to_json,
)
from goalsight.cli.main import main
from goalsight.errors import UserError
from goalsight.report import page as pages
from goalsight.report import write_report
from goalsight.report.page import settings_hash
from goalsight.report.table import COLOURS

VOID = {"meta", "img", "br", "path", "use", "line", "polyline", "rect", "image", "input"}


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
    assert [row for row, _, _ in shown[4:]] == ["zero"] * 4


def test_an_episode_shows_rollout_and_goal(outline: Outline) -> None:
    """Every row is filmed evenly, if not equally often, so that every episode is a video."""
    tags = [tag for tag, _ in outline.seen]
    assert tags.count("video") == 8
    strips = [a for tag, a in outline.seen if tag == "image" and "strip" in str(a["id"])]
    assert len(strips) == 8
    uses = [a["href"] for tag, a in outline.seen if tag == "use" and "goal" in str(a.get("href"))]
    assert len(uses) == 8


def test_everything_to_look_at_is_also_said(outline: Outline) -> None:
    """A picture is hidden from a screen reader (a legend's key) or it has words."""
    for tag, attributes in outline.seen:
        if tag in {"svg", "video"}:
            assert attributes.get("aria-label") or attributes.get("aria-hidden"), attributes
    curves = [str(a.get("aria-label")) for tag, a in outline.seen if tag == "svg"]
    assert any("agent: 25 % at 22.5 cm" in label for label in curves)


def test_without_javascript_nothing_is_hidden_and_videos_play(outline: Outline) -> None:
    for tag, attributes in outline.seen:
        if tag == "article":
            assert "hidden" not in attributes
        if tag == "video":
            assert "controls" in attributes
            assert str(attributes["src"]).startswith("data:video/mp4;base64,")
            assert str(attributes["poster"]).startswith("data:image/webp;base64,")
        if tag in {"form", "button"}:  # of no use without JavaScript, which shows them
            assert "hidden" in attributes


def test_the_table_says_what_was_measured(page: str) -> None:
    assert "25&nbsp;%" in page  # one of four held
    assert "50&nbsp;%" in page  # two of four reached
    assert "40 / 60 ms" not in page  # percentiles, not extremes
    assert "cube_pos" in page
    assert "agent held 1 of 4 goals to the end" in page
    assert "<b>No difference shown between agent and zero</b>: agent alone solved 1 pair" in page


def test_the_page_says_where_it_comes_from(page: str, results: Results) -> None:
    assert "goalsight bench --out &#39;&lt;b&gt;&#39;" in page
    for said in ("abc123", "f00d", "beef", "a processor", "planner.samples: 200"):
        assert said in page
    assert settings_hash(results) in page
    other = replace(results, agent={"planner": {"samples": 201}, "replan": 1})
    assert settings_hash(other) != settings_hash(results)


def test_names_cannot_break_the_page(page: str, outline: Outline) -> None:
    assert "alert(1)" in page
    assert [tag for tag, _ in outline.seen].count("script") == 1


def test_the_page_reads_on_a_phone_and_in_the_dark(page: str) -> None:
    assert 'name="viewport" content="width=device-width' in page
    assert "prefers-color-scheme: dark" in page


def test_text_and_row_colours_stand_out_in_light_and_dark(page: str) -> None:
    """WCAG 2.2 asks 4.5 : 1 of text; marks of rows get as much, though 3 : 1 would do."""
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6});", block))
        for block in re.findall(r":root \{(.*?)\}", page, flags=re.DOTALL)
    )
    for theme in (light, dark):
        names = [name for name in theme if name in {"ink", "soft"} or name.endswith("-ink")]
        names += [name for name in theme if name.startswith("row")]
        assert len(names) == 5 + len(COLOURS)
        low = {n: contrast(theme[n], theme["card"]) for n in names}
        assert {n: ratio for n, ratio in low.items() if ratio < 4.5} == {}


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def test_rows_nobody_knew_of_just_work(results: Results, run: Path, tmp_path: Path) -> None:
    """Another name, three times over: nothing on the page hangs on what a row is called."""
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    names = {"zero": ["gcbc"], "agent": ["mine", "mine shuffled", "theirs"]}
    pairs = [replace(o, row=new) for o in results.pairs for new in names[o.row]]
    for o in results.pairs:
        for new in names[o.row]:
            shutil.copy(film_path(run, o.row, o.pair), film_path(copy, new, o.pair))
    rows = [name for group in names.values() for name in group]
    tests = compare(rows, pairs)
    table = [row_result(row, [o for o in pairs if o.row == row]) for row in rows]
    other = replace(results, rows=table, pairs=pairs, mcnemar=tests)
    (copy / "results.json").write_text(json.dumps(to_json(other)))
    page = write_report(copy).read_text(encoding="utf-8")
    assert page.count("<article") == 16
    assert "theirs held 1 of 4" in page
    assert "mine and mine shuffled solved the same pairs" in page


def test_a_page_keeps_to_its_size(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room runs out: each row's worst failures keep their videos, and the page says how many."""
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    whole = write_report(copy).read_text(encoding="utf-8")
    video = max(len(src) for src in re.findall(r'src="(data:video[^"]+)', whole))
    monkeypatch.setattr(pages, "VIDEO_BYTES", 3 * video)
    monkeypatch.setattr(pages, "STILL_BYTES", 4000)
    page = write_report(copy).read_text(encoding="utf-8")
    videos = re.findall(r'aria-label="video of pair (\d) by (\w+)', page)
    assert ("3", "agent") in videos
    assert ("3", "zero") in videos
    assert 2 <= len(videos) < 8
    assert sum(map(len, re.findall(r'src="(data:video[^"]+)', page))) <= 3 * video
    assert sum(map(len, re.findall(r'id="strip\d+"[^>]*href="([^"]+)', page))) <= 4000
    assert f"Of 8 episodes {len(videos)} have a video here" in page
    assert page.count("<article") == 8


def test_runs_of_old_are_still_read(results: Results, run: Path, tmp_path: Path) -> None:
    """Before they said how the agent planned and which steps succeeded."""
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    content = to_json(results)
    del content["agent"]
    for pair in content["pairs"]:
        del pair["inside"]
    (copy / "results.json").write_text(json.dumps(content))
    page = write_report(copy).read_text(encoding="utf-8")
    assert "did not keep which steps succeeded" in page


def test_the_command_writes_the_page_again(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    assert main(["report", str(copy)]) == 0
    assert capsys.readouterr().out == f"report: {copy / 'report.html'}\n"
    assert (copy / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


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
    with pytest.raises(UserError, match=r"results.json is missing; give the folder of a run"):
        write_report(tmp_path)
