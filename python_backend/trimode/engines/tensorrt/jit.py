"""When TensorRT-RTX compiles the kernels of a shape, and the file that keeps them for the next start.

An engine for many shapes begins a new one with general kernels and compiles the shape's own behind it, unless it is
configured otherwise (TensorRT-RTX's developer guide, dynamic shapes and CUDA graphs). A graph keeps the kernels that it
was captured with, so the contexts of graphs compile first. `tensorrt` has none of this: it compiles in its builder.
Imports no TensorRT.
"""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)


class Jit:
    """The runtime configurations of one engine, over one cache of kernels."""

    def __init__(self, trt: Any, engine: Any, path: Path) -> None:
        """Make them, and read the file at `path`, beside the bundle, if it was written here before."""
        self.path = path
        kinds = trt.DynamicShapesKernelSpecializationStrategy
        self._cache: Any = None
        self._lazy, self._eager = (self._config(trt, engine, kind) for kind in (kinds.LAZY, kinds.EAGER))

    def config(self, *, captured: bool) -> Any:
        """Return the configuration of a context, which is of a graph or not."""
        return self._eager if captured else self._lazy

    def save(self) -> None:
        """Write the kernels that were compiled so far; where nothing can be written, the next start compiles again."""
        partial = self.path.with_name(f"{self.path.name}.partial-{os.getpid()}")
        try:
            partial.write_bytes(memoryview(self._cache.serialize()))
            partial.rename(self.path)
        except OSError as exc:
            logger.info("%s: the compiled kernels were not kept: %s", self.path, exc.strerror)
            with contextlib.suppress(OSError):
                partial.unlink()

    def close(self) -> None:
        """Release the configurations, then the cache."""
        self._lazy = self._eager = None
        self._cache = None

    def _config(self, trt: Any, engine: Any, kind: Any) -> Any:
        config = engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        config.dynamic_shapes_kernel_specialization_strategy = kind
        if self._cache is None:
            self._cache = cache = config.create_runtime_cache()
            self._read(cache)
        config.set_runtime_cache(self._cache)
        return config

    def _read(self, cache: Any) -> None:
        try:
            content = self.path.read_bytes()
        except OSError:  # there is none: nothing was compiled here before
            return
        if not cache.deserialize(content):
            logger.info("%s is of another GPU, driver or TensorRT: kernels are compiled again", self.path)
