"""The released models' dimensions: two layers of each run in both forms on the CPU and give the same logits.

The vocabulary is 512 rather than 131072, the weights are windows of one pattern of random numbers, and both layers have
the same: with the whole of each, one size would take gigabytes. Everything else is as released: widths, heads, angles,
the adapter's rank.
"""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx.helper import make_tensor_value_info
from trimode_convert.checkpoint.checkpoint import Checkpoint
from trimode_convert.checkpoint.config import ModelConfig
from trimode_convert.graph.model import draw
from trimode_convert.graph.precisions import ONNXRUNTIME, TENSORRT, Target
from trimode_convert.graph.rope import cosines, sines

from tests.support import official_shapes

pytestmark = pytest.mark.slow

CAPACITY, VOCAB, LENGTH = 128, 512, 64
# With gate and up apart in both, so that both have the same weights.
DELTA, SCATTER = ONNXRUNTIME, dataclasses.replace(TENSORRT, precisions=ONNXRUNTIME.precisions)


@pytest.fixture(scope="module")
def pattern() -> NDArray[np.float32]:
    """Random numbers of the released models' initializer range, as many as the largest matrix has and a bit."""
    short = np.random.default_rng(0).standard_normal(999_983, np.float32) * np.float32(0.02)
    return np.resize(short, 5120 * 16384 + 999_983)


def without_layer(name: str) -> str:
    """Return a weight's name without its layer: `layers.1.qkv` -> `qkv`."""
    return re.sub(r"^layers\.\d+\.", "", name)


class Model:
    """A drawn graph whose weights are views of the pattern; nothing is written."""

    def __init__(self, config: ModelConfig, target: Target, pattern: NDArray[np.float32]) -> None:
        checkpoint = Checkpoint.of_shapes(config, official_shapes.ADAPTER_RANK)
        drawn = draw(checkpoint, target=target, precision="float32", capacity=CAPACITY, location="none")
        self.config, self.target = config, target
        made: dict[str, onnxruntime.OrtValue] = {}
        for blob in drawn.weights.blobs:
            kind = without_layer(blob.name)
            if kind not in made:
                made[kind] = onnxruntime.OrtValue.ortvalue_from_numpy(self._values(kind, blob.shape, pattern))
        self.held = {blob.name: made[without_layer(blob.name)] for blob in drawn.weights.blobs}
        for tensor in list(drawn.model.graph.initializer):
            if tensor.name in self.held:  # an input, not a weight: weights would be copied
                drawn.model.graph.input.append(make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
                drawn.model.graph.initializer.remove(tensor)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # it warns of every cache that is not written in place
        self.session = onnxruntime.InferenceSession(drawn.model.SerializeToString(), options)
        self.names = [value.name for value in self.session.get_outputs()]
        shape = (1, config.num_kv_heads, CAPACITY, config.head_dim)
        caches = [f"past_{kind}.{layer}" for layer in range(2) for kind in ("key", "value")]
        self.cache = {name: np.zeros(shape, np.float32) for name in caches}

    def _values(self, name: str, shape: tuple[int, ...], pattern: NDArray[np.float32]) -> NDArray[np.float32]:
        if name.startswith("rope."):
            function = sines if name == "rope.sin" else cosines
            whole = function(self.config.rope, self.config.head_dim, CAPACITY)
            return whole[:, -shape[1] :]  # one form takes a value for each pair of channels, the second half's
        if name == "head.mask_penalty":
            return np.where(np.arange(VOCAB) == self.config.mask_token_id, -1e9, 0).astype(np.float32)
        if name.endswith("norm"):
            return np.ones(shape, np.float32)
        return self._window(name, shape, pattern)

    @staticmethod
    def _window(name: str, shape: tuple[int, ...], pattern: NDArray[np.float32]) -> NDArray[np.float32]:
        start = sum(name.encode()) * 7919 % 999_983
        return pattern[start : start + int(np.prod(shape))].reshape(shape)

    def run(self, tokens: NDArray[np.int64], start: int, *, causal: bool, keep: bool, adapter: bool) -> Any:
        """One pass; returns its logits  # (S, vocab)."""
        size = len(tokens)
        sees = np.tri(size, dtype=bool) if causal else np.ones((size, size), dtype=bool)
        feeds: dict[str, NDArray[Any]] = self.cache | {
            "input_ids": tokens[None],
            "position_ids": np.arange(start, start + size)[None],
            "logit_rows": np.arange(size)[None],
            "lora_scale": np.full((1, size), adapter, np.float32),
        }
        if self.target is DELTA:
            feeds |= {"past_len": np.array([start]), "block_mask": sees[None]}
        else:
            mask = np.zeros((1, 1, size, LENGTH), dtype=bool)
            mask[..., :start], mask[..., start : start + size] = True, sees
            feeds |= {"write_indices": np.array([start]), "attn_mask": mask}
        held = {name: onnxruntime.OrtValue.ortvalue_from_numpy(array) for name, array in feeds.items()}
        values = self.session.run_with_ort_values(self.names, held | self.held)
        found = {name: value.numpy() for name, value in zip(self.names, values, strict=True)}
        if self.target is SCATTER:
            self.cache = {name: found[name.replace("past", "present")] for name in self.cache}
        elif keep:
            for name, rows in self.cache.items():
                new = found[name.replace("past", "new")].reshape(1, size, self.config.num_kv_heads, -1)
                rows[:, :, start : start + size] = new.swapaxes(1, 2)
        return found["logits"][0]


@pytest.mark.parametrize("size", official_shapes.SIZES)
def test_both_forms_give_the_same_logits(size: str, tmp_path: Path, pattern: NDArray[np.float32]) -> None:
    (tmp_path / "config.json").write_text(
        json.dumps(official_shapes.config(size, num_hidden_layers=2, vocab_size=VOCAB))
    )
    config = ModelConfig.load(tmp_path)
    tokens = np.random.default_rng(1).integers(101, VOCAB, 30)
    results = []
    for target in (DELTA, SCATTER):
        model = Model(config, target, pattern)
        results.append(
            [
                model.run(tokens[:12], 0, causal=True, keep=True, adapter=False),  # prefill
                model.run(tokens[12:20], 12, causal=False, keep=False, adapter=True),  # draft
                model.run(tokens[12:20], 12, causal=True, keep=True, adapter=False),  # verify
                model.run(tokens[20:21], 15, causal=True, keep=True, adapter=False),  # step after a rollback
            ]
        )
        del model
    for delta, scatter in zip(*results, strict=True):
        np.testing.assert_allclose(scatter, delta, atol=1e-4 * float(np.abs(delta).max()))
