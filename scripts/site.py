"""What mkdocs calls while it builds the site: the reference is generated, records are listed."""

from __future__ import annotations

import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put every record and every part of the code into the navigation, newest record first."""
    records = sorted((ROOT / "docs" / "results").glob("2*.md"), reverse=True)
    for entry in config.nav or []:
        if "Results" in entry:
            entry["Results"] += [f"results/{record.name}" for record in records]
        for group in entry.get("Reference", []):
            if "Python" in group:
                group["Python"] += [f"reference/{page}" for page in _python()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the reference."""
    for name, text in _reference().items():
        files.append(File.generated(config, f"reference/{name}", content=text))
    return files


def _python() -> list[str]:
    return sorted(page for page in _reference() if page.startswith("python/"))


def _reference() -> dict[str, str]:
    if not _PAGES:
        sys.path.insert(0, str(ROOT))
        from scripts.reference import pages

        _PAGES.update(pages())
    return _PAGES


_PAGES: dict[str, str] = {}
