"""The tower and the projector as one ONNX graph: patches of pictures in, rows for the language model out.

Pictures of any number and size are one sequence of patches; a patch sees those of its own picture. Patches come in the
order of cells, those of a cell side by side, so that merging them needs no index. Built from shapes alone. Does not
know how a picture is cut into patches.
Sources: PixtralVisionModel and Mistral3MultiModalProjector of transformers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..checkpoint.checkpoint import Checkpoint
from ..checkpoint.tensor_file import FloatArray, Tensor
from ..checkpoint.vision_config import (
    FIRST_NORM,
    LAST,
    MERGING,
    NORM_EPSILON,
    PATCHES,
    PROJECTOR_NORM,
    WIDENING,
    VisionConfig,
    tower_name,
)
from ..weights.weight_file import Part, WeightLayout
from .builder import MICROSOFT, GraphBuilder
from .linear import plain_linear
from .model import Blueprint
from .norms import FusedNorms, StandardNorms
from .precisions import Target


def draw_tower(checkpoint: Checkpoint, *, target: Target, precision: str, location: str) -> Blueprint:
    """Return the graph that encodes pictures, its weights in the file `location`; the checkpoint must have a tower.

    Inputs: `patches` float32 [n, values of a patch], `positions` int64 [n] (row * side + column of each patch), and
    what tells pictures apart, see SlicedAttention and MaskedAttention. Outputs: `features` [cells, hidden of the
    language model], and for ONNX Runtime `patch_states` [n, hidden of the tower], which a check reads.
    """
    drawing = _Drawing(checkpoint, target, precision, location)
    drawing.draw()
    return Blueprint(drawing.graph.model("nemotron_labs_diffusion_vision"), drawing.weights)


class _TowerAttention(Protocol):
    def attend(self, query: str, key: str, value: str) -> str:
        """Return the mix of values, each patch seeing its own picture  # [1, n, hidden] each."""


class SlicedAttention:
    """One attention for each picture, which `starts` int64 [pictures + 1] cut out of the sequence: for ONNX Runtime.

    Without a mask its kernel never holds all scores, which for 10,000 patches would take 6.4 GB a layer, and pictures
    cost no more together than apart.
    """

    def __init__(self, graph: GraphBuilder, weights: WeightLayout, config: VisionConfig, positions: str) -> None:
        self.graph, self.config = graph, config
        self.starts = graph.input("starts", "int64", ["edges"])
        self.positions = graph.op("Unsqueeze", positions, graph.ints(0))  # [1, n]
        shape = (config.side**2, config.head_dim // 2)
        cos = weights.array("rope.cos", lambda: _cos(config), shape)
        sin = weights.array("rope.sin", lambda: _sin(config), shape)
        self.tables = graph.external(cos), graph.external(sin)

    def attend(self, query: str, key: str, value: str) -> str:
        """See _TowerAttention."""
        graph, heads = self.graph, self.config.num_heads
        query, key = (
            graph.op("RotaryEmbedding", one, *self.tables, self.positions, num_heads=heads) for one in (query, key)
        )
        pictures = graph.op("Sub", graph.op("Size", self.starts), graph.constant(np.int64(1)))
        nothing = graph.op("Slice", query, graph.ints(0), graph.ints(0), graph.ints(1))  # [1, 0, hidden]

        def mix(inner: GraphBuilder, number: str, before: str) -> str:
            edges = [inner.op("Add", number, inner.ints(step)) for step in (0, 1)]
            cut = [inner.op("Gather", self.starts, edge) for edge in edges]
            own = [inner.op("Slice", one, *cut, inner.ints(1)) for one in (query, key, value)]
            scale = self.config.head_dim**-0.5
            mixed = inner.op("MultiHeadAttention", *own, domain=MICROSOFT, num_heads=heads, scale=scale)
            return inner.op("Concat", before, mixed, axis=1)

        return graph.loop(pictures, nothing, mix)


class MaskedAttention:
    """One attention, and a mask from `pictures` int64 [n], the number of each patch's picture: for TensorRT."""

    def __init__(self, graph: GraphBuilder, weights: WeightLayout, config: VisionConfig, positions: str) -> None:
        self.graph, self.config = graph, config
        own = graph.input("pictures", "int64", ["patches"])
        same = graph.op("Equal", graph.op("Unsqueeze", own, graph.ints(1)), graph.op("Unsqueeze", own, graph.ints(0)))
        self.mask = graph.op("Unsqueeze", same, graph.ints(0, 1))  # [1, 1, n, n]
        shape = (config.side**2, config.head_dim)
        cos = weights.array("rope.cos", lambda: _whole(_cos, config), shape)
        sin = weights.array("rope.sin", lambda: _whole(_sin, config), shape)
        rows = [graph.op("Gather", graph.external(table), positions) for table in (cos, sin)]
        self.cos, self.sin = (graph.op("Unsqueeze", row, graph.ints(0, 1)) for row in rows)  # [1, 1, n, D]

    def attend(self, query: str, key: str, value: str) -> str:
        """See _TowerAttention."""
        graph = self.graph
        turned = [graph.narrow(self._turn(self._heads(one))) for one in (query, key)]
        mixed = graph.op("Attention", *turned, self._heads(value), self.mask, scale=self.config.head_dim**-0.5)
        mixed = graph.op("Transpose", mixed, perm=[0, 2, 1, 3])
        return graph.op("Reshape", mixed, graph.ints(0, 0, self.config.hidden_size))

    def _heads(self, x: str) -> str:
        apart = self.graph.op("Reshape", x, self.graph.ints(0, 0, self.config.num_heads, self.config.head_dim))
        return self.graph.op("Transpose", apart, perm=[0, 2, 1, 3])  # [1, heads, n, D]

    def _turn(self, heads: str) -> str:
        """Rotate in float32, where the tables are."""
        graph = self.graph
        heads = graph.widen(heads)
        first, second = graph.ops("Split", 2, heads, axis=-1, num_outputs=2)
        swapped = graph.op("Concat", second, first, axis=-1)
        return graph.op("Add", graph.op("Mul", heads, self.cos), graph.op("Mul", swapped, self.sin))


class _Drawing:
    """The graph while it is being drawn."""

    def __init__(self, checkpoint: Checkpoint, target: Target, precision: str, location: str) -> None:
        assert checkpoint.config.vision is not None
        self.checkpoint, self.config = checkpoint, checkpoint.config.vision
        own = target.precision(precision)
        self.linear = own.tower or plain_linear
        self.weights = WeightLayout()
        self.graph = GraphBuilder(location, target.opset, own.dtype)
        self.on_gpu = target.runtime == "tensorrt"
        self.patches = self.graph.input("patches", "float32", ["patches", self.config.patch_width])
        positions = self.graph.input("positions", "int64", ["patches"])
        attention = MaskedAttention if self.on_gpu else SlicedAttention
        self.attention: _TowerAttention = attention(self.graph, self.weights, self.config, positions)
        self.norms = (StandardNorms if self.on_gpu else FusedNorms)(NORM_EPSILON)

    def draw(self) -> None:
        """Draw everything."""
        graph, config = self.graph, self.config
        patches = graph.narrow(graph.op("Unsqueeze", self.patches, graph.ints(0)))  # [1, n, values]
        conv = replace(self._tensor(PATCHES), shape=(config.hidden_size, config.patch_width))
        hidden = plain_linear(graph, self.weights, patches, "patch_embedding", [Part(conv)])  # [1, n, hidden]
        hidden = self.norms.first(graph, hidden, self._gain("first_norm", FIRST_NORM))
        normed = self.norms.first(graph, hidden, self._layer_gain(0, "attention_norm"))
        for layer in range(config.num_layers):
            mixed = self.attention.attend(*(self._product(layer, f"attention.{kind}_proj", normed) for kind in "qkv"))
            change = self._product(layer, "attention.o_proj", mixed)
            hidden, normed = self.norms.after(graph, hidden, change, self._layer_gain(layer, "ffn_norm"))
            change = self._mlp(layer, normed)
            if layer == config.num_layers - 1:
                hidden = graph.op("Add", hidden, change)
            else:
                gain = self._layer_gain(layer + 1, "attention_norm")
                hidden, normed = self.norms.after(graph, hidden, change, gain)
        if not self.on_gpu:
            flat = graph.op("Squeeze", hidden, graph.ints(0))
            graph.output("patch_states", flat, "float32", ["patches", config.hidden_size])
        self._project(hidden)

    def _project(self, hidden: str) -> None:
        """Merge the patches of each cell, channel by channel, and widen them to the language model's size."""
        graph, size = self.graph, self.config.hidden_size
        norm = StandardNorms(self.checkpoint.config.norm_epsilon)
        normed = norm.first(graph, hidden, self._gain("projector_norm", PROJECTOR_NORM))
        patches = self.config.merge**2
        cells = graph.op("Reshape", normed, graph.ints(-1, patches, size))
        merged = graph.op("Transpose", cells, perm=[0, 2, 1])  # [cells, hidden, patches of a cell]
        merged = graph.op("Reshape", merged, graph.ints(1, -1, patches * size))
        merged = self._linear("merging", MERGING, merged)
        inner = graph.op("Gelu", self._linear("widening", WIDENING, merged))
        rows = graph.widen(self._linear("last", LAST, inner))
        flat = graph.op("Squeeze", rows, graph.ints(0))
        graph.output("features", flat, "float32", ["cells", self.checkpoint.config.hidden_size])

    def _mlp(self, layer: int, x: str) -> str:
        gate, up = (self._product(layer, f"feed_forward.{kind}_proj", x) for kind in ("gate", "up"))
        inner = self.graph.op("Mul", self.graph.op("Mul", gate, self.graph.op("Sigmoid", gate)), up)
        return self._product(layer, "feed_forward.down_proj", inner)

    def _product(self, layer: int, name: str, x: str) -> str:
        return self._linear(f"layers.{layer}.{name}", tower_name(layer, name), x)

    def _linear(self, name: str, tensor: str, x: str) -> str:
        return self.linear(self.graph, self.weights, x, name, [Part(self._tensor(tensor))])

    def _layer_gain(self, layer: int, name: str) -> str:
        return self._gain(f"layers.{layer}.{name}", tower_name(layer, name))

    def _gain(self, name: str, tensor: str) -> str:
        return self.graph.external(self.weights.copy(name, self._tensor(tensor), self.graph.dtype))

    def _tensor(self, name: str) -> Tensor:
        return self.checkpoint.tensors[name]


def _angles(config: VisionConfig) -> NDArray[np.float64]:
    """Return the angle of each pair of a head's channels at each place, row by row  # (side * side, head_dim / 2).

    The first half of the pairs turns by the row, with every other frequency from the first on; the second half turns by
    the column, with the others.
    """
    pairs = np.arange(config.head_dim // 2, dtype=np.float64)
    frequencies = config.theta ** (-2.0 * pairs / config.head_dim)
    along = np.arange(config.side, dtype=np.float64)
    by_row, by_column = np.outer(along, frequencies[::2]), np.outer(along, frequencies[1::2])
    return np.concatenate([np.repeat(by_row, config.side, 0), np.tile(by_column, (config.side, 1))], axis=1)


def _cos(config: VisionConfig) -> FloatArray:
    return np.cos(_angles(config)).astype(np.float32)


def _sin(config: VisionConfig) -> FloatArray:
    return np.sin(_angles(config)).astype(np.float32)


def _whole(of_pairs: Callable[[VisionConfig], FloatArray], config: VisionConfig) -> FloatArray:
    """Return a table for all of a head's channels; the first half of sin is negated, see attention's rotation."""
    values = of_pairs(config)
    return np.concatenate([-values if of_pairs is _sin else values, values], axis=1)
