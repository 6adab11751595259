"""tensors.json, as it is written and read, and what is refused in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from trimode.bundle.tensor_index import TENSORS, Positions, StoredTensor, TensorIndex
from trimode.errors import BundleError

INDEX = TensorIndex(
    intermediate_size=8,
    num_heads=4,
    norm_epsilon=1e-5,
    positions=Positions((1.0, 0.1234567890123456789), 1.0, 0.1, 16),
    adapter_scale=4.0,
    tensors={"embedding": StoredTensor("weights-0.safetensors", "BF16", (5, 3), 96)},
)


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / TENSORS).write_bytes(INDEX.to_json())
    assert TensorIndex.load(tmp_path) == INDEX


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 1}', '{"version": 1, "positions": 3}'])
def test_what_is_no_index_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / TENSORS).write_text(text)
    with pytest.raises(BundleError, match=r"tensors\.json cannot be read: .*Build it with"):
        TensorIndex.load(tmp_path)


def test_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / TENSORS).write_text(json.dumps({**json.loads(INDEX.to_json()), "version": 7}))
    with pytest.raises(BundleError, match="has version 7, this version reads 1"):
        TensorIndex.load(tmp_path)
