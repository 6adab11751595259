"""The constants of auto: docs/auto.md names all of them, and what else is a number in its modules."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import trimode.auto
from trimode.auto.tuning import TUNING

from tests.support.layout import ROOT

PAGE = (ROOT / "docs" / "auto.md").read_text(encoding="utf-8")
NO_NUMBERS = {"QUADRATIC", "TUNING"}
"""A name of cycles, and the twelve themselves."""


def names(path: Path) -> Iterator[str]:
    """The constants that a module defines."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        for target in targets:
            for one in ast.walk(target):
                if isinstance(one, ast.Name) and one.id.isupper():
                    yield one.id


def test_the_page_names_the_twelve_and_no_other() -> None:
    found = [field.name for field in dataclasses.fields(TUNING)]
    assert len(found) == 12
    assert [name for name in found if f"`{name}`" not in PAGE] == []


def test_the_page_names_every_other_number() -> None:
    folder = Path(trimode.auto.__file__).parent
    found = {name for path in folder.glob("*.py") for name in names(path)} - NO_NUMBERS
    assert {"PRICES", "STEP"} <= found
    assert sorted(name for name in found if f"`{name}`" not in PAGE) == []


def test_drafts_and_verifications_are_timed_alike() -> None:
    assert TUNING.observe_every % 2 == 1
