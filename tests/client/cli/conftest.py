"""Files for `trimode infill` and `trimode revise`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.edit_answers import BEFORE, written


@pytest.fixture
def left(tmp_path: Path) -> str:
    return written(tmp_path / "left.py", "déf\r\n\t")


@pytest.fixture
def right(tmp_path: Path) -> str:
    return written(tmp_path / "right.py", "\n  end")


@pytest.fixture
def code(tmp_path: Path) -> str:
    return written(tmp_path / "code.py", BEFORE)
