"""Peak memory of a conversion is that of a slice, not of the model: 1 GB of BF16 shards in a process of its own."""

from __future__ import annotations

import json
import math
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from trimode.bundle.manifest import WEIGHTS

from tests.support import checkpoints as factory

LIMIT_MB = 300
# An embedding and a head of 270 MB each (540 MB as float32: read whole, one alone would break the limit).
LARGE = {
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "vocab_size": 65_536,
}
SCRIPT = """
import sys
from pathlib import Path
from trimode_convert.cli import main
code = main(sys.argv[1:])
print("peak", Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
sys.exit(code)
"""


def write_large(folder: Path, layers: int, shards: int = 4) -> int:
    """Write the checkpoint from one repeated pattern of small bf16 numbers; return its bytes."""
    settings = factory.config(num_hidden_layers=layers, **LARGE)
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(settings))
    bits = np.random.default_rng(0).standard_normal(1 << 20, np.float32).view(np.uint32) >> 16
    pattern = memoryview(bits.astype(np.uint16).tobytes())
    names = sorted(factory.shapes(settings).items())
    weight_map: dict[str, str] = {}
    total = 0
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        header: dict[str, object] = {}
        end = 0
        for name, shape in names[shard::shards]:
            header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end := end + 2 * math.prod(shape)]}
            weight_map[name] = file
        text = json.dumps(header).encode()
        with (folder / file).open("wb") as stream:
            stream.write(struct.pack("<Q", len(text)) + text)
            for start in range(0, end, len(pattern)):
                stream.write(pattern[: end - start])
        total += end
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return total


@pytest.mark.parametrize(("precision", "layers", "size"), [("int8", 5, 1.0e9), ("float32", 1, 0.6e9)])
def test_peak_memory_is_a_slice_and_not_the_model(tmp_path: Path, precision: str, layers: int, size: float) -> None:
    if shutil.disk_usage(tmp_path).free < 5 << 30:
        pytest.skip("needs 5 GB of free disk")
    try:
        total = write_large(tmp_path / "large", layers)
        arguments = [str(tmp_path / "large"), "--out", str(tmp_path / "out"), "--precision", precision]
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, timeout=120, check=True
        )
        written = (tmp_path / "out" / WEIGHTS).stat().st_size
    finally:
        shutil.rmtree(tmp_path)
    assert total > size
    assert written > 0.7 * total
    assert int(done.stdout.split("peak")[-1]) / 1024 < LIMIT_MB
