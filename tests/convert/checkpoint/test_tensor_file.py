"""Reading .safetensors: values of every dtype, row slices, and files that are broken."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trimode.errors import CheckpointError
from trimode_convert.checkpoint import tensor_file
from trimode_convert.checkpoint.tensor_file import TensorFile

from tests.support import checkpoints as factory

VALUES = np.arange(12, dtype=np.float32).reshape(4, 3) - 5.5


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def write_raw(path: Path, header: Any, body: bytes) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_values_of_every_dtype_become_float32(path: Path, dtype: str) -> None:
    factory.write_safetensors(path, {"a": VALUES, "b": VALUES * 2}, dtype)  # halves and small integers are exact
    file = TensorFile.open(path)
    np.testing.assert_array_equal(file.tensors["b"].read(), VALUES * 2)
    file.close()


def test_bf16_is_the_upper_half_of_a_float32(path: Path) -> None:
    write_raw(path, {"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}, bytes([0x49, 0x40, 0x80, 0xBF]))
    file = TensorFile.open(path)
    assert file.tensors["a"].read().tolist() == [3.140625, -1.0]
    file.close()


def test_rows_reads_only_the_rows_asked_for(path: Path) -> None:
    factory.write_safetensors(path, {"a": VALUES})
    file = TensorFile.open(path)
    np.testing.assert_array_equal(file.tensors["a"].rows(1, 3), VALUES[1:3])
    file.close()


def test_slices_cover_the_tensor_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensor_file, "SLICE_BYTES", 3 * 4 * 3)  # room for three rows of three floats: a pair
    factory.write_safetensors(path, {"a": VALUES})
    file = TensorFile.open(path)
    assert [(row, len(rows)) for row, rows in file.tensors["a"].slices()] == [(0, 2), (2, 2)]
    file.close()


def test_infinite_weight_is_refused_by_name(path: Path) -> None:
    bad = VALUES.copy()
    bad[2, 1] = np.inf
    factory.write_safetensors(path, {"spoilt": bad})
    file = TensorFile.open(path)
    with pytest.raises(CheckpointError, match=r"tensor spoilt: expected finite values"):
        file.tensors["spoilt"].read()
    file.close()


def test_large_finite_weights_whose_sum_overflows_are_accepted(path: Path) -> None:
    large = np.full(4, 3e38, np.float32)
    factory.write_safetensors(path, {"a": large})
    file = TensorFile.open(path)
    np.testing.assert_array_equal(file.tensors["a"].read(), large)
    file.close()


@pytest.mark.parametrize("missing", [1, 40])
def test_cut_file_is_refused_with_both_sizes(path: Path, missing: int) -> None:
    factory.write_safetensors(path, {"a": VALUES})
    whole = path.read_bytes()
    path.write_bytes(whole[:-missing])
    with pytest.raises(CheckpointError, match=f"cut short: expected {len(whole)} bytes, found {len(whole) - missing}"):
        TensorFile.open(path)


def test_file_cut_inside_its_header_is_refused(path: Path) -> None:
    factory.write_safetensors(path, {"a": VALUES})
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(CheckpointError, match="header: expected at most 22 bytes"):
        TensorFile.open(path)


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("header", "body", "message"),
    [
        (b"not json", b"", "header is not JSON"),
        ([], b"", "expected an object, found list"),
        ({"a": {**ENTRY, "dtype": "I64"}}, bytes(8), "tensor a: expected dtype BF16, F16 or F32, found I64"),
        ({"a": {**ENTRY, "shape": [3]}}, bytes(8), r"tensor a: expected 12 bytes for F32 \[3\], found 8"),
        ({"a": {"dtype": "F32"}}, bytes(8), "tensor a: its header entry is malformed"),
        ({"a": 5}, bytes(8), "tensor a: its header entry is malformed"),
        ({"a": {**ENTRY, "data_offsets": [4, 12]}}, bytes(12), "tensor a: expected its data at 0, found 4"),
        ({"a": ENTRY}, bytes(9), "has bytes that no tensor claims"),
    ],
)
def test_malformed_file_is_refused(path: Path, header: Any, body: bytes, message: str) -> None:
    write_raw(path, header, body)
    with pytest.raises(CheckpointError, match=message):
        TensorFile.open(path)


def test_missing_file_is_refused(path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"model\.safetensors: cannot be read: No such file"):
        TensorFile.open(path)


def test_tiny_file_is_refused(path: Path) -> None:
    path.write_bytes(b"abc")
    with pytest.raises(CheckpointError, match="expected a safetensors file, found 3 bytes"):
        TensorFile.open(path)
