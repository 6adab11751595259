"""scripts/layout.py as a module: the packages of this repository, and what their files import."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[2]


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("layout", ROOT / "scripts" / "layout.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look their module up
    spec.loader.exec_module(module)
    return module


layout = _load()
PACKAGES: dict[str, Path] = {Path(name).name: ROOT / name for name in layout.PACKAGES}


@cache
def house_of(package: str) -> Any:
    """The house of a package of this repository, read once."""
    return layout.House.of(PACKAGES[package])


@cache
def imports_of(path: Path, package: Path) -> frozenset[str]:
    """The full dotted names that a file imports, read once."""
    return frozenset(one.name for one in layout.imports(path, package))


def modules_of(package: Path) -> dict[str, Path]:
    """The package's modules by dotted name."""
    found: dict[str, Path] = layout.modules(package)
    return found
