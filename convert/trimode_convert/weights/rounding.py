"""How weights become fewer bits: storage types, and codes with scales for Q/DQ nodes. Arrays in, arrays out.

Scales are rounded to their own stored type before the codes are chosen, so that a coarse scale adds no systematic
error. Knows nothing about files, graphs or layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from ..checkpoint.tensor_file import FloatArray

ITEM_BITS = {
    "float32": 32,
    "bfloat16": 16,
    "float16": 16,
    "int8": 8,
    "uint8": 8,
    "float8e4m3": 8,
    "int4": 4,
    "float4e2m1": 4,
}
# The largest value that a code stands for before it is scaled.
LARGEST = {"int8": 127.0, "float8e4m3": 448.0, "int4": 7.0, "float4e2m1": 6.0}
STORED_AS = {"float8e4m3": ml_dtypes.float8_e4m3fn, "float4e2m1": ml_dtypes.float4_e2m1fn}
SMALLEST_SCALE = np.float32(2.0**-14)  # the smallest normal float16: every stored type can hold such a scale


@dataclass(frozen=True)
class Codes:
    """How a matrix is cut into codes.

    Attributes:
        dtype: the type of a code.
        block: how many inputs share a scale; None means that all inputs of an output channel do.
        shared: whether one power of two scales the whole matrix, and block scales are in float8e4m3 (NVFP4).
        reaches: the shares of a block's largest value that its largest code may stand for; the share with the smallest
            squared error is used. Cutting off a block's largest values makes its steps finer: on the trained nano the
            relative RMS of int4's logits fell from 0.20 to 0.17.
    """

    dtype: str
    block: int | None = None
    shared: bool = False
    reaches: tuple[float, ...] = (1.0,)


INT8 = Codes("int8")
FP8 = Codes("float8e4m3")
INT4 = Codes("int4", block=128, reaches=(1.0, 0.9, 0.8))
NVFP4 = Codes("float4e2m1", block=16, shared=True)


def stored(values: FloatArray, dtype: str) -> NDArray[Any]:
    """Return float32 values in a storage type, as an array with the bytes of the file  # the same shape.

    bfloat16 is returned as uint16 and float8 as uint8, rounded to nearest even, because numpy itself has neither.

    Raises:
        OverflowError: a value exceeds the largest of the type.
    """
    if dtype == "float32":
        return values
    if dtype == "bfloat16":
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
        return ((bits + (np.uint32(0x7FFF) + ((bits >> 16) & 1))) >> 16).astype(np.uint16)
    if dtype == "float16":
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if not np.isfinite(half).all():
            raise OverflowError(f"float16 holds at most 65504, found {float(np.abs(values).max()):g}")
        return half
    if dtype == "int8":
        return values.astype(np.int8)
    return values.astype(STORED_AS[dtype]).view(np.uint8)


def restored(values: FloatArray, dtype: str) -> FloatArray:
    """Return what a reader of the stored type sees, as float32."""
    kinds = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16, **STORED_AS}
    return values.astype(kinds[dtype]).astype(np.float32)


def shared_scale(largest: float) -> float:
    """Return NVFP4's scale of a matrix with this largest absolute value: a power of two, so that block scales fit."""
    wanted = max(largest, 1e-30) / LARGEST["float4e2m1"] / LARGEST["float8e4m3"]
    return float(2.0 ** np.ceil(np.log2(wanted)))


def round_blocks(values: FloatArray, codes: Codes, scale_dtype: str, shared: float = 1.0) -> tuple[Any, FloatArray]:
    """Round rows to codes  # values [n, in] -> codes uint8 or int8 [n, in], scales float32 [n, in / block].

    values ~ code * scale * shared, with scales that `scale_dtype` holds exactly.
    """
    rows, width = values.shape
    blocks = values.reshape(rows, -1, codes.block or width)  # [n, blocks, block]
    limit = np.float32(LARGEST[codes.dtype])
    largest = np.maximum(blocks.max(axis=2), -blocks.min(axis=2)) / (limit * np.float32(shared))  # in codes' steps
    whole, scales = _rounded(blocks, codes, scale_dtype, largest * np.float32(codes.reaches[0]), shared)
    if len(codes.reaches) > 1:
        error = _squared_error(blocks, whole, scales, shared)
        for reach in codes.reaches[1:]:
            other, other_scales = _rounded(blocks, codes, scale_dtype, largest * np.float32(reach), shared)
            other_error = _squared_error(blocks, other, other_scales, shared)
            better = other_error < error
            error[better], scales[better], whole[better] = other_error[better], other_scales[better], other[better]
    if codes.dtype in STORED_AS:
        return whole.reshape(rows, width).astype(STORED_AS[codes.dtype]).view(np.uint8), scales
    return whole.reshape(rows, width).astype(np.int8), scales


def _rounded(
    blocks: FloatArray, codes: Codes, scale_dtype: str, wanted: FloatArray, shared: float
) -> tuple[FloatArray, FloatArray]:
    """Return codes as floats [n, blocks, block] (floating-point codes are not rounded yet) and scales [n, blocks]."""
    if scale_dtype != "float8e4m3":
        wanted = np.maximum(wanted, SMALLEST_SCALE)
    scales = restored(wanted, scale_dtype)
    divisor = np.where(scales > 0, scales, np.float32(1.0)) * np.float32(shared)
    limit = np.float32(LARGEST[codes.dtype])
    whole = blocks / divisor[:, :, None]
    np.clip(whole, -limit, limit, out=whole)
    if codes.dtype not in STORED_AS:
        np.rint(whole, out=whole)
    return whole, scales


def _squared_error(blocks: FloatArray, whole: FloatArray, scales: FloatArray, shared: float) -> FloatArray:
    """Return the squared error of each block  # [n, blocks]."""
    off = whole * (scales * np.float32(shared))[:, :, None]
    off -= blocks
    return np.asarray(np.einsum("nbk,nbk->nb", off, off), np.float32)


def packed(codes: NDArray[Any]) -> NDArray[np.uint8]:
    """Pack pairs of 4-bit codes of the last axis, the first of a pair in the low half  # [..., n] -> [..., n / 2]."""
    nibbles = codes.view(np.uint8) & np.uint8(15)
    pairs: NDArray[np.uint8] = nibbles[..., 0::2] | (nibbles[..., 1::2] << np.uint8(4))
    return pairs
