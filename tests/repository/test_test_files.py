"""What test files may import: no other test, and nothing by a path of their own."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.support.layout import ROOT

TESTS = sorted(path for path in (ROOT / "tests").rglob("*.py") if path.name != "__init__.py")
PERF = sorted((ROOT / "perf" / "trimode_perf").rglob("*.py"))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imported_tests(text: str) -> list[str]:
    """The names of test modules that a file imports, absolutely or relatively."""
    found = []
    for node in ast.walk(ast.parse(text)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [
                f"{node.module or ''}.{alias.name}"
                for alias in node.names
                if node.level or "tests" in (node.module or "")
            ]
        found += [name for name in names if any(part.startswith("test_") for part in name.split("."))]
    return found


def edits_the_path(text: str) -> bool:
    """Whether a file reads or writes `sys.path`."""
    return any(
        isinstance(node, ast.Attribute)
        and node.attr == "path"
        and isinstance(node.value, ast.Name)
        and node.value.id == "sys"
        for node in ast.walk(ast.parse(text))
    )


@pytest.mark.parametrize("path", TESTS, ids=name_of)
def test_no_test_imports_another(path: Path) -> None:
    assert imported_tests(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", [*TESTS, *PERF], ids=name_of)
def test_nothing_edits_the_path_of_imports(path: Path) -> None:
    assert not edits_the_path(path.read_text(encoding="utf-8"))


def test_the_check_finds_both() -> None:
    assert imported_tests("from tests.client.test_a import b") == ["tests.client.test_a.b"]
    assert imported_tests("from . import test_a\nimport tests.test_b\nfrom .test_c import d") == [
        ".test_a",
        "tests.test_b",
        "test_c.d",
    ]
    assert imported_tests("from tests.support.toy import EOS\nimport json") == []
    assert edits_the_path("import sys\nsys.path.insert(0, 'x')")
    assert not edits_the_path("import os\nos.path.join('a')")
