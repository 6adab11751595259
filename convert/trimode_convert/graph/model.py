"""The model as one ONNX graph: embedding, layers, the rows asked for, head. Standard operators only.

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
from .attention import KV_FORMS, Rotation, split_heads
from .builder import GraphBuilder
from .ends import ends_of
from .head import give_logits, give_top
from .linear import plain_linear
from .precisions import Target
from .rope import cos_sin, query_scale


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
        self.logit_rows = self.graph.input("logit_rows", "int64", ["batch", "rows"])
        self.chooses = target.runtime == "tensorrt"  # logits leave a GPU slowly, the best tokens at once
        self.cache = KV_FORMS[target.kv_form](self.graph, self.config, capacity)
        self.lora_scale = ""
        if checkpoint.adapter is not None:
            scale = self.graph.input("lora_scale", "float32", ["batch", "seq"])
            self.lora_scale = self.graph.narrow(self.graph.op("Unsqueeze", scale, self.graph.ints(2)))  # [B, S, 1]

    def draw(self) -> None:
        """Draw everything."""
        graph, config = self.graph, self.config
        head, share = self.precision.head or self.linear, not self.chooses
        ends = ends_of(self.checkpoint, self.weights, head, share=share)
        hidden = ends.embed(graph, self.input_ids)  # [B, S, hidden]
        rotation = self._rotation()
        rows = graph.op("Unsqueeze", self.logit_rows, graph.ints(2))  # [B, R, 1]
        for layer in range(config.num_layers):
            normed = self._norm(f"layers.{layer}.input_norm", hidden, self._tensor(layer, "input_layernorm"))
            query, key, value = split_heads(graph, config, rotation, self._projections(layer, normed))
            mixed = self.cache.attend(layer, query, key, value)
            if layer == config.num_layers - 1:
                # After the last keys and values only the rows asked for matter: with R = 0 the work ends here.
                hidden = graph.op("GatherND", hidden, rows, batch_dims=1)  # [B, R, hidden]
                mixed = graph.op("GatherND", mixed, rows, batch_dims=1)
                if self.lora_scale:
                    self.lora_scale = graph.op("GatherND", self.lora_scale, rows, batch_dims=1)  # [B, R, 1]
            hidden = graph.op("Add", hidden, self._output(layer, mixed))
            hidden = graph.op("Add", hidden, self._mlp(layer, hidden))
        hidden = self._norm("final_norm", hidden, self.checkpoint.tensors[FINAL_NORM])
        logits = give_logits(graph, config, ends.project(graph, hidden))
        if self.chooses:
            give_top(graph, self.weights, config, logits)

    def _tensor(self, layer: int, name: str) -> Tensor:
        return self.checkpoint.layer(layer, name)

    def _norm(self, name: str, x: str, weight: Tensor) -> str:
        """Add RMSNorm in float32, in the form that ONNX Runtime fuses to SimplifiedLayerNormalization."""
        graph = self.graph
        x = graph.widen(x)
        power = graph.op("ReduceMean", graph.op("Pow", x, graph.constant(np.float32(2.0))), graph.ints(-1), keepdims=1)
        padded = graph.op("Add", power, graph.constant(np.float32(self.config.norm_epsilon)))
        unit = graph.narrow(graph.op("Div", x, graph.op("Sqrt", padded)))
        return graph.op("Mul", unit, graph.external(self.weights.copy(name, weight, graph.dtype)))

    def _projections(self, layer: int, x: str) -> str:
        """Add queries, keys and values as one product; scaled by 1 / sqrt(D) where the cache's form folds that in."""
        factor = self.config.head_dim**-0.5 if self.cache.folds_scale else 1.0
        parts = [
            Part(self._tensor(layer, "self_attn.q_proj"), factor),
            Part(self._tensor(layer, "self_attn.k_proj")),
            Part(self._tensor(layer, "self_attn.v_proj")),
        ]
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

    def _mlp(self, layer: int, hidden: str) -> str:
        """Add down(silu(gate) * up) of the normed input; ONNX Runtime fuses x * sigmoid(x)."""
        graph, weights = self.graph, self.weights
        x = self._norm(f"layers.{layer}.mlp_norm", hidden, self._tensor(layer, "post_attention_layernorm"))
        parts = [Part(self._tensor(layer, f"mlp.{kind}_proj")) for kind in ("gate", "up")]
        if self.precision.joins_gate_up:
            joint = self.linear(graph, weights, x, f"layers.{layer}.gate_up", parts)
            gate, up = graph.ops("Split", 2, joint, axis=-1, num_outputs=2)
        else:
            gate = self.linear(graph, weights, x, f"layers.{layer}.gate", parts[:1])
            up = self.linear(graph, weights, x, f"layers.{layer}.up", parts[1:])
        inner = graph.op("Mul", graph.op("Mul", gate, graph.op("Sigmoid", gate)), up)
        return self.linear(graph, weights, inner, f"layers.{layer}.down", [Part(self._tensor(layer, "mlp.down_proj"))])

    def _rotation(self) -> Rotation:
        graph, rope, shape = self.graph, self.config.rope, (self.capacity, self.config.head_dim)
        cos = self.weights.array("rope.cos", lambda: cos_sin(rope, shape[1], shape[0])[0], shape)
        sin = self.weights.array("rope.sin", lambda: cos_sin(rope, shape[1], shape[0])[1], shape)
        rows = [graph.op("Gather", graph.external(table), self.position_ids) for table in (cos, sin)]
        at_cos, at_sin = (graph.op("Unsqueeze", row, graph.ints(1)) for row in rows)  # [B, 1, S, D]
        scale = query_scale(rope, self.capacity)
        softmax_scale = np.float32(1.0 if self.cache.folds_scale else self.config.head_dim**-0.5)
        if scale is None:
            constant = None if self.cache.folds_scale else graph.constant(softmax_scale)
            return Rotation(at_cos, at_sin, constant)
        scale = scale * softmax_scale
        table = self.weights.array("rope.query_scale", lambda: scale, scale.shape)
        scales = graph.op("Gather", graph.external(table), self.position_ids)
        return Rotation(at_cos, at_sin, graph.op("Unsqueeze", scales, graph.ints(1, 3)))
