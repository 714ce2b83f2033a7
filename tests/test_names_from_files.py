"""A name in a file that somebody sent never makes a command write or read elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from tests.benchmark.conftest import written_manifest
from tests.data.importers.conftest import (
    record,
    write_lerobot_v3,
    write_lerobot_v21,
    write_robomimic,
)

from goalsight.benchmark.manifest import load_manifest, save_manifest
from goalsight.benchmark.results import film_path
from goalsight.checkpoint import save_checkpoint
from goalsight.cli.compare import read_comparison
from goalsight.cli.main import main
from goalsight.data.collect import CollectConfig, collect
from goalsight.data.importers import ImportConfig, import_log
from goalsight.errors import DatasetError, ManifestError, OutputError, UserError
from goalsight.io import read_json, replace_json, seal
from goalsight.models import WorldModel, WorldModelConfig

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """One short episode."""
    out = tmp_path / "home" / "data"
    collect(
        CollectConfig(
            env="Goalsight/Reach-v0", episodes=1, out=out, size=32, steps=8, policy="random"
        )
    )
    return out


def refused(status: int, capsys: Capture, *words: str) -> None:
    said = capsys.readouterr().err
    assert status == 2
    assert said.count("\n") == 1
    for word in words:
        assert word in said


def files_in(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def test_a_suite_writes_no_results_where_a_manifests_name_points(
    tmp_path: Path, capsys: Capture
) -> None:
    manifest = written_manifest(1.5)
    path = save_manifest(manifest, tmp_path)
    evil = replace(manifest, name="../../evil")
    with pytest.raises(ManifestError, match="name"):
        save_manifest(evil, tmp_path / "a" / "b")
    content = json.loads(path.read_text()) | {"name": evil.name, "hash": evil.hash}
    path.write_text(json.dumps(content))
    (tmp_path / "s.yaml").write_text(yaml.safe_dump({"manifests": [str(path)], "rows": ["random"]}))
    before = files_in(tmp_path)
    suite = ["--suite", str(tmp_path / "s.yaml"), "--out", str(tmp_path / "a" / "b")]
    refused(main(["bench", *suite]), capsys, str(path), "name is '../../evil'", "leads out")
    assert files_in(tmp_path) == before
    with pytest.raises(ManifestError, match="name"):
        load_manifest(path)


def changed_camera(dataset: Path, camera: str) -> None:
    """What a stranger may send: everything fits but the name."""
    path = dataset / "meta/goalsight.json"
    said = {name: value for name, value in read_json(path).items() if name != "seal"}
    replace_json(path, seal(said | {"camera": camera}))


def test_a_memory_is_not_built_over_what_a_cameras_name_points_at(
    dataset: Path, tmp_path: Path, capsys: Capture
) -> None:
    with torch.random.fork_rng(devices=[]):
        model = WorldModel(WorldModelConfig(image_size=32)).eval()
    save_checkpoint(tmp_path / "model", model, {})
    changed_camera(dataset, "../../../evil")
    before = files_in(tmp_path)
    command = ["--checkpoint", str(tmp_path / "model"), "--data", str(dataset)]
    status = main(["memory", "build", *command, "--out", str(tmp_path / "m")])
    refused(status, capsys, "goalsight.json", "camera is '../../../evil'")
    assert files_in(tmp_path) == before


def test_an_export_writes_no_video_where_a_features_name_points(
    tmp_path: Path, capsys: Capture
) -> None:
    source = write_lerobot_v3(tmp_path / "log", record(0, (12,)))
    out = tmp_path / "home" / "mine"
    import_log(ImportConfig(source=source, out=out))
    path = out / "meta/goalsight_import.json"
    from goalsight.data.importers.record import ImportRecord

    said = ImportRecord.from_json(read_json(path), path)
    replace_json(path, replace(said, camera="../../../evil").to_json())
    before = files_in(tmp_path)
    status = main(["data", "export", str(out), "--out", str(tmp_path / "plain")])
    refused(status, capsys, "../../../evil", "leads out")
    assert files_in(tmp_path) == before


@pytest.mark.parametrize("version", [write_lerobot_v21, write_lerobot_v3])
@pytest.mark.parametrize("field", ["data_path", "video_path"])
@pytest.mark.parametrize("way", ["../other/{}", "{root}/other/{}"])
def test_an_import_reads_no_file_outside_that_a_template_points_at(
    version: Callable[..., Path], field: str, way: str, tmp_path: Path
) -> None:
    """The other log fits: without the check it would be read."""
    for name in ("log", "other"):
        version(tmp_path / name, record(0, (12, 9)))
    info = tmp_path / "log/meta/info.json"
    said: dict[str, Any] = json.loads(info.read_text())
    said[field] = way.replace("{root}", str(tmp_path)).replace("{}", said[field])
    info.write_text(json.dumps(said))
    with pytest.raises(DatasetError, match=rf"info\.json: {field} is .*other.*inside of its"):
        import_log(ImportConfig(source=tmp_path / "log", out=tmp_path / "d"))
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("template", ["{episode_index.real}", "{nothing}", "{0}", "{", "\0"])
def test_a_template_that_is_none_is_one_line(template: str, tmp_path: Path) -> None:
    source = write_lerobot_v21(tmp_path / "log", record(0, (12,)))
    info = source / "meta/info.json"
    info.write_text(json.dumps(json.loads(info.read_text()) | {"data_path": template}))
    with pytest.raises(DatasetError) as said:
        import_log(ImportConfig(source=source, out=tmp_path / "d"))
    assert "\n" not in str(said.value)


@pytest.mark.parametrize("way", ["../secret.png", "{root}/secret.png"])
def test_an_import_shows_no_picture_from_outside_of_the_log(way: str, tmp_path: Path) -> None:
    from PIL import Image

    episodes = record(0, (12,))
    source = write_lerobot_v21(tmp_path / "log", episodes)
    Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(tmp_path / "secret.png")
    info = json.loads((source / "meta/info.json").read_text())
    info["features"]["observation.images.top"]["dtype"] = "image"
    (source / "meta/info.json").write_text(json.dumps(info))
    path = source / "data/chunk-000/episode_000000.parquet"
    cells = [{"bytes": None, "path": way.replace("{root}", str(tmp_path))}] * 12
    table = pq.read_table(path)
    pq.write_table(table.append_column("observation.images.top", [cells]), path)
    with pytest.raises(DatasetError, match=r"picture of 'observation.images.top' is .*secret.png"):
        import_log(ImportConfig(source=source, out=tmp_path / "d"))


@pytest.mark.parametrize("kind", ["link", "storage"])
def test_an_hdf5_log_is_read_from_one_file(kind: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    source = write_robomimic(tmp_path / "log", record(0, (12,)))
    with h5py.File(source, "a") as file:
        demo = file["data/demo_8/obs"]
        if kind == "link":
            demo["secret"] = h5py.ExternalLink("other.hdf5", "/x")
        else:
            (tmp_path / "secret").write_bytes(bytes(96))
            where = [(str(tmp_path / "secret"), 0, 96)]
            demo.create_dataset("secret", (12, 1), "f8", external=where)
    with pytest.raises(DatasetError, match=r"obs/secret is kept in another file"):
        import_log(ImportConfig(source=source, out=tmp_path / "d"))


@pytest.mark.parametrize(
    ("field", "content"),
    [
        ("rows", {"rows": {"../../evil": {"train": ""}}}),
        ("rows", {"rows": {"/evil": {"train": ""}}}),
        ("benches", {"benches": ["../evil"]}),
    ],
)
def test_a_comparisons_rows_and_benches_are_folders_of_its_own(
    field: str, content: dict[str, Any], tmp_path: Path
) -> None:
    plan = {"collect": "", "minutes": 1.0, "pairs": 1, "benches": ["push-near"]}
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump({**plan, "rows": {"a": {"train": ""}}, **content}))
    with pytest.raises(UserError, match=rf"c\.yaml: {field} is .*evil"):
        read_comparison(path)


def test_a_film_is_one_of_the_run_whatever_its_row_is_called(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="row is"):
        film_path(tmp_path, "../../evil", 1)
