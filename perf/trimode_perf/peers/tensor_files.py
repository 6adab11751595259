"""Reads a .safetensors file into torch without the safetensors package, for machines that have torch alone."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def load(path: Path) -> dict[str, Tensor]:
    """Return every tensor of the file by name, in its own dtype, on the CPU.

    The format: 8 bytes with the length of a JSON header, the header (dtype, shape, [begin, end) of each tensor behind
    it), then the values, little-endian.

    Raises:
        ValueError: the file is cut, or a tensor is of another dtype than DTYPES.
    """
    raw = bytearray(path.read_bytes())
    if len(raw) < 8 or len(raw) < (start := 8 + int.from_bytes(raw[:8], "little")):
        raise ValueError(f"{path}: header: cut short: found {len(raw)} bytes")
    found: dict[str, Tensor] = {}
    for name, entry in json.loads(raw[8:start]).items():
        if name == "__metadata__":
            continue
        if entry["dtype"] not in DTYPES:
            raise ValueError(f"{path}: tensor {name}: expected dtype {', '.join(DTYPES)}, found {entry['dtype']}")
        begin, end = (start + offset for offset in entry["data_offsets"])
        if end > len(raw):
            raise ValueError(f"{path}: tensor {name}: cut short: expected {end} bytes, found {len(raw)}")
        values = torch.frombuffer(raw[begin:end], dtype=DTYPES[entry["dtype"]]) if end > begin else torch.empty(0)
        found[name] = values.reshape(entry["shape"])
    return found
