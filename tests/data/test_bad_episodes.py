"""`validate` names what is wrong, episode by episode, also where the dataset cannot be opened."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from goalsight.data import open_dataset, validate
from goalsight.data.video import VideoWriter, count_frames, read_video
from goalsight.io import sha256_of

VIDEO = "videos/observation.images.front/chunk-000/file-{:03d}.mp4"
TABLE = "data/chunk-000/file-{:03d}.parquet"
RECORDS = "meta/goalsight_episodes.jsonl"


def found(root: Path) -> list[tuple[int | None, str]]:
    return [(p.episode, p.message) for p in validate(root) if not p.warning]


def vouch_for(root: Path, episode: int) -> None:
    """Record the checksums of an episode's files as they are now, as an importer would."""
    lines = (root / RECORDS).read_text().splitlines()
    record = json.loads(lines[episode])
    record.pop("seal", None)
    record["data_sha256"] = sha256_of(root / TABLE.format(episode))
    record["frames_sha256"] = sha256_of(root / VIDEO.format(episode))
    lines[episode] = json.dumps(record)
    (root / RECORDS).write_text("\n".join(lines) + "\n")


def rewrite(root: Path, episode: int, column: str, change: Callable[[np.ndarray], None]) -> None:
    """Change a column of a table in place, and vouch for it."""
    path = root / TABLE.format(episode)
    table = pq.read_table(path)
    values = table[column].combine_chunks()
    width = values.type.list_size if pa.types.is_fixed_size_list(values.type) else 0
    flat = values.flatten() if width else values
    array = flat.to_numpy(zero_copy_only=False).reshape(len(table), -1).copy()
    change(array)
    new = pa.array(array.ravel())
    new = pa.FixedSizeListArray.from_arrays(new, width) if width else new
    pq.write_table(table.set_column(table.schema.get_field_index(column), column, new), path)
    vouch_for(root, episode)


def film(root: Path, episode: int, frames: np.ndarray, fps: float = 10) -> None:
    writer = VideoWriter(root / VIDEO.format(episode), frames.shape[1], fps)
    for frame in frames:
        writer.add(frame)
    writer.close()
    vouch_for(root, episode)


def test_missing_files_are_all_named_and_hide_nothing_else(video_dataset: Path) -> None:
    (video_dataset / VIDEO.format(1)).unlink()
    (video_dataset / TABLE.format(3)).unlink()
    rewrite(video_dataset, 2, "action", lambda a: a.fill(7))
    episodes = [episode for episode, _ in found(video_dataset)]
    assert episodes == [1, 2, 2, 3]
    said = " ".join(message for _, message in found(video_dataset))
    for words in ("file-001.mp4 is missing", "file-003.parquet is missing", "outside [-1, 1]"):
        assert words in said


def test_a_cut_video_is_named_with_the_frames_that_are_left(video_dataset: Path) -> None:
    path = video_dataset / VIDEO.format(1)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 19 // 20])
    [(episode, said)] = found(video_dataset)
    left = count_frames(path)
    assert episode == 1
    assert 0 < left < 12
    assert said.endswith(f"{left} of 12 frames can be decoded")


def test_a_cut_video_that_somebody_vouched_for_is_still_too_short(video_dataset: Path) -> None:
    """The usual reader takes it without a word: twelve frames, the last ones repeated."""
    path = video_dataset / VIDEO.format(1)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 19 // 20])
    vouch_for(video_dataset, 1)
    [(episode, said)] = found(video_dataset)
    assert episode == 1
    assert "file-001.mp4" in said


def test_frames_of_another_episode_are_recognised(video_dataset: Path) -> None:
    other = (video_dataset / VIDEO.format(2)).read_bytes()
    (video_dataset / VIDEO.format(1)).write_bytes(other)
    [(episode, said)] = found(video_dataset)
    assert (episode, said.endswith("these are the frames of episode 2")) == (1, True)


def late(times: np.ndarray) -> None:
    times[5:] += 0.03


def no_number(values: np.ndarray) -> None:
    values[4, 0] = np.nan


def too_far(values: np.ndarray) -> None:
    values[[2, 9], 1] = 1.5


def still(values: np.ndarray) -> None:
    values[:] = values[0]


@pytest.mark.parametrize(
    ("column", "change", "said"),
    [
        ("timestamp", late, "'timestamp' is 0.53 s in row 5 where 10 frames a second make 0.5 s"),
        ("observation.state", no_number, "column 'observation.state' is not finite in row 4"),
        ("state.square", no_number, "column 'state.square' is not finite in row 4"),
        ("action", too_far, "'dy' is 1.5 in row 2, outside [-1, 1] (in all, 2 of 24 numbers"),
        ("action", still, "column 'action' is the same in all 12 rows"),
        ("observation.state", still, "column 'observation.state' is the same in all 12 rows"),
    ],
)
def test_values_that_cannot_be_are_named(
    video_dataset: Path, column: str, change: Callable[[np.ndarray], None], said: str
) -> None:
    rewrite(video_dataset, 2, column, change)
    [(episode, message)] = found(video_dataset)
    assert episode == 2
    assert said in message


def test_every_damaged_column_of_a_table_is_named(video_dataset: Path) -> None:
    rewrite(video_dataset, 0, "action", no_number)
    rewrite(video_dataset, 0, "state.speed", no_number)
    said = [message for _, message in found(video_dataset)]
    assert ["'action'" in said[0], "'state.speed'" in said[1], len(said)] == [True, True, 2]


def test_an_episode_that_repeats_another_is_named_and_the_first_is_not(
    video_dataset: Path,
) -> None:
    twin = pq.read_table(video_dataset / TABLE.format(0))

    def repeat(column: str) -> Callable[[np.ndarray], None]:
        flat = twin[column].combine_chunks().flatten().to_numpy().reshape(12, -1)
        return lambda values: np.copyto(values, flat)

    for column in ("action", "observation.state"):
        rewrite(video_dataset, 3, column, repeat(column))
    [(episode, said)] = found(video_dataset)
    assert (episode, "episode 3 repeats episode 0" in said) == (3, True)


def test_a_camera_that_stood_still_is_named(video_dataset: Path) -> None:
    frames = read_video(video_dataset / VIDEO.format(1), 12)
    film(video_dataset, 1, np.repeat(frames[:1] * 0, 12, axis=0))
    [(episode, said)] = found(video_dataset)
    assert (episode, "same picture in all 12 frames while" in said) == (1, True)


def test_a_video_of_another_frame_rate_is_named(video_dataset: Path) -> None:
    film(video_dataset, 1, read_video(video_dataset / VIDEO.format(1), 12), fps=30)
    [(episode, said)] = found(video_dataset)
    assert (episode, "runs at 30 frames a second where 10" in said) == (1, True)


def test_an_axis_that_never_changes_is_a_warning_and_no_problem(video_dataset: Path) -> None:
    for episode in range(4):
        rewrite(video_dataset, episode, "action", lambda a: a[:, 1].fill(0.25))
    (video_dataset / "meta/stats.json").unlink()
    problems = validate(video_dataset)
    assert [problem.warning for problem in problems] == [True]
    assert "'dy' is 0.25 in every row of every episode" in problems[0].message


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("total_episodes", 5, "total_episodes 5 where 4 are recorded"),
        ("total_episodes", 2, "total_episodes 2 where 4 are recorded"),
        ("total_frames", 47, "total_frames 47 where the episodes make 48"),
        ("video_path", "videos/{episode}.mp4", "video_path 'videos/{episode}.mp4' where"),
    ],
)
def test_a_wrong_total_is_named_and_no_episode_is_blamed(
    video_dataset: Path, name: str, value: object, said: str
) -> None:
    path = video_dataset / "meta/info.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
    assert {episode for episode, _ in found(video_dataset)} == {None}
    assert said in found(video_dataset)[0][1]


def test_a_version_that_lost_its_name_is_named(video_dataset: Path) -> None:
    """Opening refuses such a dataset; validate once found nothing wrong with it."""
    path = video_dataset / "meta/info.json"
    path.write_text(path.read_text().replace("codebase_version", "codebase_versiom"))
    assert ["codebase_version is missing" in said for _, said in found(video_dataset)] == [True]


def test_a_damaged_record_names_its_line_and_its_episode_alone(video_dataset: Path) -> None:
    lines = (video_dataset / RECORDS).read_text().splitlines()
    lines[2] = lines[2].replace("length", "lenght")
    (video_dataset / RECORDS).write_text("\n".join(lines) + "\n")
    [(episode, said)] = found(video_dataset)
    assert (episode, "(line 3)" in said) == (2, True)


def test_statistics_that_are_not_those_of_the_data_are_named(video_dataset: Path) -> None:
    path = video_dataset / "meta/stats.json"
    stats = json.loads(path.read_text())
    stats["action"]["mean"][1] += 0.2
    path.write_text(json.dumps(stats))
    assert "'action' is not what the episodes make" in found(video_dataset)[0][1]
    path.unlink()  # absent is no problem: the next run makes them
    assert found(video_dataset) == []


def test_checking_changes_nothing(video_dataset: Path) -> None:
    before = sorted(str(path) for path in video_dataset.rglob("*"))
    validate(video_dataset)
    assert sorted(str(path) for path in video_dataset.rglob("*")) == before
    assert len(open_dataset(video_dataset).records) == 4
