"""The blocks of README, quickstart and guides are programs: every one is executed, page by page.

The blocks of a page run in order, in one scratch folder. A block that cannot run in a test has, on
the line before it, a comment that says why:

    <!-- not run in tests: takes ten minutes -->

Python blocks see the variables of the Python blocks before them; bash blocks run with `set -e` and
the environment's programs on the path. Commands of goalsight alone run in this process in the
guides, as they do in the tests of the command line: that saves seconds of imports a command.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from goalsight.cli.main import main

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PROGRAMS = [README, DOCS / "quickstart.md", *sorted((DOCS / "guides").glob("*.md"))]
"""Pages whose blocks are executed; those of records are commands of their day."""
PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
"""All that people read."""
GENERATED = DOCS / "reference"
"""Pages that the program writes when the site is built."""
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


def run_block(block: Block, names: dict[str, object], folder: Path, page: str) -> None:
    """Execute a block; what fails says at which line of the page."""
    if block.language == "python":
        padding = "\n" * (block.line - 1)  # tracebacks then show the page's own line numbers
        exec(compile(padding + block.code, page, "exec"), names)
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
    assert done.returncode == 0, f"{page} line {block.line}: {done.stdout}\n{done.stderr}"


def commands(block: Block) -> list[list[str]] | None:
    """Arguments of each line of a bash block that calls goalsight and nothing else, else None."""
    lines = block.code.replace("\\\n", " ").splitlines()
    words = [shlex.split(line, comments=True) for line in lines]
    called = [line for line in words if line]
    return called if all(line[0] == "goalsight" for line in called) else None


def run_here(block: Block, names: dict[str, object], folder: Path, page: str) -> None:
    """Execute a block, in this process if it can be."""
    called = commands(block) if block.language == "bash" else None
    if called is None:
        run_block(block, names, folder, page)
    for line in called or []:
        assert main(line[1:]) == 0, f"{page} line {block.line}: {' '.join(line)}"


def shown(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PROGRAMS, ids=shown)
def test_every_block_of_a_page_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.why_not is None:
            run = run_block if page == README else run_here
            run(block, names, tmp_path, shown(page))


@pytest.mark.parametrize("page", PROGRAMS, ids=shown)
def test_every_fence_of_a_page_is_known_to_this_test(page: Path) -> None:
    """A block in a language of which the executor knows nothing would pass unseen."""
    text = page.read_text(encoding="utf-8")
    fences = re.findall(r"^```(\w*)$", text, re.MULTILINE)
    assert set(fences) <= {"", "python", "bash", "text", "json", "yaml"}
    assert fences.count("python") + fences.count("bash") == len(blocks(text))


def test_the_readme_is_short_and_shows_both_ways_in() -> None:
    text = README.read_text(encoding="utf-8")
    run = {block.language for block in blocks(text) if block.why_not is None}
    assert run == {"python", "bash"}
    assert len(text.splitlines()) <= 140
    assert (DOCS / "images" / "carry.webp").stat().st_size < 1_500_000


def anchors(page: Path) -> set[str]:
    """What a heading is called in an address."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    """Those to generated pages are checked where the site is built, `make docs`."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.M)
    for target, heading in re.findall(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)]+))?\)", text):
        file = (page.parent / target).resolve() if target else page
        if file.is_relative_to(GENERATED):
            continue
        assert file.exists(), f"{shown(page)} -> {target}"
        if heading:
            assert heading in anchors(file), f"{shown(page)} -> {target}#{heading}"


@pytest.mark.parametrize("name", ["own_model", "own_planner"])
def test_an_example_in_a_guide_is_the_file_to_the_letter(name: str) -> None:
    """The file is what tests run: change it there, then copy the whole of it to the guide."""
    code = (ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8")
    guide = DOCS / "guides" / f"{name.replace('_', '-')}.md"
    assert code in [block.code for block in blocks(guide.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("page", [*PROGRAMS, DOCS / "concepts.md", DOCS / "protocol.md"], ids=shown)
def test_programs_and_files_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"\b(?:scripts|examples|configs)/[\w/-]+\.(?:py|yaml)", text))
    named |= {f"{name.replace('.', '/')}.py" for name in re.findall(r"-m (benchmarks[\w.]+)", text)}
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


RECORDS = sorted((DOCS / "results").glob("2*.md"))


@pytest.mark.parametrize("record", RECORDS, ids=shown)
def test_a_record_is_dated_and_listed(record: Path) -> None:
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}-[a-z0-9-]+\.md", record.name)
    assert f"]({record.name})" in (DOCS / "results" / "index.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "page", [DOCS / "quickstart.md", DOCS / "concepts.md", *PROGRAMS[2:]], ids=shown
)
def test_nothing_measured_stands_in_a_guide(page: Path) -> None:
    """A rate with its interval belongs into a record."""
    text = page.read_text(encoding="utf-8")
    assert re.findall(r"\d+ % \[\d+, \d+\]|p = 0\.\d+", text) == []


def test_the_executor_runs_what_it_finds_and_skips_only_with_a_reason(tmp_path: Path) -> None:
    page = (
        "<!-- not run in tests: takes an hour -->\n```bash\nfalse\n```\n"
        "```python\nnumber = 6 * 7\n```\ntext\n```bash\necho $((6 * 7)) > answer\n```\n"
    )
    skipped, python, bash = blocks(page)
    assert commands(bash) is None
    assert skipped.why_not == "takes an hour"
    assert (python.line, bash.line) == (6, 10)
    names: dict[str, object] = {}
    run_block(python, names, tmp_path, "page.md")
    run_block(bash, names, tmp_path, "page.md")
    assert names["number"] == 42
    assert (tmp_path / "answer").read_text() == "42\n"
    with pytest.raises(AssertionError, match=r"page\.md line 3"):
        run_block(skipped, names, tmp_path, "page.md")


def test_lines_that_call_goalsight_alone_are_told_from_others() -> None:
    lines = "goalsight data info data  # says what it holds\n\ngoalsight envs \\\n  --json\n"
    one = Block(language="bash", code=lines, line=1, why_not=None)
    assert commands(one) == [["goalsight", "data", "info", "data"], ["goalsight", "envs", "--json"]]
