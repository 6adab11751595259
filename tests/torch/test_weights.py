"""The weights that the torch engine reads from the checkpoint's own files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from trimode.bundle.manifest import Manifest
from trimode.bundle.tensor_index import TENSORS, TensorIndex
from trimode.engines.torch import weights
from trimode.engines.torch.products import FP8, Fp8Matrix
from trimode.engines.torch.weights import Weights
from trimode.errors import BundleError
from trimode_convert.checkpoint.checkpoint import EMBEDDING, HEAD, Checkpoint

from tests.support import checkpoints as factory
from tests.support import llama_checkpoints
from tests.torch.conftest import Linked

CPU = torch.device("cpu")


def load(bundle: Path, dtype: torch.dtype = torch.float32) -> Weights:
    return Weights.load(bundle, Manifest.load(bundle), TensorIndex.load(bundle), CPU, dtype)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return factory.write(tmp_path / "some-model", adapter_rank=4)


def test_every_tensor_is_the_checkpoints(checkpoint: Path, linked: Linked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "SLICE_BYTES", 64)
    found = load(linked(checkpoint))
    with Checkpoint.open(checkpoint) as opened:

        def same(tensor: torch.Tensor, *expected: Any) -> None:
            np.testing.assert_array_equal(tensor.numpy(), np.concatenate([one.read() for one in expected]))

        same(found.embedding, opened.tensors[EMBEDDING])
        same(found.head, opened.tensors[HEAD])
        assert opened.adapter is not None
        for number, layer in enumerate(found.layers):
            same(layer.qkv, *(opened.layer(number, f"self_attn.{name}_proj") for name in "qkv"))
            same(layer.gate_up, opened.layer(number, "mlp.gate_proj"), opened.layer(number, "mlp.up_proj"))
            same(layer.norm, opened.layer(number, "input_layernorm"))
            assert layer.adapter is not None
            same(layer.adapter[0], opened.adapter.down(number))
            same(layer.adapter[1], opened.adapter.up(number))


def test_they_are_rounded_as_torch_rounds(checkpoint: Path, linked: Linked) -> None:
    bundle = linked(checkpoint)
    for dtype in (torch.bfloat16, torch.float16):
        exact = load(bundle).layers[0].down
        assert isinstance(exact, torch.Tensor)
        assert torch.equal(load(bundle, dtype).layers[0].down, exact.to(dtype))


def test_in_fp8_the_layers_products_are_and_the_rest_is_not(checkpoint: Path, linked: Linked) -> None:
    bundle = linked(checkpoint)
    found = Weights.load(bundle, Manifest.load(bundle), TensorIndex.load(bundle), CPU, torch.bfloat16, fp8=True)
    plain = load(bundle, torch.bfloat16)
    assert torch.equal(found.head, plain.head) and torch.equal(found.embedding, plain.embedding)
    for layer, exact in zip(found.layers, plain.layers, strict=True):
        for name in ("qkv", "o", "gate_up", "down"):
            matrix, expected = getattr(layer, name), getattr(exact, name)
            assert isinstance(matrix, Fp8Matrix) and matrix.codes.dtype == FP8
            far = (matrix.codes.float() * matrix.scales.T - expected.float()).norm() / expected.float().norm()
            assert far < 0.04
        assert layer.adapter is not None and layer.adapter[0].dtype == torch.bfloat16


def test_a_tied_head_is_the_embedding_itself(tmp_path: Path, linked: Linked) -> None:
    settings = factory.config(tie_word_embeddings=True)
    arrays = factory.tensors(settings)
    del arrays[HEAD]
    found = load(linked(factory.write(tmp_path / "tied", settings, arrays)))
    assert found.head is found.embedding


def test_values_beyond_the_type_are_named(tmp_path: Path, linked: Linked) -> None:
    folder = factory.write(tmp_path / "large")
    bundle = linked(folder)
    path = (bundle / "weights-0.safetensors").resolve()
    index = TensorIndex.load(bundle)
    place = index.tensors["0.down"]
    raw = bytearray(path.read_bytes())
    raw[place.offset : place.offset + 4] = np.float32(1e30).tobytes() if place.dtype == "F32" else b"\x80\x7f" * 2
    path.write_bytes(raw)
    with pytest.raises(BundleError, match=r"tensor 0\.down has values that are not finite in float16"):
        load(bundle, torch.float16)


def test_a_file_cut_short_and_an_index_without_a_tensor_are_refused(tmp_path: Path, linked: Linked) -> None:
    bundle = linked(factory.write(tmp_path / "cut"))
    manifest, index = Manifest.load(bundle), TensorIndex.load(bundle)
    raw = json.loads((bundle / TENSORS).read_text())
    for name in ("final_norm", "head", "embedding"):
        tensors = {other: entry for other, entry in raw["tensors"].items() if other != name}
        (bundle / TENSORS).write_text(json.dumps({**raw, "tensors": tensors}))
        with pytest.raises(BundleError, match=rf"tensors\.json lacks '{name}'"):
            Weights.load(bundle, manifest, TensorIndex.load(bundle), CPU, torch.float32)
    path = (bundle / "weights-0.safetensors").resolve()
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(BundleError, match=r"weights-0\.safetensors: cut short: expected \d+ bytes at \d+, found \d+"):
        Weights.load(bundle, manifest, index, CPU, torch.float32)


def test_a_masks_embedding_is_read_where_an_adapter_brings_one(tmp_path: Path, linked: Linked) -> None:
    folder = llama_checkpoints.write_llama(tmp_path / "llama")
    settings = llama_checkpoints.settings()
    factory.write_adapter(folder / "linear_spec_lora", settings, 4, mask=llama_checkpoints.SPARE)
    mask = load(linked(folder)).mask
    with Checkpoint.open(folder) as opened:
        assert mask is not None and opened.adapter is not None and opened.adapter.mask is not None
        np.testing.assert_array_equal(mask.numpy(), opened.adapter.mask.read())


def test_other_adapters_have_none(checkpoint: Path, linked: Linked) -> None:
    assert load(linked(checkpoint)).mask is None
