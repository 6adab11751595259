"""The model as one ONNX graph: embedding, layers, the rows asked for, head.

Built from shapes alone: returns the graph and the layout of its weight file, and reads no tensor. Does not know what a
pass is for (a step, a draft, a verification): that is in its inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from ..checkpoint.checkpoint import FINAL_NORM, Checkpoint
from ..checkpoint.tensor_file import Tensor
from ..weights.weight_file import Part, WeightLayout
from .attention import KV_FORMS
from .builder import GraphBuilder
from .ends import ends_of
from .head import give_logits, give_top
from .linear import plain_linear
from .norms import FusedNorms, StandardNorms
from .precisions import Target


@dataclass(frozen=True)
class Blueprint:
    """A graph without weights, and the layout that writes them."""

    model: onnx.ModelProto
    weights: WeightLayout


def draw(
    checkpoint: Checkpoint, *, target: Target, precision: str, capacity: int, location: str, dtype: str | None = None
) -> Blueprint:
    """Return the graph of a checkpoint for positions below `capacity`, its weights in the file `location`.

    `dtype` replaces the precision's type of activations: ONNX Runtime on the CPU cannot compute in bfloat16.
    """
    drawing = _Drawing(checkpoint, target, precision, capacity, location, dtype)
    drawing.draw()
    return Blueprint(drawing.graph.model("nemotron_labs_diffusion"), drawing.weights)


class _Drawing:
    """The graph while it is being drawn; each method adds one part of a layer."""

    def __init__(
        self, checkpoint: Checkpoint, target: Target, precision: str, capacity: int, location: str, dtype: str | None
    ) -> None:
        self.checkpoint = checkpoint
        self.config = checkpoint.config
        self.capacity = capacity
        self.precision = target.precision(precision)
        causal = None if self.config.denoises else self.precision.causal
        self.linear = causal or self.precision.linear
        self.weights = WeightLayout()
        self.graph = GraphBuilder(location, target.opset, dtype or self.precision.dtype)
        self.input_ids = self.graph.input("input_ids", "int64", ["batch", "seq"])
        self.position_ids = self.graph.input("position_ids", "int64", ["batch", "seq"])
        self.pictures = () if self.config.vision is None else self._picture_inputs()
        self.logit_rows = self.graph.input("logit_rows", "int64", ["batch", "rows"])
        self.chooses = target.runtime == "tensorrt"  # logits leave a GPU slowly, the best tokens at once
        own = (self.graph, self.weights, self.config)
        self.cache = KV_FORMS[target.kv_form](*own, capacity, self.position_ids)
        self.norms = (StandardNorms if self.chooses else FusedNorms)(self.config.norm_epsilon)
        self.lora_scale = ""
        if checkpoint.adapter is not None:
            scale = self.graph.input("lora_scale", "float32", ["batch", "seq"])
            self.lora_scale = self.graph.narrow(self.graph.op("Unsqueeze", scale, self.graph.ints(2)))  # [B, S, 1]

    def draw(self) -> None:
        """Draw everything."""
        graph, config = self.graph, self.config
        head, share = self.precision.head or self.linear, not self.chooses
        ends = ends_of(graph, self.checkpoint, self.weights, head, share=share)
        hidden = self._with_masks(ends.embed(self.input_ids))  # [B, S, hidden]
        if self.pictures:
            hidden = self._with_pictures(hidden, *self.pictures)
        normed = self.norms.first(graph, hidden, self._input_gain(0))
        for layer in range(config.num_layers):
            mixed = self.cache.attend(layer, self._projections(layer, normed))
            if layer == config.num_layers - 1:  # only the rows asked for go on
                hidden, mixed = self._wanted(hidden), self._wanted(mixed)
                if self.lora_scale:
                    self.lora_scale = self._wanted(self.lora_scale)
            hidden, normed = self.norms.after(graph, hidden, self._output(layer, mixed), self._mlp_gain(layer))
            hidden, normed = self.norms.after(graph, hidden, self._mlp(layer, normed), self._input_gain(layer + 1))
        logits = give_logits(graph, config, ends.project(normed))
        if self.chooses:
            give_top(graph, self.weights, config, logits)

    def _picture_inputs(self) -> tuple[str, str]:
        """Declare the rows that stand for pictures, at least one, and for each token which of them it is, or -1."""
        rows = self.graph.input("image_rows", "float32", ["images", self.config.hidden_size])
        return rows, self.graph.input("image_index", "int64", ["batch", "seq"])

    def _with_pictures(self, hidden: str, rows: str, index: str) -> str:
        """Return the embeddings with the rows of pictures in the places that have one  # [B, S, hidden] -> the same."""
        graph, first = self.graph, self.graph.constant(np.int64(0))
        shown = graph.op("Gather", graph.narrow(rows), graph.op("Max", index, first))
        placed = graph.op("Unsqueeze", graph.op("GreaterOrEqual", index, first), graph.ints(2))  # [B, S, 1]
        return graph.op("Where", placed, shown, hidden)

    def _with_masks(self, hidden: str) -> str:
        """Put the adapter's embedding of masks, if it has one, where it is on  # [B, S, hidden] -> the same."""
        adapter = self.checkpoint.adapter
        if adapter is None or adapter.mask is None:
            return hidden
        graph = self.graph
        is_mask = graph.op("Equal", self.input_ids, graph.constant(np.int64(self.config.mask_token_id)))  # [B, S]
        is_on = graph.cast(self.lora_scale, "bool")  # [B, S, 1]
        drafted = graph.op("And", graph.op("Unsqueeze", is_mask, graph.ints(2)), is_on)
        row = graph.external(self.weights.copy("mask_embedding", adapter.mask, graph.dtype))  # [1, hidden]
        return graph.op("Where", drafted, row, hidden)

    def _tensor(self, layer: int, name: str) -> Tensor:
        return self.checkpoint.layer(layer, name)

    def _wanted(self, x: str) -> str:
        """Return the rows whose logits are asked for  # [B, S, n] -> [B, R, n]."""
        rows = self.graph.op("Unsqueeze", self.logit_rows, self.graph.ints(2))  # [B, R, 1]
        return self.graph.op("GatherND", x, rows, batch_dims=1)

    def _input_gain(self, layer: int) -> str:
        """Return the weight of the norm before a layer; after the last one that is the final norm."""
        if layer == self.config.num_layers:
            return self._gain("final_norm", self.checkpoint.tensors[FINAL_NORM])
        return self._gain(f"layers.{layer}.input_norm", self._tensor(layer, "input_layernorm"))

    def _mlp_gain(self, layer: int) -> str:
        return self._gain(f"layers.{layer}.mlp_norm", self._tensor(layer, "post_attention_layernorm"))

    def _gain(self, name: str, weight: Tensor) -> str:
        return self.graph.external(self.weights.copy(name, weight, self.graph.dtype))

    def _projections(self, layer: int, x: str) -> str:
        """Add queries, keys and values as one product."""
        parts = [Part(self._tensor(layer, f"self_attn.{kind}_proj")) for kind in "qkv"]
        return self.linear(self.graph, self.weights, x, f"layers.{layer}.qkv", parts)

    def _output(self, layer: int, x: str) -> str:
        """Add o_proj, and the draft adapter's branch for the tokens that have it on."""
        graph, weights, adapter = self.graph, self.weights, self.checkpoint.adapter
        name = f"layers.{layer}.output"
        projected = self.linear(graph, weights, x, name, [Part(self._tensor(layer, "self_attn.o_proj"))])
        if adapter is None:
            return projected
        narrow = plain_linear(graph, weights, x, f"{name}.lora_a", [Part(adapter.down(layer))])  # [B, S, r]
        narrow = graph.op("Mul", narrow, self.lora_scale)
        branch = plain_linear(graph, weights, narrow, f"{name}.lora_b", [Part(adapter.up(layer), adapter.scale)])
        return graph.op("Add", projected, branch)

    def _mlp(self, layer: int, x: str) -> str:
        """Add down(silu(gate) * up) of the normed input; ONNX Runtime fuses x * sigmoid(x)."""
        graph, weights = self.graph, self.weights
        parts = [Part(self._tensor(layer, f"mlp.{kind}_proj")) for kind in ("gate", "up")]
        if self.precision.joins_gate_up:
            joint = self.linear(graph, weights, x, f"layers.{layer}.gate_up", parts)
            gate, up = graph.ops("Split", 2, joint, axis=-1, num_outputs=2)
        else:
            gate = self.linear(graph, weights, x, f"layers.{layer}.gate", parts[:1])
            up = self.linear(graph, weights, x, f"layers.{layer}.up", parts[1:])
        inner = graph.op("Mul", graph.op("Mul", gate, graph.op("Sigmoid", gate)), up)
        return self.linear(graph, weights, inner, f"layers.{layer}.down", [Part(self._tensor(layer, "mlp.down_proj"))])
