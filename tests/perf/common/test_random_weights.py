"""Random weights are a checkpoint that the converter reads."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from trimode_convert.checkpoint.checkpoint import Checkpoint
from trimode_convert.checkpoint.config import ModelConfig
from trimode_perf.common.published import CONFIGS, TINY, tensors
from trimode_perf.common.random_weights import write_checkpoint


def test_the_checkpoint_is_one_that_the_converter_reads(tmp_path: Path) -> None:
    config = {**CONFIGS["3b"], **TINY}
    size = write_checkpoint(tmp_path / "it", config)
    assert (tmp_path / "it" / "model.safetensors").stat().st_size == size
    assert ModelConfig.load(tmp_path / "it").num_layers == 2
    with Checkpoint.open(tmp_path / "it") as checkpoint:
        assert checkpoint.parameters == sum(math.prod(shape) for shape in tensors(config).values())
        bits = checkpoint.head.read()
    assert 0.01 < float(np.std(np.asarray(bits, dtype=np.float32))) < 0.03
