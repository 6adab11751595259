"""Files that the documents name exist, and links lead somewhere."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from tests.support.layout import PACKAGES, ROOT

DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "train/README.md",
]
NAMED = re.compile(r"`((?:[\w-]+/)*[\w-]+\.(?:py|md|yaml|pbtxt|json|txt))`")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)")
NOT_OURS = {
    "config.json",
    "manifest.json",
    "model.yaml",
    "effort.json",
    "tokenizer.json",
    "quality.json",
    "overlap.json",
}
"""Files of a checkpoint, a bundle or a user, which documents may name without a place."""


@cache
def known_files() -> frozenset[str]:
    """Every file of the repository's own, and each end of its path."""
    skipped = {".git", ".venv", ".venv-train", ".hypothesis", "__pycache__", "runs"}
    ours = [path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file() and not skipped & set(path.parts)]
    return frozenset("/".join(path.parts[at:]) for path in ours for at in range(len(path.parts)))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_files_that_a_document_names_exist(document: Path) -> None:
    known = known_files()
    named = set(NAMED.findall(document.read_text(encoding="utf-8")))
    assert {name for name in named - NOT_OURS if name not in known} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_links_of_a_document_lead_somewhere(document: Path) -> None:
    links = LINK.findall(document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_the_walk_names_every_room() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = {path.stem for path in PACKAGES["trimode"].iterdir() if path.suffix == ".py" or path.is_dir()}
    table = text.partition("## Rooms")[2].partition("## ")[0]
    assert {room for room in rooms - {"__init__", "__pycache__"} if f"`{room}`" not in table} == set()
