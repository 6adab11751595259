"""The program that counts what a checkpoint reads."""

from __future__ import annotations

from pathlib import Path

import pytest
from trimode_train.evaluation import pictures

NANO = Path(__file__).parents[3] / "checkpoints/nano"


def test_a_checkpoint_without_a_tower_is_refused() -> None:
    with pytest.raises(SystemExit, match="no vision_config"):
        pictures.main([str(NANO)])
