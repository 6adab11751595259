"""The tower and the projector in plain numpy float32, written from their description and not from the graph.

Patches are in raster order here, and cells are cut out of the grid: the graph is checked against it, so it shares no
code with it. Sources: PixtralVisionModel and Mistral3MultiModalProjector of transformers.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..checkpoint.checkpoint import Checkpoint
from ..checkpoint.tensor_file import FloatArray
from ..checkpoint.vision_config import PROJECTOR, TOWER, VisionConfig

TOWER_EPSILON = 1e-5  # of all of the tower's norms


def encode(checkpoint: Checkpoint, pixels: FloatArray) -> FloatArray:
    """Return the rows that stand for one picture (3, H, W), cells row by row  # (cells, hidden)."""
    config = checkpoint.config.vision
    assert config is not None
    down, across = pixels.shape[1] // config.patch, pixels.shape[2] // config.patch
    hidden = _patches(checkpoint, pixels, config)  # (down * across, hidden)
    hidden = _norm(hidden, _read(checkpoint, f"{TOWER}.ln_pre"), TOWER_EPSILON)
    spin = _spin(config, down, across)
    for layer in range(config.num_layers):
        name = f"{TOWER}.transformer.layers.{layer}"
        normed = _norm(hidden, _read(checkpoint, f"{name}.attention_norm"), TOWER_EPSILON)
        hidden = hidden + _attend(checkpoint, f"{name}.attention", normed, spin, config)
        normed = _norm(hidden, _read(checkpoint, f"{name}.ffn_norm"), TOWER_EPSILON)
        gate, up = (normed @ _read(checkpoint, f"{name}.feed_forward.{kind}_proj").T for kind in ("gate", "up"))
        hidden = hidden + (gate / (1.0 + np.exp(-gate)) * up) @ _read(checkpoint, f"{name}.feed_forward.down_proj").T
    return _project(checkpoint, hidden.reshape(down, across, -1), config)


def _patches(checkpoint: Checkpoint, pixels: FloatArray, config: VisionConfig) -> FloatArray:
    """Multiply each patch with the convolution's kernels, patch by patch."""
    kernels = _read(checkpoint, f"{TOWER}.patch_conv").reshape(config.hidden_size, -1)
    size, rows = config.patch, list[FloatArray]()
    for top in range(0, pixels.shape[1], size):
        for left in range(0, pixels.shape[2], size):
            rows.append(kernels @ pixels[:, top : top + size, left : left + size].reshape(-1))
    return np.stack(rows)


def _spin(config: VisionConfig, down: int, across: int) -> NDArray[np.complex128]:
    """Return by how much each pair of a head's channels turns at each patch  # (patches, D / 2)."""
    half = config.head_dim // 2
    angle = [math.pow(config.theta, -2 * pair / config.head_dim) for pair in range(half)]
    turns = [
        [row * one for one in angle[0::2]] + [column * one for one in angle[1::2]]
        for row in range(down)
        for column in range(across)
    ]
    spin: NDArray[np.complex128] = np.exp(1j * np.array(turns))
    return spin


def _attend(
    checkpoint: Checkpoint, name: str, x: FloatArray, spin: NDArray[np.complex128], config: VisionConfig
) -> FloatArray:
    """Attention of every patch to every patch of the picture, head by head."""
    size, half = config.head_dim, config.head_dim // 2
    query, key, value = (x @ _read(checkpoint, f"{name}.{kind}_proj").T for kind in "qkv")
    mixed = np.empty_like(value)
    for head in range(config.num_heads):
        own = slice(head * size, (head + 1) * size)
        turned = []
        for one in (query[:, own], key[:, own]):
            spun = (one[:, :half] + 1j * one[:, half:]) * spin
            turned.append(np.concatenate([spun.real, spun.imag], axis=1).astype(np.float32))
        scores = turned[0] @ turned[1].T / np.float32(math.sqrt(size))
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        mixed[:, own] = weights / weights.sum(axis=1, keepdims=True) @ value[:, own]
    return mixed @ _read(checkpoint, f"{name}.o_proj").T


def _project(checkpoint: Checkpoint, grid: FloatArray, config: VisionConfig) -> FloatArray:
    """Norm, merge the patches of each cell with the channel as the slowest axis, widen  # grid (down, across, n)."""
    grid = _norm(grid, _read(checkpoint, f"{PROJECTOR}.norm"), checkpoint.config.norm_epsilon)
    step = config.merge
    cells = np.stack(
        [
            grid[top : top + step, left : left + step].transpose(2, 0, 1).reshape(-1)
            for top in range(0, grid.shape[0], step)
            for left in range(0, grid.shape[1], step)
        ]
    )
    merged = cells @ _read(checkpoint, f"{PROJECTOR}.patch_merger.merging_layer").T
    inner = merged @ _read(checkpoint, f"{PROJECTOR}.linear_1").T
    bent = inner * np.array([0.5 * (1 + math.erf(one / math.sqrt(2))) for one in inner.ravel()]).reshape(inner.shape)
    rows: FloatArray = bent.astype(np.float32) @ _read(checkpoint, f"{PROJECTOR}.linear_2").T
    return rows


def _norm(x: FloatArray, weight: FloatArray, epsilon: float) -> FloatArray:
    normed: FloatArray = x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + np.float32(epsilon)) * weight
    return normed


def _read(checkpoint: Checkpoint, name: str) -> FloatArray:
    return checkpoint.tensors[f"{name}.weight"].read()
