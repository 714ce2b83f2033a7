"""Small logs with one quirk each, made out of sound ones, and what was read of them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from goalsight.cli.main import main
from goalsight.data import open_dataset
from goalsight.data.frames import decode_episode
from goalsight.data.importers import ImportConfig, import_log, read_record

CAMERA = "observation.image"
DATA = Path("data/chunk-000/file-000.parquet")
FILM = Path(f"videos/{CAMERA}/chunk-000/file-000.mp4")
LIST = Path("meta/episodes/chunk-000/file-000.parquet")


def mark(recorded: list[Any]) -> list[Any]:
    """The same episodes; frames carry episode (2 bits) and row (5 bits) in black and white."""
    for number, episode in enumerate(recorded):
        for t, frame in enumerate(episode.frames):
            bits = [number >> i & 1 for i in range(2)] + [t >> i & 1 for i in range(5)] + [1, 0]
            frame[:] = 128
            for i, bit in enumerate(bits):
                y, x = i // 3 * 8, 4 + i % 3 * 8
                frame[y : y + 8, x : x + 8] = 215 if bit else 40
    return recorded


def read_mark(frame: np.ndarray) -> tuple[int, int]:
    """Episode and row of a marked frame, (24, 24, 3) or (24, 32, 3)."""
    left = (frame.shape[1] - 24) // 2
    bits = [int(frame[i // 3 * 8 + 4, left + i % 3 * 8 + 4].mean() > 127) for i in range(9)]
    assert bits[7:] == [1, 0], "no marked frame, or not upright"
    return bits[0] + 2 * bits[1], sum(bit << i for i, bit in enumerate(bits[2:7]))


def assert_true(source: Path, out: Path, recorded: list[Any], **changes: Any) -> None:
    """Import a log: every row and every frame must be the one that was recorded."""
    import_log(ImportConfig(source=source, out=out, **{"video": "none", **changes}))
    dataset, record = open_dataset(out), read_record(out)
    assert record is not None
    assert dataset.episodes.tolist() == [len(e.actions) for e in recorded]
    for number, episode in enumerate(recorded):
        own = record.scale.from_unit(dataset.read_episode(number, dataset.widths())["action"])
        np.testing.assert_allclose(own, episode.actions, rtol=0, atol=1e-5)
        found = [read_mark(frame) for frame in decode_episode(dataset, number)]
        assert found == [(number, t) for t in range(len(episode.actions))]


def refusal(source: Path, out: Path, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    """The one line that an import says, with exit status 2."""
    capsys.readouterr()
    assert main(["data", "import", str(source), "--out", str(out), *more]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    return line


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the rows of a parquet file."""
    table = pq.read_table(path)
    rows = table.to_pylist()
    for row in rows:
        change(row)
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path)


def take(path: Path, rows: list[int]) -> None:
    """Keep these rows of a parquet file, in this order."""
    pq.write_table(pq.read_table(path).take(pa.array(rows)), path)


def write_film(
    path: Path, frames: np.ndarray, times: list[float], pixels: str = "yuv444p", **options: str
) -> None:
    """An H.264 video whose frames are shown at these times [s]."""
    base = Fraction(1, 90000)
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=20, options={"crf": "10", **options})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pixels
        stream.codec_context.time_base = base
        for picture, time in zip(frames, times, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(time / base), base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def hide_beginning(path: Path, seconds: float) -> None:
    """Trim a video as `ffmpeg -ss ... -c copy` does: an edit list hides the frames before."""
    whole = path.rename(path.with_suffix(".whole"))
    options = {"avoid_negative_ts": "disabled"}
    with av.open(str(whole)) as source, av.open(str(path), "w", options=options) as out:
        old = source.streams.video[0]
        new = out.add_stream_from_template(old)
        for packet in source.demux(old):
            if packet.dts is None or packet.pts is None or packet.time_base is None:
                continue
            shift = round(seconds / packet.time_base)
            packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, new
            out.mux(packet)
    whole.unlink()


def mark_turned(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Write a display matrix (a, b, c, d) into an mp4, as phones do."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44
    a, b, c, d = (part * 0x10000 for part in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 0x40000000)
    path.write_bytes(bytes(data))
