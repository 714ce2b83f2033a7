"""Imported logs are validated, mended and reported on like anything else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from goalsight.data import open_dataset, validate
from goalsight.data.importers import ImportConfig, Keys, import_log, read_record
from goalsight.data.repair import write_good
from goalsight.data.report import judge, measure, write_page
from goalsight.data.report.page import sample
from goalsight.data.report.verdict import unknown

Writers = dict[str, Callable[..., Path]]


def imported(writers: Writers, recorded: list[Any], root: Path, **changes: Any) -> Path:
    source = writers["lerobot v2.1"](root / "log", recorded)
    import_log(ImportConfig(source=source, out=root / "d", size=32, **changes))
    return root / "d"


def test_an_import_without_proprio_is_sound_and_gets_its_page(
    log_writers: Writers, recorded: list[Any], tmp_path: Path
) -> None:
    root = imported(log_writers, recorded, tmp_path, keys=Keys(state="none"))
    assert [p.message for p in validate(root) if not p.warning] == []
    dataset = open_dataset(root)
    found = measure(dataset, window=5)
    assert (found.hand, found.objects, found.r2) == (None, (), None)
    assert len(unknown(found)) == 3
    assert "are few" in judge(found)[0].title
    page = write_page(dataset, found, sample(dataset), tmp_path / "page.html").read_text()
    assert page.count("data:image/webp") == len(recorded)


def test_a_bad_episode_of_an_import_goes_and_the_others_keep_their_names(
    log_writers: Writers, recorded: list[Any], tmp_path: Path
) -> None:
    root = imported(log_writers, recorded, tmp_path)
    before = read_record(root)
    assert before is not None
    [video] = (root / "videos").rglob("file-001.mp4")
    video.write_bytes(video.read_bytes()[:-50])
    good = tmp_path / "good"
    write_good(root, good, validate(root))
    after = read_record(good)
    assert after is not None
    assert after.episode_names == [before.episode_names[0], before.episode_names[2]]
    assert after.tasks == [before.tasks[0], before.tasks[2]]
    assert [p.message for p in validate(good) if not p.warning] == []
