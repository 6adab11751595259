"""The targets that can be built, each with its form of the graph and its precisions; how each precision computes.

To add a precision, add one line here. Knows no graph.
"""

from __future__ import annotations

from dataclasses import dataclass

from trimode.errors import CheckpointError

from ..weights.rounding import FP8, INT4, INT8, NVFP4
from .blockwise_linear import int4_blocks_linear, int8_blocks_linear
from .linear import Linear, int8_fine_linear, int8_linear, plain_linear
from .quantized_linear import per_token, weight_only


@dataclass(frozen=True)
class Precision:
    """How a precision multiplies.

    Attributes:
        linear: the layers' products.
        dtype: the type of activations, embedding, norms and cache.
        joins_gate_up: whether gate_proj and up_proj are one product. With one wide product, int8 rounds the
            activations once, not twice. In float32 two narrow products, which need no Split, measured faster on the CPU
            (hidden 256, 8 tokens: 1.05 against 1.25 ms per pass).
        head: the output head's product where it is not `linear`: the head loses most by 4 bits, so it has 8 on the CPU
            and is not rounded on a GPU.
        causal: the products, head included, of a checkpoint that was not trained to denoise, where they are others. It
            decodes single tokens, whose passes are as slow as the weights are read: finer activations cost little.
            Blocks would pay their full price.
        tower: the products of the tower that encodes pictures, if they are not plain ones in `dtype`.
        compute_capability: the lowest that has the arithmetic, for TensorRT.
    """

    linear: Linear
    dtype: str = "float32"
    joins_gate_up: bool = False
    head: Linear | None = None
    causal: Linear | None = None
    tower: Linear | None = None
    compute_capability: str = "7.5"


@dataclass(frozen=True)
class Target:
    """A runtime's form of the graph (opset 0: it takes none), and its precisions, of which the first is the default."""

    runtime: str
    kv_form: str
    opset: int
    precisions: dict[str, Precision]

    @property
    def default(self) -> str:
        """The precision that is built if the user asks for none."""
        return next(iter(self.precisions))

    def precision(self, name: str) -> Precision:
        """Return a precision.

        Raises:
            CheckpointError: the target does not have it.
        """
        if name not in self.precisions:
            raise CheckpointError(f"precision: {self.runtime} has {', '.join(self.precisions)}, got {name!r}")
        return self.precisions[name]


ONNXRUNTIME = Target(
    "onnxruntime",
    "delta",
    24,
    {
        "float32": Precision(plain_linear),
        "int8": Precision(int8_linear, joins_gate_up=True, causal=int8_fine_linear, tower=int8_fine_linear),
        "int4": Precision(int4_blocks_linear, head=int8_blocks_linear, tower=int8_blocks_linear),
    },
)
# nvfp4 is a format of storage. In the others, TensorRT-RTX 1.7 multiplies codes, or unpacks them inside the product's
# kernel; for nvfp4 it writes the weights in bfloat16 before every product, which is slower than bfloat16 itself.
TENSORRT = Target(
    "tensorrt",
    "scatter",
    24,
    {
        "bfloat16": Precision(plain_linear, "bfloat16", joins_gate_up=True, compute_capability="8.0"),
        "float16": Precision(plain_linear, "float16", joins_gate_up=True),
        "fp8": Precision(per_token(FP8), "bfloat16", joins_gate_up=True, compute_capability="8.9"),
        "int8": Precision(per_token(INT8), "bfloat16", joins_gate_up=True, compute_capability="8.0"),
        "int4": Precision(weight_only(INT4), "bfloat16", True, plain_linear, compute_capability="8.0"),
        "nvfp4": Precision(weight_only(NVFP4), "bfloat16", True, plain_linear, compute_capability="12.0"),
        "float32": Precision(plain_linear, joins_gate_up=True),
    },
)
TORCH = Target(
    "torch",
    "scatter",
    0,
    {
        "bfloat16": Precision(plain_linear, "bfloat16", joins_gate_up=True),
        "float16": Precision(plain_linear, "float16", joins_gate_up=True),
        "fp8": Precision(per_token(FP8), "bfloat16", True, plain_linear, compute_capability="8.9"),
        "float32": Precision(plain_linear, joins_gate_up=True),
    },
)
"""No graph is drawn for it: it reads the checkpoint's own tensors, and converts them as it loads them."""
TARGETS = {target.runtime: target for target in (ONNXRUNTIME, TENSORRT, TORCH)}
