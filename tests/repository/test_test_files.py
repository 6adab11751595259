"""What test files may import: no other test, and nothing by a path of their own."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.support.layout import ROOT

TESTS = sorted(path for path in (ROOT / "tests").rglob("*.py") if path.name != "__init__.py")
PERF = sorted((ROOT / "perf" / "trimode_perf").rglob("*.py"))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@dataclass(frozen=True)
class Faults:
    """The test modules that a file imports, absolutely or relatively, and whether it reads or writes `sys.path`."""

    imported_tests: list[str]
    edits_the_path: bool


def faults(text: str) -> Faults:
    tests: list[str] = []
    edits = False
    for node in ast.walk(ast.parse(text)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and (node.level or "tests" in (node.module or "")):
            names = [f"{node.module or ''}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute) and node.attr == "path" and isinstance(node.value, ast.Name):
            edits = edits or node.value.id == "sys"
        tests += [name for name in names if any(part.startswith("test_") for part in name.split("."))]
    return Faults(tests, edits)


@cache
def faults_of(path: Path) -> Faults:
    return faults(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", TESTS, ids=name_of)
def test_no_test_imports_another(path: Path) -> None:
    assert faults_of(path).imported_tests == []


@pytest.mark.parametrize("path", [*TESTS, *PERF], ids=name_of)
def test_nothing_edits_the_path_of_imports(path: Path) -> None:
    assert not faults_of(path).edits_the_path


def test_the_check_finds_both() -> None:
    assert faults("from tests.client.test_a import b").imported_tests == ["tests.client.test_a.b"]
    assert faults("from . import test_a\nimport tests.test_b\nfrom .test_c import d").imported_tests == [
        ".test_a",
        "tests.test_b",
        "test_c.d",
    ]
    assert faults("from tests.support.toy import EOS\nimport json").imported_tests == []
    assert faults("import sys\nsys.path.insert(0, 'x')").edits_the_path
    assert not faults("import os\nos.path.join('a')").edits_the_path
