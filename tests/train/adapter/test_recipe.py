"""Recipes of adapters: nested settings, and keys that nobody knows."""

from __future__ import annotations

from pathlib import Path

import pytest
from trimode_train.adapter.recipe import AdapterRecipe, LlamaRecipe
from trimode_train.prepare import ROOT


def test_the_shipped_recipes_are_read() -> None:
    assert AdapterRecipe.load(ROOT / "train/nano-adapter.yaml").rank == 32
    smol = LlamaRecipe.load(ROOT / "train/smol-adapter.yaml")
    assert (smol.rank, smol.alpha, smol.stored) == (128, 512, "bfloat16")
    assert smol.drafts.lengths and len(smol.drafts.lengths) == len(smol.drafts.odds)


def test_an_unknown_key_of_a_nested_table_is_named(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("name: x\ndrafts: {length: 3}\n")
    with pytest.raises(ValueError, match="drafts: unknown key 'length'"):
        LlamaRecipe.load(path)


def test_a_run_on_a_llama_model_is_refused_on_another_device(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("name: x\ndevice: cuda\n")
    with pytest.raises(ValueError, match="x: runs on device 'cpu', got 'cuda'"):
        LlamaRecipe.load(path)
