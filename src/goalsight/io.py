"""Files and folders: the one place that replaces, locks, hashes and names them.

Whatever is written appears whole or not at all, so that a kill leaves the old content or the new.
Whatever name comes out of a file becomes a path through `inside` alone.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import TracebackType
from typing import TYPE_CHECKING, Any

from goalsight.errors import OutputError, UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEAL = "seal"
"""Name under which an object of ours keeps a checksum of itself."""
NO_LINKS = frozenset({errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK})
"""What a file system answers that cannot give this file a second name there."""
NO_LOCKS = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS, errno.EBADF})
"""What a file system answers that cannot lock a folder; some network file systems say EBADF."""

# -- names -----------------------------------------------------------------------------------


def inside(
    folder: Path,
    name: object,
    *,
    source: Path | str,
    field: str,
    nested: bool = False,
    error: type[UserError] = UserError,
) -> Path:
    """The path of a name that was read from a file; it never leads out of its folder.

    A link that lies in the folder is the folder's own and is followed.

    Args:
        folder: what the name is relative to.
        name: as it was read.
        source: file that it was read from, for the message.
        field: of that file, likewise.
        nested: whether it may name something in a folder below.
        error: kind of the error.

    Raises:
        UserError: (or `error`) if the name is no text, is empty or absolute, has a drive letter, a
            `..` or a control character, or names a folder below and is not `nested`.

    >>> inside(Path("runs"), "push-near", source="a.json", field="name").as_posix()
    'runs/push-near'
    """
    if problem := _problem(name, nested=nested):
        raise error(f"{source}: {field} is {name!r}, which {problem}; {_WANTED[nested]}")
    return folder / str(name)


_WANTED = {
    False: "it must be the plain name of a file or folder",
    True: "it must be a path inside of its folder",
}


def _problem(name: object, *, nested: bool) -> str | None:
    """What keeps a name from being used as a path, on this machine or another."""
    if not isinstance(name, str):
        return "is no text"
    if not name.strip():
        return "is empty"
    if any(ord(character) < 32 or ord(character) == 127 for character in name):
        return "has a control character"
    windows = PureWindowsPath(name)  # reads both / and \ as separators
    if windows.drive:
        return "names a drive"
    if windows.root or PurePosixPath(name).is_absolute():
        return "is an absolute path"
    if ".." in windows.parts:
        return "leads out of its folder"
    if not windows.parts or (not nested and len(windows.parts) != 1):
        return "is a path"
    return None


# -- writing ---------------------------------------------------------------------------------


def replace_file(path: Path, content: bytes) -> None:
    """Write `content` beside `path` and rename it into place.

    The rename is atomic, so a reader (or a run killed in between) sees the old file or the new
    one. The name beside ends in the process id and six random digits: two writers never share it,
    not even two machines that write into one shared folder.
    """
    with replacing(path) as beside:
        beside.write_bytes(content)


@contextmanager
def replacing(path: Path, tag: str = "", *, first: bool = True) -> Iterator[Path]:
    """`replace_file` for a library that writes to a path: it writes to the one this yields.

    Args:
        path: what is replaced.
        tag: end of the name beside, where all processes of a run must know one name.
        first: whether this one, of several processes that write together, renames it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    tag = tag or f"{os.getpid()}{secrets.randbelow(10**6):06d}"
    beside = path.with_name(f".{path.name}.{tag}")
    try:
        yield beside
        if first:
            beside.replace(path)
    finally:
        if first:
            beside.unlink(missing_ok=True)


def replace_text(path: Path, text: str) -> None:
    """Write text as UTF-8, atomically."""
    replace_file(path, text.encode())


def remove_unfinished(folder: Path) -> None:
    """Delete what killed writers left beside their targets in a folder (not below it)."""
    for beside in folder.glob(".*.*"):
        if beside.suffix[1:].isdigit():
            beside.unlink(missing_ok=True)


def json_text(value: object) -> str:
    """A value as indented JSON; ValueError for NaN, which JSON does not have."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def replace_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON, atomically; NaN is refused because JSON has none."""
    replace_text(path, json_text(value))


def yaml_text(value: Mapping[str, Any]) -> str:
    """Plain values as YAML, in their order."""
    import yaml

    text: str = yaml.safe_dump(dict(value), sort_keys=False)
    return text


def replace_yaml(path: Path, value: Mapping[str, Any]) -> None:
    """Write plain values as YAML, atomically and in their order."""
    replace_text(path, yaml_text(value))


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Build a folder beside `out`; it takes that name at the end of the block, whole.

    The place beside is locked before anything in it is touched: of two processes that build one
    folder, the second ends in one line. A kill leaves nothing at `out`; what it leaves beside
    goes when the same folder is built again.

    Args:
        out: not there yet, or an empty folder.

    Yields:
        Where to build; not there yet, its parent is.

    Raises:
        OutputError: if there is something at `out`, or another process is building it.
        OSError: if it cannot be written.
    """
    check_free(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    around = out.with_name(f".{out.name}.building")
    around.mkdir(exist_ok=True)
    with FolderLock(around, out):
        try:
            for left in around.iterdir():  # of a killed run
                _remove(left)
            check_free(out)  # whoever held the lock before may have made it
            yield (building := around / out.name)
            if out.exists():
                out.rmdir()
            building.rename(out)
        finally:
            shutil.rmtree(around, ignore_errors=True)


def check_free(out: Path) -> None:
    """Refuse a place that is taken.

    Raises:
        OutputError: if there is anything but an empty folder.
    """
    if os.path.lexists(out) and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out} is already there and holds something; give --out a new folder")


def swap_folder(new: Path, folder: Path, aside: Path) -> None:
    """Put a finished folder in place of another one.

    Between its two renames a kill leaves the old one at `aside`; a reader looks there, too.

    Args:
        new: takes the name of `folder`.
        folder: goes; may be missing.
        aside: where it is for a moment.
    """
    if folder.exists():
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
    new.rename(folder)
    shutil.rmtree(aside, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """Delete a folder of ours with all that is in it, if it is there."""
    shutil.rmtree(path, ignore_errors=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def link_or_copy(source: Path | str, target: Path | str) -> None:
    """Give a file a second name; only where there can be none, copy it.

    Raises:
        FileExistsError: if there is something at `target`: it may be a name of another's file.
        OSError: if it cannot be written.
    """
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        copy_new(source, target)


def copy_new(source: Path | str, target: Path | str) -> None:
    """Copy a file to a name that nothing has yet.

    Raises:
        FileExistsError: if there is something at `target`; it is not opened.
        OSError: if it cannot be written.
    """
    with Path(source).open("rb") as old, Path(target).open("xb") as new:
        shutil.copyfileobj(old, new)
    shutil.copystat(source, target)


class FolderLock:
    """A folder held until it is released or the process ends, however it ends.

    A file system without locks gives none: nothing more can be done there.
    """

    def __init__(self, path: Path, out: Path | None = None, who: str = "goalsight process") -> None:
        """Take the lock.

        Args:
            path: folder, must exist.
            out: what to call it in the message; `path` itself by default.
            who: probably holds it, for the message.

        Raises:
            OutputError: if another process, or another part of this one, holds it.
        """
        busy = OutputError(
            f"another {who} is writing to {out or path}; wait for it or use another --out"
        )
        try:
            self._descriptor: int | None = os.open(path, os.O_RDONLY)
        except FileNotFoundError:  # whoever held it was done with it just now
            raise busy from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise busy from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                self.release()
                raise
        if not _is_still(self._descriptor, path):
            self.release()
            raise busy

    def release(self) -> None:
        """Give it back; does nothing the second time."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> FolderLock:
        """The lock itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give it back."""
        self.release()


def _is_still(descriptor: int, path: Path) -> bool:
    """Whether a path names what was opened; the one before us may have removed or renamed it."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


# -- reading ---------------------------------------------------------------------------------


def read_bytes(
    path: Path, *, most: int | None = None, error: type[UserError] = UserError, advice: str = ""
) -> bytes:
    """What a file holds; a device or a pipe behind its name is not waited for and not read.

    Args:
        path: of the file.
        most: bytes that such a file can have at the most; None for as many as it has.
        error: kind of the error.
        advice: the way out, if there is a better one than to restore the file.

    Raises:
        UserError: (or `error`) if it is missing, no file, larger, or cannot be read.
    """
    way_out = advice or "restore it"
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise error(f"{path} is no file; {way_out}")
            if most is not None and found.st_size > most:
                raise error(f"{path} has {found.st_size} bytes, {most} at the most; {way_out}")
            return file.read()
    except FileNotFoundError:
        raise error(f"{path} is missing; {way_out}") from None
    except OSError as problem:
        raise error(f"{path} cannot be read: {problem.strerror or problem}; {way_out}") from None


def read_text(path: Path, *, error: type[UserError] = UserError, advice: str = "") -> str:
    """A file's text.

    Args:
        path: UTF-8.
        error: kind of the error.
        advice: the way out, if there is a better one than to restore the file.

    Raises:
        UserError: (or `error`) if it is missing or cannot be read.
    """
    try:
        return read_bytes(path, error=error, advice=advice).decode("utf-8")
    except UnicodeDecodeError as problem:
        way_out = advice or "restore it"
        raise error(f"{path} cannot be read as text: {problem}; {way_out}") from None


def read_json(
    path: Path, *, error: type[UserError] = UserError, advice: str = ""
) -> dict[str, Any]:
    """A JSON object; arguments and errors as `read_text`, also where it is something else."""
    way_out = advice or "restore it"
    try:
        value = json.loads(read_text(path, error=error, advice=advice))
    except (ValueError, RecursionError) as problem:
        raise error(f"{path} is not JSON: {problem}; {way_out}") from None
    if not isinstance(value, dict):
        raise error(f"{path} must hold a JSON object, got {type(value).__name__}; {way_out}")
    return value


def read_yaml(
    path: Path, what: str = "YAML", *, error: type[UserError] = UserError
) -> dict[str, Any]:
    """A YAML mapping.

    Args:
        path: its file.
        what: the file is meant to be, for the message.
        error: kind of the error.

    Raises:
        UserError: (or `error`) if it is missing, cannot be read, is not YAML or no mapping.
    """
    return parse_yaml(read_text(path, error=error), path, what, error=error)


def parse_yaml(
    text: str | bytes, source: Path, what: str = "YAML", *, error: type[UserError] = UserError
) -> dict[str, Any]:
    """What `read_yaml` gives of a text that was read already; `source` is its file."""
    import yaml

    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as problem:  # ValueError: 2000-99-99
        reason = " ".join(str(problem).split())
        raise error(f"{source} is not {what}: {reason}") from None
    if not isinstance(value, dict):
        raise error(
            f"{source} is not {what}: it must hold names and values, got {type(value).__name__}"
        )
    return value


# -- checksums -------------------------------------------------------------------------------


def sha256(*parts: bytes | memoryview | str) -> str:
    """Hex SHA-256 of some content, one part after another; text counts as UTF-8."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part)
    return digest.hexdigest()


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal(value: Mapping[str, Any]) -> dict[str, Any]:
    """The same object with a checksum of itself, so that a changed byte is noticed."""
    return {**value, SEAL: _digest(value)}


def unseal(
    value: Mapping[str, Any], path: Path, *, error: type[UserError] = UserError
) -> dict[str, Any]:
    """What `seal` was given; an object without a seal comes from before there were seals.

    Raises:
        UserError: (or `error`) if it is not what was sealed.
    """
    content = {name: item for name, item in value.items() if name != SEAL}
    if value.get(SEAL, expected := _digest(content)) != expected:
        raise error(
            f"{path} is not what was written (its {SEAL} does not fit); restore it from a copy"
        )
    return content


def _digest(value: Mapping[str, Any]) -> str:
    """16 hex digits of the SHA-256 of the object, whatever the order of its names."""
    return sha256(json.dumps(value, sort_keys=True))[:16]


# -- content ---------------------------------------------------------------------------------


def npy_bytes(array: NDArray[Any]) -> bytes:
    """An array as the content of a .npy file (`np.save` to a file hides why a write failed)."""
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def npz_bytes(*, compressed: bool = True, **arrays: NDArray[Any]) -> bytes:
    """Named arrays as the content of an .npz file."""
    import numpy as np

    buffer = io.BytesIO()
    named: dict[str, Any] = dict(arrays)
    (np.savez_compressed if compressed else np.savez)(buffer, **named)
    return buffer.getvalue()
