"""A folder for other engines: names change, values do not; read back by this project's own reader of Ministral 3."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from trimode_convert.bundle import hf_ministral
from trimode_convert.checkpoint.checkpoint import HEAD, Checkpoint
from trimode_convert.checkpoint.shards import INDEX
from trimode_convert.checkpoint.tensor_file import TensorFile
from trimode_convert.cli import main

from tests.support import checkpoints as factory
from tests.support import llama_checkpoints, vision_checkpoints


def rename(checkpoint: Path, out: Path, *options: str) -> int:
    return main([str(checkpoint), "--out", str(out), "--target", "hf-ministral", *options])


def same_model(checkpoint: Path, renamed: Path) -> None:
    with Checkpoint.open(checkpoint) as old, Checkpoint.open(renamed) as new:
        assert set(old.tensors) == set(new.tensors)
        for name, tensor in old.tensors.items():
            np.testing.assert_array_equal(tensor.read(), new.tensors[name].read())
        assert new.adapter is None
        for fact in ("hidden_size", "num_heads", "head_dim", "rope", "eos_token_id", "mask_token_id", "norm_epsilon"):
            assert getattr(new.config, fact) == getattr(old.config, fact), fact
        assert not new.config.denoises


def test_values_and_their_places_stay(checkpoint: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rename(checkpoint, out) == 0
    assert "Ministral3ForCausalLM" in capsys.readouterr().out
    same_model(checkpoint, out)
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (checkpoint, out)]
    assert sizes[0] == sizes[1], "the header keeps its length"
    assert not (out / "linear_spec_lora").exists()


def test_a_file_system_that_shares_blocks_gives_the_same_file(
    checkpoint: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename(checkpoint, out)

    def clone(source: int, target: int) -> bool:
        os.write(target, os.pread(source, os.fstat(source).st_size, 0))
        os.lseek(target, 0, os.SEEK_SET)
        return True

    monkeypatch.setattr(hf_ministral, "_clone", clone)
    monkeypatch.setattr(hf_ministral, "_copy", None)
    assert hf_ministral.write(checkpoint, tmp_path / "shared").endswith("shared")
    assert (tmp_path / "shared" / "model.safetensors").read_bytes() == (out / "model.safetensors").read_bytes()


@pytest.mark.parametrize("shards", [1, 3])
def test_shards_and_a_tied_head(shards: int, tmp_path: Path) -> None:
    settings = factory.config(tie_word_embeddings=True)
    arrays = factory.tensors(settings)
    del arrays[HEAD]
    folder = factory.write(tmp_path / "shards", settings, arrays, shards=shards)
    assert rename(folder, tmp_path / "renamed") == 0
    same_model(folder, tmp_path / "renamed")
    assert json.loads((tmp_path / "renamed" / "config.json").read_text())["tie_word_embeddings"] is True
    assert (tmp_path / "renamed" / INDEX).exists() == (shards > 1)


def test_a_head_that_is_stored_counts_though_the_config_ties_it(tmp_path: Path) -> None:
    folder = factory.write(tmp_path / "both", factory.config(tie_word_embeddings=True))
    assert rename(folder, tmp_path / "renamed") == 0
    assert json.loads((tmp_path / "renamed" / "config.json").read_text())["tie_word_embeddings"] is False


def test_a_longer_header_moves_the_values(checkpoint: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hf_ministral, "spelled", lambda name: f"a.much.longer.name.for.{name}")
    assert rename(checkpoint, out) == 0
    old, new = (TensorFile.open(folder / "model.safetensors") for folder in (checkpoint, out))
    with closing(old), closing(new):
        assert {f"a.much.longer.name.for.{name}" for name in old.tensors} == set(new.tensors)
        for name, tensor in old.tensors.items():
            np.testing.assert_array_equal(tensor.read(), new.tensors[f"a.much.longer.name.for.{name}"].read())


@pytest.mark.parametrize(
    "options",
    [["--precision", "int8"], ["--capacity", "64"], ["--verify"], ["--gpu", "H200"], ["--parity-pictures", "x"]],
)
def test_options_without_a_meaning_are_refused(
    options: list[str], checkpoint: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rename(checkpoint, out, *options) == 1
    assert f"{options[0]} has no meaning with --target hf-ministral" in capsys.readouterr().err
    assert not out.exists()


def test_other_layouts_and_folders_that_are_taken_are_refused(
    checkpoint: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rename(llama_checkpoints.write_llama(tmp_path / "llama"), out) == 1
    assert "this one needs no other names" in capsys.readouterr().err
    assert not out.exists()
    shutil.copytree(checkpoint, out)
    assert rename(checkpoint, out) == 1
    assert "not replaced" in capsys.readouterr().err


def test_a_checkpoint_that_reads_pictures_is_refused(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rename(vision_checkpoints.write(tmp_path / "vlm"), out) == 1
    assert "has a vision tower, and Ministral3ForCausalLM has no place for one" in capsys.readouterr().err
    assert not out.exists()
