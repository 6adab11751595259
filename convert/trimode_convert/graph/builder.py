"""GraphBuilder, a thin layer over onnx.helper: nodes, small constants, external weights, new value names.

Knows ONNX's containers. Knows nothing about transformers, and never holds a weight's bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ..weights.rounding import stored
from ..weights.weight_file import Blob

IR_VERSIONS = {24: 11}  # by opset: the oldest version that has the opset and its types
ELEMENT_TYPES = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "bfloat16": TensorProto.BFLOAT16,
    "float8e4m3": TensorProto.FLOAT8E4M3FN,
    "float4e2m1": TensorProto.FLOAT4E2M1,
    "int8": TensorProto.INT8,
    "uint8": TensorProto.UINT8,
    "int4": TensorProto.INT4,
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
}
MICROSOFT = "com.microsoft"  # the domain of ONNX Runtime's own operators
Dim = int | str


@dataclass
class GraphBuilder:
    """Collects a graph. `location` names the file, next to the graph's, that holds the weights.

    `dtype` is the type of the cache and of activations between operators; `widen` and `narrow` go to float32 and back.
    """

    location: str
    opset: int = 24
    dtype: str = "float32"
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    inputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    outputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    initializers: dict[str, TensorProto] = field(default_factory=dict)
    prefix: str = ""

    def input(self, name: str, dtype: str, shape: Sequence[Dim]) -> str:
        """Declare a graph input and return its name."""
        self.inputs.append(helper.make_tensor_value_info(name, ELEMENT_TYPES[dtype], shape))
        return name

    def output(self, name: str, value: str, dtype: str, shape: Sequence[Dim]) -> None:
        """Declare `value` a graph output, by renaming it to `name` in the node that makes it."""
        for node in reversed(self.nodes):
            for index, born in enumerate(node.output):
                if born == value:
                    node.output[index] = name
                    self._rename_uses(value, name)
                    self.outputs.append(helper.make_tensor_value_info(name, ELEMENT_TYPES[dtype], shape))
                    return
        raise AssertionError(f"no node makes {value}")

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output and return the output's name; `domain` is an attribute too."""
        return self.ops(kind, 1, *inputs, **attributes)[0]

    def ops(self, kind: str, count: int, *inputs: str, **attributes: Any) -> list[str]:
        """Add a node with `count` outputs and return their names."""
        name = f"{self.prefix}{kind}_{len(self.nodes)}"
        outputs = [name if count == 1 else f"{name}.{index}" for index in range(count)]
        self.nodes.append(helper.make_node(kind, list(inputs), outputs, name=name, **attributes))
        return outputs

    def loop(self, times: str, state: str, body: Callable[[GraphBuilder, str, str], str]) -> str:
        """Return what `state` becomes after `body` ran `times` (int64) times.

        Args:
            body: from a builder of its nodes, the number of the round (int64) and the state before it to the state
                after it; it may use every value of this graph.
        """
        prefix = f"{self.prefix}loop_{len(self.nodes)}."
        inner = GraphBuilder(self.location, self.opset, self.dtype, initializers=self.initializers, prefix=prefix)
        number, going, before = f"{prefix}number", f"{prefix}going", f"{prefix}before"
        after = body(inner, number, before)
        on = inner.op("Identity", going)
        types = ((number, TensorProto.INT64), (going, TensorProto.BOOL))
        given = [helper.make_tensor_value_info(name, kind, []) for name, kind in types]
        given.append(helper.make_tensor_value_info(before, ELEMENT_TYPES[self.dtype], None))
        made = [
            helper.make_tensor_value_info(on, TensorProto.BOOL, []),
            helper.make_tensor_value_info(after, ELEMENT_TYPES[self.dtype], None),
        ]
        graph = helper.make_graph(inner.nodes, prefix.rstrip("."), given, made)
        return self.op("Loop", times, "", state, body=graph)

    def cast(self, value: str, dtype: str) -> str:
        """Return `value` in another type."""
        return self.op("Cast", value, to=ELEMENT_TYPES[dtype])

    def widen(self, value: str) -> str:
        """Return an activation in float32."""
        return value if self.dtype == "float32" else self.cast(value, "float32")

    def narrow(self, value: str) -> str:
        """Return a float32 value in the activations' type."""
        return value if self.dtype == "float32" else self.cast(value, self.dtype)

    def constant(self, values: NDArray[Any] | np.generic) -> str:
        """Return the name of a small constant, kept in the graph itself; equal ones are stored once."""
        array = np.asarray(values)
        name = f"const_{array.dtype}_{'x'.join(map(str, array.shape))}_{array.tobytes().hex()}"
        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(array, name)
        return name

    def ints(self, *values: int) -> str:
        """Return the name of a constant list of integers, for shapes and axes."""
        return self.constant(np.asarray(values, np.int64))

    def scalar(self, value: float, dtype: str) -> str:
        """Return the name of a scalar in any stored type."""
        name = f"const_{dtype}_{value!r}"
        if name not in self.initializers:
            raw = stored(np.array([value], np.float32), dtype).tobytes()
            self.initializers[name] = TensorProto(name=name, data_type=ELEMENT_TYPES[dtype], raw_data=raw)
        return name

    def external(self, blob: Blob, name: str = "", shape: Sequence[int] = ()) -> str:
        """Return the name of a weight that lives in the weight file; under another `name` it may have another shape."""
        name = name or blob.name
        tensor = TensorProto(name=name, data_type=ELEMENT_TYPES[blob.dtype], dims=shape or blob.shape)
        tensor.data_location = TensorProto.EXTERNAL
        facts = {"location": self.location, "offset": blob.offset, "length": blob.nbytes}
        for key, value in facts.items():
            tensor.external_data.add(key=key, value=str(value))
        self.initializers[name] = tensor
        return name

    def model(self, name: str) -> onnx.ModelProto:
        """Return the finished model, without weights."""
        graph = helper.make_graph(self.nodes, name, self.inputs, self.outputs, list(self.initializers.values()))
        opsets = [helper.make_opsetid("", self.opset)]
        if any(_uses_microsoft(node) for node in self.nodes):
            opsets.append(helper.make_opsetid(MICROSOFT, 1))
        return helper.make_model(
            graph, opset_imports=opsets, ir_version=IR_VERSIONS[self.opset], producer_name="trimode_convert"
        )

    def _rename_uses(self, old: str, new: str) -> None:
        for node in self.nodes:
            for index, used in enumerate(node.input):
                if used == old:
                    node.input[index] = new


def _uses_microsoft(node: onnx.NodeProto) -> bool:
    """Whether a node, or one of a graph inside it, is ONNX Runtime's own."""
    return node.domain == MICROSOFT or any(
        _uses_microsoft(inner) for attribute in node.attribute for inner in attribute.g.node
    )
