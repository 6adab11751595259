"""A graph opened on the CPU: by ONNX Runtime, or operator by operator by ONNX's own reference.

The reference is for types without CPU kernels. It computes exactly what the graph says, in numpy, in bfloat16, float8
and float4. It is slow: for small models only. Does not know what the graph is for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from trimode.bundle.manifest import Manifest
from trimode.errors import BundleError

LARGEST = 1 << 30  # bytes of weights, all of which it keeps in memory


def needs_reference(graph: Path) -> bool:
    """Tell whether a graph's cache is in bfloat16, for which ONNX Runtime has no CPU kernels."""
    inputs = onnx.load(graph, load_external_data=False).graph.input
    return any(value.type.tensor_type.elem_type == onnx.TensorProto.BFLOAT16 for value in inputs)


class ReferenceSession:
    """Has the method `run` of onnxruntime.InferenceSession."""

    def __init__(self, graph: Path, weights: Path) -> None:
        if weights.stat().st_size > LARGEST:
            raise BundleError(
                f"{weights}: expected at most {LARGEST:,} bytes to compute in bfloat16 on the CPU, found "
                f"{weights.stat().st_size:,}: check the same graph in float16 or float32"
            )
        self._evaluator = ReferenceEvaluator(str(graph))
        self.names: list[str] = list(self._evaluator.output_names)
        self.inputs: list[str] = list(self._evaluator.input_names)

    def run(self, names: Sequence[str] | None, feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Return the outputs asked for, or all of them."""
        with np.errstate(all="ignore"):
            found = dict(zip(self.names, self._evaluator.run(None, dict(feeds)), strict=True))
        return [found[name] for name in names or self.names]


class OpenGraph(NamedTuple):
    """A session, whose method `run` takes feeds by name, and the names of the graph's inputs and outputs."""

    session: Any
    inputs: list[str]
    outputs: list[str]


def open_graph(graph: Path, weights: Path, manifest: Manifest, *, by_reference: bool, threads: int = 0) -> OpenGraph:
    """Open a graph of a bundle, or of an exported one.

    Args:
        by_reference: whether ONNX's reference computes it.
        threads: of ONNX Runtime; 0 takes every core.
    """
    if by_reference:
        reference = ReferenceSession(graph, weights)
        return OpenGraph(reference, reference.inputs, reference.names)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if manifest.precision == "int8":  # see linear.int8_linear
        options.add_session_config_entry("session.x64quantprecision", "1")
    if manifest.runtime == "tensorrt":  # ONNX Runtime 1.31 would fuse float8 into a product of integers
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    return OpenGraph(session, *([one.name for one in ends] for ends in (session.get_inputs(), session.get_outputs())))
