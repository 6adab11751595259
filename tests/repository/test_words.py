"""Words that nobody writes here: in the documents, and in the strings and comments of the packages."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.layout import PACKAGES, ROOT

BANNED = ("anew", "has not", "of late", "at hand", "told")
"""Stilted in English, and each has a plain word: again, does not have, recently, available, said or given."""
FOUND = re.compile(r"\b(?:" + "|".join(word.replace(" ", r"\s+") for word in BANNED) + r")\b", re.IGNORECASE)
ALLOWED: set[tuple[str, str]] = set()
"""Files that need a word, each with the word. None does."""
MOST_COLUMNS = 120

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
DOCUMENTS = [
    *PAGES,
    *(ROOT / name for name in ("SECURITY.md", "CHANGELOG.md", "CODE_OF_CONDUCT.md", "train/README.md")),
    *sorted((ROOT / "perf").glob("*.md")),
    *sorted((ROOT / "checkpoints").glob("*/README.md")),
    *sorted(path for path in (ROOT / "examples").rglob("*") if path.suffix in (".md", ".py", ".sh", ".html", ".yaml")),
]
MODULES = sorted(path for package in PACKAGES.values() for path in package.rglob("*.py"))
TEXTS = sorted(path for package in PACKAGES.values() for path in package.rglob("*.md"))
"""Templates of the documents that perf writes."""


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def prose_of(source: str) -> Iterator[tuple[int, str]]:
    """The first line and the text of each string of a module, and of each run of comments, which may wrap."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
    comments: dict[int, str] = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            comments[token.start[0]] = token.string.lstrip("# ")
    first = [line for line in comments if line - 1 not in comments]
    for line in first:
        last = next(number for number in range(line, line + len(comments) + 1) if number + 1 not in comments)
        yield line, "\n".join(comments[number] for number in range(line, last + 1))


def words_in(path: Path) -> list[str]:
    """The banned words of a document or a module, each as file:line: word."""
    text = path.read_text(encoding="utf-8")
    parts = prose_of(text) if path.suffix == ".py" else [(1, text)]
    found = {
        (line + part.count("\n", 0, match.start()), " ".join(match[0].lower().split()))
        for line, part in parts
        for match in FOUND.finditer(part)
    }
    return [f"{name_of(path)}:{line}: {word}" for line, word in sorted(found) if (name_of(path), word) not in ALLOWED]


def wide_in(text: str) -> list[int]:
    """The numbers of a document's lines that are too wide. Tables and code may be."""
    wide, fence = [], ""
    for number, line in enumerate(text.splitlines(), 1):
        mark = re.match(r" *(```+|~~~+)", line)
        if mark and not fence:
            fence = mark[1]
        elif mark and line.strip() == fence:
            fence = ""
        elif not fence and len(line) > MOST_COLUMNS and not line.lstrip().startswith("|"):
            wide.append(number)
    return wide


@pytest.mark.parametrize("path", [*DOCUMENTS, *TEXTS, *MODULES], ids=name_of)
def test_nobody_writes_the_words_that_are_not_used(path: Path) -> None:
    found = words_in(path)
    assert found == [], "\n".join(found)


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_lines_of_a_document_fit(path: Path) -> None:
    found = [f"{name_of(path)}:{line}" for line in wide_in(path.read_text(encoding="utf-8"))]
    assert found == [], "\n".join(found)


def test_what_is_allowed_is_there() -> None:
    for name, word in ALLOWED:
        parts = prose_of((ROOT / name).read_text(encoding="utf-8"))
        assert any(word in part for _, part in parts), f"{name} does not say {word!r}: take it out of ALLOWED"


def test_strings_and_comments_are_read_and_names_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    module = tmp_path / "a.py"
    module.write_text(
        '"""One.\n\nIt was Told.\n"""\ntold = 1  # built anew\n# what it has\n# not\nx = f"of late {told}"\n'
        'y = "untold, beforehand"\n',
        encoding="utf-8",
    )
    assert words_in(module) == ["a.py:3: told", "a.py:5: anew", "a.py:6: has not", "a.py:8: of late"]
    page = tmp_path / "a.md"
    page.write_text("One.\nIt was at\nhand.\n", encoding="utf-8")
    assert words_in(page) == ["a.md:2: at hand"]


def test_wide_lines_are_found() -> None:
    wide = "x" * (MOST_COLUMNS + 1)
    assert wide_in(f"{wide}\n| {wide}\n```\n{wide}\n```\n{wide[1:]}\n{wide}\n") == [1, 7]
