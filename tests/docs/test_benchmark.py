"""docs/benchmark.md: what it shows is what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "benchmark.md"
TEXT = PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["own_model.py", "own_planner.py"])
def test_an_example_on_the_page_is_the_file_to_the_letter(name: str) -> None:
    """The file is what tests run: change it there, then copy the whole of it to the page."""
    code = (ROOT / "examples" / name).read_text(encoding="utf-8")
    shown = re.findall(r"^```python\n(.*?)^```$", TEXT, re.M | re.S)
    assert code in shown, f"the page shows another {name} than examples/{name}"


def test_tables_have_a_place_that_the_scripts_find() -> None:
    for name in ("suite-core", "suite-ood", "suite-arm-vjepa", "switches"):
        assert re.search(rf"<!-- {name}:[^\n]*-->\n.*?<!-- /{name} -->", TEXT, re.S), name


def test_links_lead_to_files_and_headings_that_exist() -> None:
    for page in (PAGE, ROOT / "docs" / "planning.md", ROOT / "docs" / "models.md"):
        for target, heading in re.findall(
            r"\]\((?!https?:)([^)#\s]*)(?:#([^)]+))?\)", page.read_text(encoding="utf-8")
        ):
            file = page.parent / target if target else page
            assert file.exists(), f"{page.name} -> {target}"
            if heading:
                titles = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.M)
                anchors = {re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles}
                assert heading in anchors, f"{page.name} -> {target}#{heading}"


def test_scripts_and_files_that_it_names_exist() -> None:
    named = set(re.findall(r"(?:scripts|examples|configs)/[\w/]+\.(?:py|yaml)", TEXT))
    modules = re.findall(r"python -m (benchmarks[\w.]+)", TEXT)
    named |= {f"{module.replace('.', '/')}.py" for module in modules}
    assert named >= {"scripts/mcnemar.py", "benchmarks/sweep.py"}
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_the_advice_on_many_comparisons_counts_the_shipped_switches() -> None:
    rows = yaml.safe_load((ROOT / "configs/bench/switches.yaml").read_text())["rows"]
    found = re.search(r"with (\d+) switches in a table, ask for p < (0\.\d+)", TEXT)
    assert found is not None
    assert int(found[1]) == len(rows) - 1
    assert float(found[2]) == round(0.05 / (len(rows) - 1), 3)
