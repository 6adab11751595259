"""RMSNorm, and the sum before it: two nodes of standard operators, or one of ONNX Runtime's own. Knows no layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .builder import MICROSOFT, GraphBuilder


class Norms(Protocol):
    """How sums become normed; `gain` is the name of a norm's weight (hidden,) in the graph's type."""

    def first(self, graph: GraphBuilder, x: str, gain: str) -> str:
        """Return `x` normed  # [B, S, H] -> the same."""

    def after(self, graph: GraphBuilder, hidden: str, change: str, gain: str) -> tuple[str, str]:
        """Return `hidden` + `change`, and that normed  # [B, S, H] each."""


@dataclass(frozen=True)
class StandardNorms:
    """Standard operators, in float32 whatever the graph's type is."""

    epsilon: float

    def first(self, graph: GraphBuilder, x: str, gain: str) -> str:
        """See Norms. ONNX Runtime fuses this form to SimplifiedLayerNormalization."""
        x = graph.widen(x)
        power = graph.op("ReduceMean", graph.op("Pow", x, graph.constant(np.float32(2.0))), graph.ints(-1), keepdims=1)
        padded = graph.op("Add", power, graph.constant(np.float32(self.epsilon)))
        unit = graph.narrow(graph.op("Div", x, graph.op("Sqrt", padded)))
        return graph.op("Mul", unit, gain)

    def after(self, graph: GraphBuilder, hidden: str, change: str, gain: str) -> tuple[str, str]:
        """See Norms."""
        total = graph.op("Add", hidden, change)
        return total, self.first(graph, total, gain)


@dataclass(frozen=True)
class FusedNorms(StandardNorms):
    """Sum and norm as one node of ONNX Runtime, which reads each value once."""

    def after(self, graph: GraphBuilder, hidden: str, change: str, gain: str) -> tuple[str, str]:
        """See Norms."""
        kind = "SkipSimplifiedLayerNormalization"
        normed, _, _, total = graph.ops(kind, 4, hidden, change, gain, domain=MICROSOFT, epsilon=self.epsilon)
        return total, normed
