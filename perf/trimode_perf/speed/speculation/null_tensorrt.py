"""The TensorRT engine over a CUDA and a plan that compute nothing. Needs neither."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from trimode.bundle.manifest import Manifest
from trimode.engines.tensorrt.cuda import Cuda, Pitched
from trimode.engines.tensorrt.engine import TensorRtEngine
from trimode.engines.tensorrt.layout import Shape, choices, inputs
from trimode.engines.tensorrt.memory import Need
from trimode.engines.tensorrt.plan import Context, Plan

from .null_choices import NullChoices

TYPES: dict[str, npt.DTypeLike] = {
    "input_ids": np.int64, "position_ids": np.int64, "logit_rows": np.int64, "write_indices": np.int64,
    "lora_scale": np.float32, "attn_mask": np.bool_, "logits": np.float32, "top_id": np.int64, "top_prob": np.float32,
}  # fmt: skip


class NullCuda(Cuda):
    """Addresses without memory, and copies that copy nothing; a pass is made up when its choices are fetched."""

    def __init__(self, invented: NullChoices) -> None:
        self._invented = invented
        self.stream: Any = 1
        self._next = 1 << 40
        self._pinned: list[npt.NDArray[np.uint8]] = []
        self._running: NullContext | None = None
        self._recording = False

    def use(self) -> None:
        """Nothing is current."""

    def allocate(self, size: int) -> int:
        """Return the next address."""
        self._next += -(-size // 256) * 256
        return self._next

    def pin(self, size: int) -> npt.NDArray[np.uint8]:
        """Return memory that is taken when it is written."""
        self._pinned.append(np.ctypeslib.as_array((ctypes.c_uint8 * size)()))
        return self._pinned[-1]

    def clear(self, address: int, size: int) -> None:
        """Nothing is there."""

    def upload(self, target: int, source: int, size: int) -> None:
        """Nothing is copied: passes read the host's memory."""

    def download(self, target: int, source: int, size: int) -> None:
        """Make up the choices of the context that was enqueued."""
        if self._running is not None and target == self._pinned[1].ctypes.data and not self._recording:
            self.choose(self._running)

    def move_box(self, target: Pitched, source: Pitched, extent: tuple[int, int, int]) -> None:
        """Nothing is there."""

    def wait(self) -> None:
        """Everything is done."""

    def enqueue(self, context: NullContext) -> None:
        """Note whose pass comes next."""
        self._running = context

    def capture(self, enqueue: Callable[[], None]) -> Any:
        """Return the context whose pass was enqueued."""
        self._recording = True
        enqueue()
        self._recording = False
        return self._running

    def launch(self, graph: Any) -> None:
        """Make up the pass of a captured context."""
        self._invented.launches += 1
        self.choose(graph)

    def forget(self, graph: Any) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Nothing is held."""
        self.stream = None

    def choose(self, context: NullContext) -> None:
        """Make up the choices of a context's pass."""
        with self._invented.apart():
            taken = inputs(context.shape, TYPES).views(self._pinned[0], TYPES)
            made = choices(context.shape, TYPES).views(self._pinned[1], TYPES)
            self._invented.write(taken["input_ids"], taken["logit_rows"], made["top_id"], made["top_prob"])


class NullContext(Context):
    """Knows the shape that it was bound to."""

    def __init__(self, cuda: NullCuda, profile: int) -> None:
        self._cuda, self._profile = cuda, profile
        self.bound: object = None
        self.shape = Shape(profile, 0, 0, 0, 0, 0)

    def bind(self, shapes: Mapping[str, tuple[int, ...]], addresses: Mapping[str, int]) -> None:
        """Note the shape, as long as a pass of another one takes."""
        (batch, seq), (_, rows) = shapes["input_ids"], shapes["logit_rows"]
        self.shape = Shape(self._profile, 0, batch, seq, rows, shapes["attn_mask"][3])

    def enqueue(self, stream: Any) -> None:
        """Let the next choices be of this shape."""
        self._cuda.enqueue(self)


class NullPlan(Plan):
    """A plan without an engine."""

    def __init__(self, cuda: NullCuda) -> None:
        self.host_types, self.cache_bytes, self.workspace = TYPES, 2, 256
        self._cuda, self._jit = cuda, None

    def context(self, profile: int, stream: Any, workspace: int, *, captured: bool = False) -> NullContext:
        """Return a context."""
        return NullContext(self._cuda, profile)

    def close(self) -> None:
        """Nothing is held."""


def opened(manifest: Manifest, slots: int) -> tuple[TensorRtEngine, NullChoices]:
    """Return an engine that is ready, and what counts the time of its stand-ins."""
    invented = NullChoices()
    cuda = NullCuda(invented)
    plan = NullPlan(cuda)
    need = Need.of(manifest, TYPES, cache_bytes=plan.cache_bytes, workspace=plan.workspace)
    return TensorRtEngine(cuda, plan, need, manifest, slots), invented
