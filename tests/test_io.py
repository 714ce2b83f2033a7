"""Names, files and folders: nothing leads outside, nothing is half written, nothing is lost."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goalsight import io
from goalsight.errors import DatasetError, OutputError, UserError

OUTSIDE = [
    "",
    " ",
    ".",
    "..",
    "../x",
    "a/../../x",
    "/etc/passwd",
    "C:x",
    "C:\\x",
    "\\x",
    "a\\..\\..\\x",
    "//host/share",
    "\\\\host\\share",
    "a\0b",
    "a\nb",
    "a\x7fb",
    None,
    3,
    ["a"],
]


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("nested", [False, True])
def test_a_name_that_leads_out_of_its_folder_is_refused(name: object, nested: bool) -> None:
    with pytest.raises(DatasetError, match=r"info.json: video_path is .*; it must be") as refused:
        io.inside(
            Path("d"),
            name,
            source="info.json",
            field="video_path",
            nested=nested,
            error=DatasetError,
        )
    assert "\n" not in str(refused.value)


def test_a_folder_below_is_a_matter_of_being_asked_for() -> None:
    path = io.inside(Path("d"), "a/b.mp4", source="a.json", field="name", nested=True)
    assert path == Path("d/a/b.mp4")
    for name in ("a/b.mp4", "a\\b.mp4"):
        with pytest.raises(UserError, match=r"a.json: name is .* is a path; .* plain name"):
            io.inside(Path("d"), name, source="a.json", field="name")


@given(name=st.text(alphabet="./\\ab: \0\n~", max_size=12), nested=st.booleans())
def test_whatever_is_let_through_stays_inside(name: str, nested: bool) -> None:
    try:
        path = io.inside(Path("/home/d"), name, source="f", field="n", nested=nested)
    except UserError:
        return
    assert os.path.normpath(path).startswith("/home/d/")


def test_a_reader_sees_the_old_file_or_the_new_one_and_an_error_leaves_the_old(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.json"
    io.replace_json(path, {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        io.replace_json(path, {"a": float("nan")})
    with pytest.raises(IsADirectoryError), io.replacing(path) as beside:
        tmp_path.write_text("half" * beside.write_text("half"))
    assert io.read_json(path) == {"a": 1}
    assert [found.name for found in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_json_that_is_none_is_one_line_with_the_files_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(OutputError, match=r"a.json .*; choose another") as refused:
        io.read_json(path, error=OutputError, advice="choose another --out")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"[1]", b"a: [", b"\xff", b"a: 2000-99-99"])
def test_yaml_that_is_none_is_one_line_with_the_files_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a.yaml ") as refused:
        io.read_yaml(path, "a suite")
    assert "\n" not in str(refused.value)


def test_a_second_name_never_opens_a_file_that_is_there(tmp_path: Path) -> None:
    """A copy into what is a name of somebody's file would write over that file."""
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    mine.write_text("mine")
    theirs.write_text("theirs")
    for make in (io.link_or_copy, io.copy_new):
        with pytest.raises(FileExistsError):
            make(mine, theirs)
    assert theirs.read_text() == "theirs"


@pytest.mark.parametrize(
    ("number", "copied"),
    [
        (errno.EXDEV, True),
        (errno.EPERM, True),
        (errno.ENOTSUP, True),
        (errno.EMLINK, True),
        (errno.ENOSPC, False),
        (errno.EACCES, False),
        (errno.EIO, False),
    ],
)
def test_a_file_is_copied_only_where_there_can_be_no_link(
    number: int, copied: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(source: object, target: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", link)
    (tmp_path / "a").write_text("a")
    if copied:
        io.link_or_copy(tmp_path / "a", tmp_path / "b")
        assert (tmp_path / "b").read_text() == "a"
        return
    with pytest.raises(OSError, match=os.strerror(number)):
        io.link_or_copy(tmp_path / "a", tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_new_folder_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    with pytest.raises(FileExistsError), io.new_folder(out) as building:
        io.copy_new(__file__, shutil.copy(__file__, building))
    assert list(out.parent.iterdir()) == []
    out.mkdir()
    with io.new_folder(out) as building:
        building.mkdir()
        (building / "a").touch()
        assert list(out.iterdir()) == []
    assert [path.name for path in out.parent.rglob("*")] == ["out", "a"]
    with pytest.raises(OutputError, match="is already there"), io.new_folder(out):
        pytest.fail("nothing may be built for a place that is taken")


def test_two_never_build_one_folder_and_the_first_is_not_disturbed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with io.new_folder(out) as building:
        building.mkdir()
        (building / "a").touch()
        with (
            pytest.raises(OutputError, match=r"another .* is writing to .*out"),
            io.new_folder(out),
        ):
            pytest.fail("the first one is not done")
        assert (building / "a").exists()
    assert (out / "a").exists()


def test_what_a_killed_run_left_beside_goes_when_the_folder_is_built_again(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from goalsight import io\n"
        "with io.new_folder(Path(sys.argv[1])) as building:\n"
        "    building.mkdir(); (building / 'half').touch(); os._exit(9)\n"
    )
    out = tmp_path / "out"
    done = subprocess.run([sys.executable, "-c", program, str(out)], check=False)
    assert done.returncode == 9
    assert not out.exists()
    with io.new_folder(out) as building:
        building.mkdir()
    assert [path.name for path in tmp_path.rglob("*")] == ["out"]


def test_a_lock_ends_with_its_process_and_not_before(tmp_path: Path) -> None:
    with io.FolderLock(tmp_path), pytest.raises(OutputError, match="another goalsight train"):
        io.FolderLock(tmp_path, who="goalsight train")
    io.FolderLock(tmp_path).release()


def test_a_checksum_of_parts_is_that_of_the_whole(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"push-near")
    assert io.sha256("push", b"-", memoryview(b"near")) == io.sha256_of(tmp_path / "a")


def test_a_sealed_object_that_was_changed_is_noticed(tmp_path: Path) -> None:
    sealed = io.seal({"a": 1, "b": 2})
    assert io.unseal(sealed, tmp_path) == {"a": 1, "b": 2}
    assert io.unseal({"a": 1}, tmp_path) == {"a": 1}
    with pytest.raises(UserError, match="not what was written"):
        io.unseal({**sealed, "a": 2}, tmp_path)
