"""README's blocks are programs: every one is executed, in order, in one scratch copy.

A block that cannot run in a test has, on the line before it, a comment that says why:

    <!-- not run in tests: takes ten minutes -->

Python blocks see the variables of the Python blocks before them; bash blocks run with
`set -e` and the environment's programs on the path.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
BLOCK = re.compile(
    r"(?:<!-- not run in tests: (?P<why>[^\n]+?) -->\n)?"
    r"^```(?P<language>python|bash)\n(?P<code>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    language: str
    code: str
    line: int
    why_not: str | None


def blocks(text: str) -> list[Block]:
    """Python and bash blocks of a page, in order."""
    return [
        Block(
            language=found["language"],
            code=found["code"],
            line=text.count("\n", 0, found.start("code")) + 1,
            why_not=found["why"],
        )
        for found in BLOCK.finditer(text)
    ]


def run_block(block: Block, names: dict[str, object], folder: Path) -> None:
    """Execute a block; what fails says at which line of the page."""
    if block.language == "python":
        padding = "\n" * (block.line - 1)  # tracebacks then show the page's own line numbers
        exec(compile(padding + block.code, str(README), "exec"), names)
        return
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.code],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"README line {block.line}: {done.stdout}\n{done.stderr}"


def test_every_block_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "readme"}
    ran = {"python": 0, "bash": 0}
    for block in blocks(README.read_text(encoding="utf-8")):
        if block.why_not is None:
            run_block(block, names, tmp_path)
            ran[block.language] += 1
    assert ran["python"] >= 1, "the README shows no Python that a test can run"
    assert ran["bash"] >= 1, "the README shows no command that a test can run"


def test_every_fence_of_the_readme_is_known_to_this_test() -> None:
    """A block in a language of which the executor knows nothing would pass unseen."""
    fences = re.findall(r"^```(\w*)$", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(fences) <= {"", "python", "bash", "text", "json", "yaml"}
    assert fences.count("python") + fences.count("bash") == len(blocks(README.read_text()))


def test_links_of_the_readme_lead_to_files_that_exist() -> None:
    text = README.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)|src=\"([^\"]+)\"", text)
    local = {first or second for first, second in targets if "://" not in (first or second)}
    missing = sorted(target for target in local if not (ROOT / target).exists())
    assert not missing


def test_the_executor_runs_what_it_finds_and_skips_only_with_a_reason(tmp_path: Path) -> None:
    page = (
        "<!-- not run in tests: takes an hour -->\n```bash\nfalse\n```\n"
        "```python\nnumber = 6 * 7\n```\ntext\n```bash\necho $((6 * 7)) > answer\n```\n"
    )
    skipped, python, bash = blocks(page)
    assert skipped.why_not == "takes an hour"
    assert (python.line, bash.line) == (6, 10)
    names: dict[str, object] = {}
    run_block(python, names, tmp_path)
    run_block(bash, names, tmp_path)
    assert names["number"] == 42
    assert (tmp_path / "answer").read_text() == "42\n"
    with pytest.raises(AssertionError, match="README line 3"):
        run_block(skipped, names, tmp_path)
