"""Two merges into one folder at the same time: one is made, no source is touched."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from goalsight.data import open_dataset, validate
from goalsight.data.collect import CollectConfig, collect
from goalsight.data.merge import merge
from goalsight.errors import OutputError
from goalsight.io import new_folder, sha256_of

TRIES = 4
PROGRAM = """
import sys, time
from pathlib import Path
from goalsight.cli.main import main
import goalsight.data.merge  # what takes long is over before the two set off
print("ready", flush=True)
sys.stdin.readline()
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two datasets whose files are of one name and of other content."""
    root = tmp_path_factory.mktemp("sources")
    for seed, name in enumerate("ab"):
        collect(
            CollectConfig(
                env="Goalsight/Reach-v0",
                episodes=3,
                out=root / name,
                size=32,
                steps=6,
                policy="random",
                seed=seed,
                video="none",
            )
        )
    return [root / "a", root / "b"]


def bytes_of(folders: list[Path]) -> dict[Path, str]:
    return {
        path: sha256_of(path)
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_plus_b_and_b_plus_a_at_once_leave_both_as_they_were(
    sources: list[Path], tmp_path: Path
) -> None:
    """A copy into a link of the other one's would write into its source."""
    before = bytes_of(sources)
    for number in range(TRIES):
        out = tmp_path / str(number)
        runs = [
            subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    PROGRAM,
                    "data",
                    "merge",
                    "--out",
                    str(out),
                    *(flag for path in order for flag in ("--data", str(path))),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for order in (sources, sources[::-1])
        ]
        for run in runs:
            assert run.stdout is not None
            assert run.stdout.readline() == "ready\n"
        for run in runs:
            assert run.stdin is not None
            run.stdin.write("\n")
            run.stdin.flush()
        errors = [run.communicate(timeout=60)[1] for run in runs]
        assert sorted(run.returncode for run in runs) == [0, 2], errors
        (said,) = [error for run, error in zip(runs, errors, strict=True) if run.returncode]
        assert said.startswith("goalsight: error: ")
        assert said.count("\n") == 1
        assert bytes_of(sources) == before
        assert [problem for problem in validate(out) if not problem.warning] == []
        assert len(open_dataset(out).records) == 6
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_while_another_merge_holds_the_folder_nothing_in_it_is_touched(
    sources: list[Path], tmp_path: Path
) -> None:
    parts = [open_dataset(path) for path in sources]
    with new_folder(tmp_path / "out") as building:
        building.mkdir()
        (building / "theirs").write_text("theirs")
        with pytest.raises(OutputError, match=r"another goalsight process is writing to .*out"):
            merge(parts, tmp_path / "out")
        assert (building / "theirs").read_text() == "theirs"
