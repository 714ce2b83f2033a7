"""Which files a newcomer opens to follow one decision, one training step, one line of a table.

    python -m scripts.walks            # the three walks, each with its files and their lines
    python -m scripts.walks --json

Each walk is a small run in this process; a file counts once a function of it is called, not for
being imported.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import io
import json
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
OURS = tuple(str(ROOT / folder) + "/" for folder in ("src", "envs", "planners"))


class Entered:
    """Files of ours whose functions were called while it is in force."""

    def __init__(self) -> None:
        """Nothing was called yet."""
        self._codes: set[CodeType] = set()

    def __enter__(self) -> Entered:
        """Begin to watch, in this thread and in those that start."""
        threading.setprofile(self._watch)
        sys.setprofile(self._watch)
        return self

    def __exit__(self, *_: object) -> None:
        """Watch no longer."""
        sys.setprofile(None)
        threading.setprofile(None)

    def _watch(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            self._codes.add(frame.f_code)

    def files(self) -> dict[str, int]:
        """Path in the repository and lines, in order; bodies of classes do not count."""
        found = {
            code.co_filename
            for code in self._codes
            if code.co_filename.startswith(OURS) and code.co_flags & inspect.CO_OPTIMIZED
        }
        return {
            str(Path(name).relative_to(ROOT)): len(Path(name).read_text().splitlines())
            for name in sorted(found)
        }


def decide(_: Path) -> None:
    """A goal image, `Agent.load`, `reset`, `act`: a search's decision."""
    from goalsight.agent import Agent

    agent = Agent.load("push-tiny", settings="mode=search")
    picture = np.zeros((agent.image_size, agent.image_size, 3), np.uint8)
    agent.reset(picture, seed=0)
    agent.act(picture, np.zeros(11, np.float32))


def train(folder: Path) -> None:
    """Episodes of a dataset to windows, batches, losses and two steps of the optimiser."""
    command(
        "train",
        "--config",
        "tiny",
        "--data",
        folder.parent / "data",
        "--out",
        folder / "run",
        "--trainer.max_steps",
        "2",
    )


def measure(folder: Path) -> None:
    """A suite of one manifest and two rows to results.json and report.html."""
    suite = folder / "one.yaml"
    suite.write_text("manifests: [push-near]\n")
    command(
        "bench",
        "--suite",
        suite,
        "--checkpoint",
        "push-tiny",
        "--rows",
        "random,search",
        "--pairs",
        "1",
        "--workers",
        "1",
        "--out",
        folder / "bench",
    )


WALKS: dict[str, Callable[[Path], None]] = {
    "goal image -> action": decide,
    "episode -> optimiser": train,
    "suite -> report": measure,
}


def command(*words: object) -> None:
    """A goalsight command in this process, in silence.

    Raises:
        RuntimeError: if it fails; shows what it said.
    """
    from goalsight.cli.main import main

    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = main([str(word) for word in words])
    if status:
        raise RuntimeError(said.getvalue())


def walk() -> dict[str, dict[str, int]]:
    """The files of each walk, with their lines."""
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command(
            "collect",
            "--env",
            "Goalsight/Push-v0",
            "--episodes",
            "8",
            "--steps",
            "40",
            "--out",
            folder / "data",
            "--workers",
            "1",
        )
        for title, go in WALKS.items():
            once, again = (Path(tempfile.mkdtemp(dir=folder)) for _ in range(2))
            go(once)  # what is imported or registered then is not entered again
            with Entered() as entered:
                go(again)
            found[title] = entered.files()
    return found


def main() -> None:
    """Print the walks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="for a machine")
    given = parser.parse_args()
    found = walk()
    if given.json:
        print(json.dumps(found, indent=1))
        return
    for title, files in found.items():
        print(f"{title}: {len(files)} files, {sum(files.values())} lines")
        for name, lines in files.items():
            print(f"  {lines:5} {name}")


if __name__ == "__main__":
    main()
