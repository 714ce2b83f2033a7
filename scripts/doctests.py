"""How the site shows doctests: as the examples that they are, wherever a docstring has them."""

from __future__ import annotations

import re
from typing import Any

import griffe


class Doctests(griffe.Extension):
    """Puts doctests under a heading that the docstring parser knows."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:  # noqa: ANN401
        """Change the docstring of one object."""
        if obj.docstring is not None:
            obj.docstring.value = under_examples(obj.docstring.value)


def under_examples(text: str) -> str:
    """A docstring with its doctests, which end it, in a section `Examples:`."""
    found = re.search(r"^>>> ", text, re.MULTILINE)
    if found is None:
        return text
    before, tests = text[: found.start()], text[found.start() :]
    indented = "\n".join(f"    {line}".rstrip() for line in tests.splitlines())
    return f"{before}Examples:\n{indented}"
