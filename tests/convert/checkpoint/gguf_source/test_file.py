"""GGUF files: every type of tensor against ggml's own formulas, heads in halves, slices, and broken files."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray
from trimode.errors import CheckpointError
from trimode_convert.checkpoint import tensor_file
from trimode_convert.checkpoint.gguf_source.file import GgufTensor, open_gguf

from tests.support import llama_checkpoints as factory

ROWS, WIDTH = 6, 512
Floats = NDArray[np.float32]


def half(raw: NDArray[np.uint8]) -> float:
    return float(raw.view(np.float16)[0])


def plain(kind: str, block: NDArray[np.uint8]) -> list[float]:
    """One block's values by the formulas of ggml-quants.c, a number at a time."""
    if kind == "Q8_0":
        return [half(block[:2]) * int(q) for q in block[2:].view(np.int8)]
    if kind in ("Q4_0", "Q4_1"):
        head = 2 if kind == "Q4_0" else 4
        quarts = [*(int(q) & 15 for q in block[head:]), *(int(q) >> 4 for q in block[head:])]
        if kind == "Q4_0":
            return [half(block[:2]) * (q - 8) for q in quarts]
        return [half(block[:2]) * q + half(block[2:4]) for q in quarts]
    return q4_k(block) if kind == "Q4_K" else q6_k(block)


def q4_k(block: NDArray[np.uint8]) -> list[float]:
    d, least, scales, codes = half(block[:2]), half(block[2:4]), block[4:16].astype(int), block[16:].astype(int)
    found = []
    for part in range(8):
        if part < 4:
            scale, low = scales[part] & 63, scales[part + 4] & 63
        else:
            scale = (scales[part + 4] & 15) | ((scales[part - 4] >> 6) << 4)
            low = (scales[part + 4] >> 4) | ((scales[part] >> 6) << 4)
        some = codes[32 * (part // 2) : 32 * (part // 2) + 32]
        found += [d * scale * (int(q) >> 4 if part % 2 else int(q) & 15) - least * low for q in some]
    return found


def q6_k(block: NDArray[np.uint8]) -> list[float]:
    low, high = block[:128].astype(int), block[128:192].astype(int)
    scales, d = block[192:208].view(np.int8).astype(int), half(block[208:210])
    found = [0.0] * 256
    for side in range(2):
        for at in range(32):
            a, b = low[64 * side + at], low[64 * side + 32 + at]
            top = high[32 * side + at]
            quarters = (a & 15, b & 15, a >> 4, b >> 4)
            for part, q in enumerate(quarters):
                value = (q | (((top >> (2 * part)) & 3) << 4)) - 32
                scale = scales[8 * side + 2 * part + at // 16]
                found[128 * side + 32 * part + at] = d * scale * value
    return found


def blocks_of(kind: str, seed: int = 0) -> NDArray[np.uint8]:
    """Random bytes as rows of blocks, with finite half-precision scales."""
    size, block_bytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
    random = np.random.default_rng(seed)
    made = random.integers(0, 256, (ROWS, WIDTH // size, block_bytes), np.uint8)
    halves = {"Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q4_K": [0, 2], "Q6_K": [208]}[kind]
    for at in halves:
        scales = (random.standard_normal((ROWS, WIDTH // size)) * 0.1).astype(np.float16)
        made[..., at : at + 2] = scales[..., None].view(np.uint8)
    return made


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q6_K"])
def test_quantised_blocks_become_what_ggml_says(tmp_path: Path, kind: str) -> None:
    blocks = blocks_of(kind)
    writer = gguf.GGUFWriter(tmp_path / "t.gguf", "llama")
    writer.add_tensor("t", blocks.reshape(ROWS, -1), raw_dtype=gguf.GGMLQuantizationType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    file = open_gguf(tmp_path / "t.gguf")
    expected = np.array([[plain(kind, block) for block in row] for row in blocks]).reshape(ROWS, WIDTH)
    tensor = file.tensors["t"]
    assert tensor.shape == (ROWS, WIDTH)
    np.testing.assert_allclose(tensor.read(), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(tensor.rows(2, 5), tensor.read()[2:5])
    file.close()


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16"])
def test_unquantised_tensors_are_read_as_they_are(tmp_path: Path, kind: str) -> None:
    arrays = factory.tensors()
    file = open_gguf(factory.write_gguf(tmp_path / "t.gguf", arrays, kind=kind))
    name = "encoder.layers.0.mlp.up_proj.weight"
    found = file.tensors[factory.gguf_name(name)].read()
    np.testing.assert_allclose(found, arrays[name], rtol=2**-8 if kind == "BF16" else 0)
    np.testing.assert_array_equal(file.tensors["output_norm.weight"].read(), arrays["encoder.norm.weight"])
    file.close()


@pytest.mark.parametrize("slice_bytes", [1, 9 * 4 * factory.HIDDEN, 1 << 20])
def test_heads_in_pairs_are_read_in_halves_whatever_the_slice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slice_bytes: int
) -> None:
    monkeypatch.setattr(tensor_file, "SLICE_BYTES", slice_bytes)
    name = "encoder.layers.1.self_attn.q_proj.weight"
    arrays = factory.tensors()
    file = open_gguf(factory.write_gguf(tmp_path / "t.gguf", arrays))
    stored = file.tensors[factory.gguf_name(name)]
    tensor = GgufTensor(file, stored.name, stored.dtype, stored.shape, stored.offset, heads=factory.HEADS)
    np.testing.assert_array_equal(np.concatenate([rows for _, rows in tensor.slices()]), arrays[name])
    file.close()


def test_a_type_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = factory.write_gguf(tmp_path / "t.gguf", kind="Q5_1")
    with pytest.raises(CheckpointError, match=r"tensor token_embd\.weight: expected one of F32, .*Q6_K, found Q5_1"):
        open_gguf(path)


def test_a_value_that_is_not_finite_is_named(tmp_path: Path) -> None:
    arrays = factory.tensors()
    arrays["encoder.norm.weight"][3] = np.inf
    file = open_gguf(factory.write_gguf(tmp_path / "t.gguf", arrays))
    with pytest.raises(CheckpointError, match=r"tensor output_norm\.weight: expected finite values"):
        file.tensors["output_norm.weight"].read()
    file.close()


def test_a_file_that_is_cut_short_or_no_gguf_is_refused(tmp_path: Path) -> None:
    whole = factory.write_gguf(tmp_path / "whole.gguf").read_bytes()
    for share in (0, 3, 40, len(whole) // 3, len(whole) - 5000):
        (tmp_path / "cut.gguf").write_bytes(whole[:share])
        with pytest.raises(CheckpointError, match=r"cut\.gguf: (expected a GGUF file|cannot be read as GGUF)"):
            open_gguf(tmp_path / "cut.gguf")
    with pytest.raises(CheckpointError, match=r"none\.gguf: cannot be read"):
        open_gguf(tmp_path / "none.gguf")
