"""Weights in fewer bits: codes times scales are the weights again, and the bytes are laid out as ONNX says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from trimode.errors import CheckpointError
from trimode_convert.checkpoint import tensor_file
from trimode_convert.checkpoint.tensor_file import TensorFile
from trimode_convert.weights.rounding import (
    FP8,
    INT4,
    INT8,
    NVFP4,
    Codes,
    packed,
    restored,
    round_blocks,
    shared_scale,
    stored,
)
from trimode_convert.weights.weight_file import Blob, Part, WeightLayout

from tests.support import checkpoints as factory

W = np.random.default_rng(0).standard_normal((6, 256), np.float32) * np.float32(0.02)  # [out, in]
W[1] *= 100
W[2] = 0
DTYPES = {"bfloat16": ml_dtypes.bfloat16, "float16": np.float16, "float8e4m3": ml_dtypes.float8_e4m3fn}


def test_bfloat16_rounds_to_nearest_even() -> None:
    values = np.array([1.0, -1.0, 1 + 2**-8, 1 + 3 * 2**-8, 3.3e38, 0.0, 1e-40], np.float32)
    np.testing.assert_array_equal(stored(values, "bfloat16"), values.astype(ml_dtypes.bfloat16).view(np.uint16))


def test_float16_beyond_its_largest_is_refused() -> None:
    with pytest.raises(OverflowError, match="float16 holds at most 65504, found 70000"):
        stored(np.array([70000.0], np.float32), "float16")


# The worst error of a value is half a step: of the scale, or for floating codes of the value itself; int4 may cut off
# a fifth of its largest value, 1.75 steps of 7.
@pytest.mark.parametrize(
    ("codes", "scale_dtype", "worst"),
    [(INT8, "bfloat16", 0.6), (INT4, "bfloat16", 1.9), (INT4, "float16", 1.9), (FP8, "bfloat16", 17), (NVFP4, "", 1.2)],
)
def test_codes_times_scales_are_the_weights(codes: Codes, scale_dtype: str, worst: float) -> None:
    scale_dtype = scale_dtype or "float8e4m3"
    shared = shared_scale(float(np.abs(W).max())) if codes.shared else 1.0
    whole, scales = round_blocks(W, codes, scale_dtype, shared)
    np.testing.assert_array_equal(restored(scales, scale_dtype), scales)  # the stored scale is the one used
    kinds = {"float8e4m3": ml_dtypes.float8_e4m3fn, "float4e2m1": ml_dtypes.float4_e2m1fn}
    values = whole.view(kinds[codes.dtype]).astype(np.float32) if codes.dtype in kinds else whole.astype(np.float32)
    steps = np.repeat(scales * np.float32(shared), codes.block or 256, axis=1)
    assert (np.abs(values * steps - W) <= worst * steps + 1e-6).all()


def test_reach_with_the_least_error_is_taken() -> None:
    plain = Codes("int4", block=128)
    errors = []
    for codes in (plain, INT4):
        whole, scales = round_blocks(W, codes, "bfloat16")
        errors.append((whole * np.repeat(scales, 128, axis=1) - W) ** 2)
    before, after = (error.reshape(6, 2, 128).sum(axis=2) for error in errors)
    assert (after <= before).all()
    assert after.sum() < 0.9 * before.sum()


def test_shared_scale_is_a_power_of_two_that_fits_the_largest_block() -> None:
    for largest in (1e-3, 0.5, 7.0, 1e4):
        scale = shared_scale(largest)
        assert np.log2(scale) % 1 == 0
        assert largest / 6 / scale <= 448


def test_pairs_of_codes_put_the_first_in_the_low_half() -> None:
    assert packed(np.array([[1, -2, 7, -8]], np.int8)).tolist() == [[0xE1, 0x87]]


@pytest.fixture
def file(tmp_path: Path) -> Iterator[TensorFile]:
    odd = np.ones((3, 128), np.float32)
    factory.write_safetensors(tmp_path / "t.safetensors", {"a": W[:4], "b": W[4:], "odd": odd, "narrow": W[:2, :64]})
    opened = TensorFile.open(tmp_path / "t.safetensors")
    yield opened
    opened.close()


def raw(path: Path, blob: Blob) -> bytes:
    return path.read_bytes()[blob.offset : blob.offset + blob.nbytes]


@pytest.mark.parametrize("slice_bytes", [1, 1 << 20])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_matrix_is_the_parts_transposed_side_by_side(
    file: TensorFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, slice_bytes: int
) -> None:
    monkeypatch.setattr(tensor_file, "SLICE_BYTES", slice_bytes)
    layout = WeightLayout()
    blob = layout.matrix("m", [Part(file.tensors["a"]), Part(file.tensors["b"])], dtype)
    layout.write(tmp_path / "data")
    found = np.frombuffer(raw(tmp_path / "data", blob), DTYPES[dtype]).reshape(256, 6)
    np.testing.assert_array_equal(found, W.T.astype(DTYPES[dtype]))


@pytest.mark.parametrize("slice_bytes", [1, 1 << 20])
@pytest.mark.parametrize("codes", [INT8, FP8, INT4, NVFP4], ids=lambda codes: codes.dtype)
def test_quantized_file_holds_codes_and_scales_in_columns(
    file: TensorFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codes: Codes, slice_bytes: int
) -> None:
    monkeypatch.setattr(tensor_file, "SLICE_BYTES", slice_bytes)
    layout = WeightLayout()
    found = layout.quantized("m", [Part(file.tensors["a"]), Part(file.tensors["b"])], codes, "bfloat16")
    layout.write(tmp_path / "data")
    shared = shared_scale(float(np.abs(W).max())) if codes.shared else 1.0
    whole, scales = round_blocks(W, codes, found.scales.dtype, shared)
    turned = np.ascontiguousarray(whole.T).view(np.uint8)
    expected = packed(turned) if codes.dtype in ("int4", "float4e2m1") else turned
    assert raw(tmp_path / "data", found.codes) == expected.tobytes()
    assert raw(tmp_path / "data", found.scales) == stored(np.ascontiguousarray(scales.T), found.scales.dtype).tobytes()
    if found.shared is not None:
        assert np.frombuffer(raw(tmp_path / "data", found.shared), ml_dtypes.bfloat16).tolist() == [shared]


def test_inputs_that_are_not_whole_blocks_are_refused(file: TensorFile) -> None:
    with pytest.raises(CheckpointError, match="tensor narrow: axis 1: expected a multiple of 128 for int4, found 64"):
        WeightLayout().quantized("m", [Part(file.tensors["narrow"])], INT4, "bfloat16")


def test_an_odd_number_of_4_bit_outputs_is_refused(file: TensorFile) -> None:
    with pytest.raises(CheckpointError, match="tensor odd: axis 0: expected a multiple of 2 for int4, found 3"):
        WeightLayout().quantized("m", [Part(file.tensors["odd"])], INT4, "bfloat16")
