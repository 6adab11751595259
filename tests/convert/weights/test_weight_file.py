"""The weight file: layout, alignment, and int8 rounding, against arrays made by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from trimode_convert.checkpoint import tensor_file
from trimode_convert.checkpoint.tensor_file import TensorFile
from trimode_convert.weights.weight_file import Blob, Part, WeightLayout, round_rows

from tests.support import checkpoints as factory
from tests.support.arrays import Array

A = np.arange(15, dtype=np.float32).reshape(5, 3)  # [out, in]
B = -np.arange(6, dtype=np.float32).reshape(2, 3) - 1


@pytest.fixture
def file(tmp_path: Path) -> Iterator[TensorFile]:
    factory.write_safetensors(tmp_path / "t.safetensors", {"a": A, "b": B})
    opened = TensorFile.open(tmp_path / "t.safetensors")
    yield opened
    opened.close()


def written(layout: WeightLayout, blob: Blob, folder: Path) -> Array:
    layout.write(folder / "model.data")
    raw = (folder / "model.data").read_bytes()[blob.offset : blob.offset + blob.nbytes]
    return np.frombuffer(raw, blob.dtype).reshape(blob.shape)


@pytest.mark.parametrize("slice_bytes", [1, 24, 1 << 20])
def test_matrix_is_the_parts_transposed_side_by_side(
    file: TensorFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slice_bytes: int
) -> None:
    monkeypatch.setattr(tensor_file, "SLICE_BYTES", slice_bytes)
    layout = WeightLayout()
    blob = layout.matrix("m", [Part(file.tensors["a"], 0.5), Part(file.tensors["b"])])
    np.testing.assert_array_equal(written(layout, blob, tmp_path), np.concatenate([A.T / 2, B.T], axis=1))


def test_copy_keeps_the_stored_layout(file: TensorFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensor_file, "SLICE_BYTES", 24)
    layout = WeightLayout()
    blob = layout.copy("c", file.tensors["a"])
    np.testing.assert_array_equal(written(layout, blob, tmp_path), A)


def test_int8_matrix_times_its_scales_is_the_matrix(file: TensorFile, tmp_path: Path) -> None:
    layout = WeightLayout()
    blob, scales = layout.int8_matrix("m", [Part(file.tensors["a"]), Part(file.tensors["b"])], scale_factor=2.0)
    whole = written(layout, blob, tmp_path).astype(np.float32)
    raw = (tmp_path / "model.data").read_bytes()[scales.offset : scales.offset + scales.nbytes]
    scale = np.frombuffer(raw, np.float32) / 2
    np.testing.assert_allclose(whole * scale, np.concatenate([A.T, B.T], axis=1), atol=float(scale.max()) / 2)


def test_int8_rows_times_their_scales_are_the_tensor(file: TensorFile, tmp_path: Path) -> None:
    layout = WeightLayout()
    blob, scales = layout.int8_rows("e", file.tensors["a"])
    whole = written(layout, blob, tmp_path).astype(np.float32)
    raw = (tmp_path / "model.data").read_bytes()[scales.offset : scales.offset + scales.nbytes]
    scale = np.frombuffer(raw, np.float32)
    np.testing.assert_allclose(scale, np.abs(A).max(1) / 127)
    np.testing.assert_allclose(whole * scale[:, None], A, atol=float(scale.max()) / 2)


def test_every_blob_starts_on_a_page(file: TensorFile) -> None:
    layout = WeightLayout()
    layout.copy("a", file.tensors["a"])
    layout.int8_matrix("m", [Part(file.tensors["b"])], scale_factor=1.0)
    layout.array("x", lambda: np.zeros(3, np.float32), (3,))
    assert [blob.offset for blob in layout.blobs] == [0, 4096, 8192, 12288]


def test_planned_size_is_the_files_size_and_what_progress_adds_up_to(file: TensorFile, tmp_path: Path) -> None:
    layout = WeightLayout()
    layout.copy("a", file.tensors["a"])
    layout.matrix("m", [Part(file.tensors["a"]), Part(file.tensors["b"])])
    seen: list[int] = []
    layout.write(tmp_path / "model.data", seen.append)
    assert (tmp_path / "model.data").stat().st_size == layout.total_bytes == 4096 + 4 * 21
    assert sum(seen) == sum(blob.nbytes for blob in layout.blobs)


def test_rows_round_to_nearest_by_their_own_scale() -> None:
    whole, scale = round_rows(np.array([[127.0, -63.4, 0.6], [0.0, 2.54, -1.3]], np.float32))
    assert whole.tolist() == [[127, -63, 1], [0, 127, -65]]
    np.testing.assert_allclose(scale, [1.0, 0.02], rtol=1e-6)


def test_row_of_zeros_rounds_to_zeros() -> None:
    whole, scale = round_rows(np.zeros((1, 3), np.float32))
    assert whole.tolist() == [[0, 0, 0]]
    assert scale.tolist() == [1.0]
