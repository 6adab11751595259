"""A small checkpoint, and the place of its bundle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import checkpoints as factory


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return factory.write(tmp_path / "some-model", adapter_rank=4)


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "out"
    place.mkdir()
    yield place / "bundle"
    assert [entry.name for entry in place.iterdir() if entry.name != "bundle"] == []  # nothing else is ever left
