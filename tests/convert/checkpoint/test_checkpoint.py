"""The checkpoint folder: shards, ties, the draft adapter, the hash, and every way it may not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trimode.errors import CheckpointError
from trimode_convert.checkpoint.checkpoint import Checkpoint

from tests.support import checkpoints as factory

HEAD = "diffusion_head.weight"
UP = "encoder.layers.1.mlp.up_proj.weight"


def refuses(folder: Path, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        Checkpoint.open(folder)


@pytest.mark.parametrize("shards", [1, 3])
def test_every_tensor_is_found_in_its_shard(tmp_path: Path, shards: int) -> None:
    arrays = factory.tensors(factory.config())
    with Checkpoint.open(factory.write(tmp_path, arrays=arrays, shards=shards)) as checkpoint:
        assert set(checkpoint.tensors) == set(arrays)
        np.testing.assert_array_equal(checkpoint.layer(1, "mlp.up_proj").read(), arrays[UP])


def test_parameters_are_counted_once(tmp_path: Path) -> None:
    arrays = factory.tensors(factory.config())
    with Checkpoint.open(factory.write(tmp_path, arrays=arrays)) as checkpoint:
        assert checkpoint.parameters == sum(values.size for values in arrays.values())


def test_missing_tensor_is_named_with_its_shape(tmp_path: Path) -> None:
    arrays = factory.tensors(factory.config())
    del arrays[UP]
    refuses(factory.write(tmp_path, arrays=arrays), rf"tensor {UP}: expected \[40, 24\], found none")


@pytest.mark.parametrize("name", ["encoder.layers.2.mlp.up_proj.weight", "diffusion_head.bias", "something"])
def test_unknown_tensor_is_refused(tmp_path: Path, name: str) -> None:
    arrays = factory.tensors(factory.config()) | {name: np.zeros(3, np.float32)}
    refuses(factory.write(tmp_path, arrays=arrays), f"tensor {name}: unknown")


def test_misshaped_tensor_names_file_expected_and_found(tmp_path: Path) -> None:
    arrays = factory.tensors(factory.config())
    arrays[UP] = arrays[UP].T
    refuses(
        factory.write(tmp_path, arrays=arrays),
        rf"model\.safetensors: tensor {UP}: expected shape \[40, 24\], found \[24, 40\]",
    )


def test_tied_head_is_the_embedding(tmp_path: Path) -> None:
    settings = factory.config(tie_word_embeddings=True)
    arrays = factory.tensors(settings)
    del arrays[HEAD]
    with Checkpoint.open(factory.write(tmp_path, settings, arrays)) as checkpoint:
        assert checkpoint.head is checkpoint.tensors["encoder.embed_tokens.weight"]


def test_stored_head_is_used_even_where_the_flag_ties(tmp_path: Path) -> None:
    with Checkpoint.open(factory.write(tmp_path, factory.config(tie_word_embeddings=True))) as checkpoint:
        assert checkpoint.head is checkpoint.tensors[HEAD]
        assert checkpoint.remarks == (f"the head is the stored tensor {HEAD}, though the model ties its head",)


def test_an_index_beside_a_single_file_is_taken_and_said(tmp_path: Path) -> None:
    factory.write(tmp_path, shards=2)
    (tmp_path / "model.safetensors").write_bytes(b"of another checkpoint")
    with Checkpoint.open(tmp_path) as checkpoint:
        assert len(checkpoint.files) == 2
        assert checkpoint.remarks == (
            "taken from the files that model.safetensors.index.json names; model.safetensors beside it was not read",
        )


def test_nothing_is_said_where_there_was_no_choice(tmp_path: Path) -> None:
    for shards in (1, 2):
        with Checkpoint.open(factory.write(tmp_path / str(shards), shards=shards)) as checkpoint:
            assert checkpoint.remarks == ()


def test_missing_head_of_an_untied_checkpoint_is_refused(tmp_path: Path) -> None:
    arrays = factory.tensors(factory.config())
    del arrays[HEAD]
    refuses(factory.write(tmp_path, arrays=arrays), rf"{HEAD}: expected \[50, 24\] \(tie_word_embeddings is false\)")


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    refuses(tmp_path / "absent", "absent: no such checkpoint folder")


def test_missing_shard_is_refused(tmp_path: Path) -> None:
    factory.write(tmp_path, shards=2)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    refuses(tmp_path, r"model-00002-of-00002\.safetensors: cannot be read: No such file")


def change_index(folder: Path, name: str, shard: str) -> None:
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    index["weight_map"][name] = shard
    path.write_text(json.dumps(index))


def test_tensor_in_another_shard_than_the_index_says_is_refused(tmp_path: Path) -> None:
    factory.write(tmp_path, shards=2)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())["weight_map"]
    other = next(shard for shard in index.values() if shard != index[UP])
    change_index(tmp_path, UP, other)
    refuses(tmp_path, f"tensor {UP}: expected in {other}, found here")


def test_tensor_that_only_the_index_names_is_refused(tmp_path: Path) -> None:
    factory.write(tmp_path, shards=2)
    change_index(tmp_path, "encoder.ghost", "model-00001-of-00002.safetensors")
    refuses(tmp_path, r"tensor encoder\.ghost: named by model\.safetensors\.index\.json, found none")


def test_index_may_not_point_outside_the_folder(tmp_path: Path) -> None:
    factory.write(tmp_path, shards=2)
    change_index(tmp_path, UP, "../elsewhere.safetensors")
    refuses(tmp_path, "names of files in the same folder")


def test_adapter_scale_is_alpha_over_rank(tmp_path: Path) -> None:
    factory.write(tmp_path, adapter_rank=4)
    with Checkpoint.open(tmp_path) as checkpoint:
        assert checkpoint.adapter is not None
        assert checkpoint.adapter.scale == 4.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peft_type": "IA3"}, "peft_type: expected 'LORA'"),
        ({"target_modules": ["q_proj"]}, r"target_modules: expected \['o_proj'\]"),
        ({"use_dora": True}, "use_dora: expected False"),
        ({"use_rslora": True}, "use_rslora: expected False"),
        ({"bias": "all"}, "bias: expected 'none'"),
        ({"rank_pattern": {"o_proj": 2}}, "rank_pattern"),
        ({"r": 0}, "r: expected a positive integer"),
        ({"r": 8}, r"lora_A\.weight: expected \[8, 32\], found \[4, 32\]"),
    ],
)
def test_adapter_that_does_not_fit_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    settings = factory.config()
    factory.write(tmp_path, settings)
    factory.write_adapter(tmp_path / "linear_spec_lora", settings, 4, **changes)
    refuses(tmp_path, message)


def test_adapter_of_more_layers_is_refused(tmp_path: Path) -> None:
    factory.write(tmp_path)
    factory.write_adapter(tmp_path / "linear_spec_lora", factory.config(num_hidden_layers=3), 4)
    refuses(tmp_path, r"encoder\.layers\.2\.self_attn\.o_proj\.lora_A\.weight: unknown")


def hash_of(folder: Path) -> str:
    with Checkpoint.open(folder) as checkpoint:
        return checkpoint.hash()


def test_hash_does_not_depend_on_the_folder(tmp_path: Path) -> None:
    assert hash_of(factory.write(tmp_path / "a", adapter_rank=4)) == hash_of(
        factory.write(tmp_path / "b", adapter_rank=4)
    )


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "linear_spec_lora/adapter_config.json"])
def test_hash_covers_every_file(tmp_path: Path, name: str) -> None:
    before = hash_of(factory.write(tmp_path, adapter_rank=4))
    path = tmp_path / name
    raw = bytearray(path.read_bytes())
    if path.suffix == ".json":
        raw += b" "
    else:
        raw[-4] ^= 1  # the lowest bit of the last weight
    path.write_bytes(raw)
    assert hash_of(tmp_path) != before
