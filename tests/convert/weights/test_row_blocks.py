"""Weights in blocks of 4 and 8 bits: codes times scales are the weights again, and GGUF's own blocks stay."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
from trimode_convert.checkpoint import tensor_file
from trimode_convert.checkpoint.tensor_file import TensorFile
from trimode_convert.weights.row_blocks import EIGHT_BITS, FOUR_BITS, Rounded, RowBlocks, round_row_blocks
from trimode_convert.weights.weight_file import Part, WeightLayout

from tests.support import checkpoints as factory
from tests.support.arrays import Array

W = np.random.default_rng(0).standard_normal((130, 96), np.float32) * np.float32(0.02)  # [out, in]
W[1] *= 100
W[2] = 0
BOTH = pytest.mark.parametrize("blocks", [FOUR_BITS, EIGHT_BITS], ids=["4 bits", "8 bits"])


def restored(rounded: Rounded, blocks: RowBlocks) -> Array:
    """What the codes stand for, blocks filled up  # [n, blocks * size]."""
    count = rounded.codes.shape[1]
    whole = rounded.codes if blocks.bits == 8 else halves(rounded.codes)
    middles = np.full((1, count), 128) if rounded.middles is None else halves(rounded.middles)[:, :count]
    values = (whole.astype(np.float32) - middles[..., None].astype(np.float32)) * rounded.scales[..., None]
    return np.asarray(values.reshape(len(whole), -1), np.float32)


def halves(pairs: Array) -> Array:
    """Both numbers of each byte  # [..., n] -> [..., 2 n]."""
    return np.asarray(np.stack([pairs & 15, pairs >> 4], axis=-1).reshape(*pairs.shape[:-1], -1))


# Half a step is the error of rounding; 4 bits may cut values off, up to 1.3 steps of 15.
@pytest.mark.parametrize(("blocks", "worst"), [(FOUR_BITS, 2.0), (EIGHT_BITS, 0.501)], ids=["4 bits", "8 bits"])
def test_codes_times_scales_are_the_weights(blocks: RowBlocks, worst: float) -> None:
    rounded = round_row_blocks(W, blocks)
    off = np.abs(restored(rounded, blocks) - W).reshape(130, 3, 32)
    assert (off <= worst * np.abs(rounded.scales)[..., None]).all()
    assert rounded.codes.shape == (130, 3, blocks.nbytes) and rounded.scales.shape == (130, 3)
    assert (None if rounded.middles is None else rounded.middles.shape) == ((130, 2) if blocks is FOUR_BITS else None)


@BOTH
def test_a_block_of_zeros_stays_zero(blocks: RowBlocks) -> None:
    np.testing.assert_array_equal(restored(round_row_blocks(W[2:3], blocks), blocks), W[2:3])


@BOTH
def test_the_last_block_of_a_row_is_filled_up_with_zeros(blocks: RowBlocks) -> None:
    found = restored(round_row_blocks(W[:, :40], blocks), blocks)
    padded = np.pad(W[:, :40], ((0, 0), (0, 24)))
    np.testing.assert_array_equal(found, restored(round_row_blocks(padded, blocks), blocks))


@pytest.mark.parametrize(("kind", "blocks"), [("Q4_0", FOUR_BITS), ("Q8_0", EIGHT_BITS)])
@pytest.mark.parametrize("factor", [1.0, 0.125])  # of queries, for heads of 64 channels
def test_a_block_of_gguf_comes_out_as_it_is(kind: str, blocks: RowBlocks, factor: float) -> None:
    stored = gguf.GGMLQuantizationType[kind]
    values = gguf.dequantize(gguf.quantize(W, stored), stored).astype(np.float32) * np.float32(factor)
    np.testing.assert_allclose(restored(round_row_blocks(values, blocks), blocks), values, rtol=2e-7)


def test_what_has_the_least_error_is_taken() -> None:
    def error(shares: tuple[float, ...]) -> Array:
        blocks = RowBlocks(4, 32, shares)
        off = restored(round_row_blocks(W, blocks), blocks) - W
        return np.asarray((off**2).reshape(130, 3, 32).sum(axis=2), np.float32)

    one, all_of_them = error(FOUR_BITS.shares[:1]), error(FOUR_BITS.shares)
    assert (all_of_them <= one * 1.0001).all()
    assert all_of_them.sum() < 0.97 * one.sum()


@BOTH
@pytest.mark.parametrize("slice_bytes", [1, 1 << 20])
def test_the_file_holds_the_parts_rows_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blocks: RowBlocks, slice_bytes: int
) -> None:
    monkeypatch.setattr(tensor_file, "SLICE_BYTES", slice_bytes)
    factory.write_safetensors(tmp_path / "t.safetensors", {"a": W[:100], "b": W[100:]})
    file = TensorFile.open(tmp_path / "t.safetensors")
    layout = WeightLayout()
    found = layout.row_blocks("m", [Part(file.tensors["a"], 0.5), Part(file.tensors["b"])], blocks)
    layout.write(tmp_path / "data")
    file.close()
    raw = (tmp_path / "data").read_bytes()
    expected = round_row_blocks(np.concatenate([W[:100] / 2, W[100:]]), blocks)
    assert (found.form, found.width) == (blocks, 96)
    for blob, values in ((found.codes, expected.codes), (found.scales, expected.scales)):
        assert raw[blob.offset : blob.offset + blob.nbytes] == values.tobytes()
        assert blob.shape == values.shape
    assert (found.middles is None) == (expected.middles is None) == (blocks is EIGHT_BITS)
    if found.middles is not None and expected.middles is not None:
        assert raw[found.middles.offset :] == expected.middles.tobytes()
