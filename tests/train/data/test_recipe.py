"""A recipe file: an unknown key is named."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from trimode_train.data.recipe import Recipe


def test_an_unknown_recipe_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("name: x\nmodel: {hidden: 3}\n")
    with pytest.raises(ValueError, match="hidden"):
        Recipe.load(path)
    assert dataclasses.is_dataclass(Recipe)
