"""A session that computes a graph operator by operator with ONNX's own reference, for types without CPU kernels.

It computes exactly what the graph says, in numpy, in bfloat16, float8 and float4. It is slow: for small models only.
Does not know what the graph is for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
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
