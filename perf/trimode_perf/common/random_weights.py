"""A checkpoint of given shapes with random weights: for what is measured of memory and of time, not of answers."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np

from .published import tensors

PATTERN = 1 << 24  # values of the random pattern that is repeated through the file


def write_checkpoint(folder: Path, config: dict[str, Any]) -> int:
    """Write config.json and model.safetensors of random bfloat16 values; return the bytes of the latter."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    header: dict[str, object] = {}
    end = 0
    for name, shape in tensors(config).items():
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end := end + 2 * math.prod(shape)]}
    bits = np.random.default_rng(0).normal(0, 0.02, PATTERN).astype(np.float32).view(np.uint32) >> 16
    pattern = memoryview(bits.astype("<u2").tobytes())
    text = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        for start in range(0, end, len(pattern)):
            stream.write(pattern[: end - start])
    return 8 + len(text) + end
