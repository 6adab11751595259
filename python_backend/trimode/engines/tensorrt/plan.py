"""A TensorRT plan on its GPU: loaded, compared with the manifest, and made into execution contexts.

The only file of the runtime that imports TensorRT, and only when a bundle asks for it. Uses only names that `tensorrt`
11 and `tensorrt_rtx` share; what RTX alone has is in jit.py. Knows nothing of rows or slots, and of memory only the
addresses that it is given.
"""

from __future__ import annotations

import importlib
import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ...bundle.manifest import Manifest, rebuild_hint
from ...bundle.tensorrt_log import error_log
from ...errors import BundleError, EngineError
from .forms import CACHE_BYTES, PlanForm
from .jit import Jit

INSTALL = {"tensorrt": "pip install tensorrt=={version}", "tensorrt_rtx": "pip install tensorrt-rtx-cu13=={version}"}
HOST_TYPES: dict[str, npt.DTypeLike] = {"INT64": np.int64, "INT32": np.int32, "BOOL": np.bool_, "FLOAT": np.float32}


@dataclass(frozen=True)
class TensorRt:
    """An imported TensorRT."""

    module: Any
    version: str

    @classmethod
    def load(cls, flavour: str, bundle: Path, wanted: str) -> Self:
        """Import `flavour`, "tensorrt" or "tensorrt_rtx", for a bundle compiled by its version `wanted`.

        Raises:
            BundleError: it is not installed or cannot be loaded; the text says what to install.
        """
        try:
            module = importlib.import_module(flavour)
        except (ImportError, OSError) as exc:
            install = INSTALL[flavour].format(version=wanted)
            raise BundleError(f"{bundle} needs {flavour} {wanted}, which is not installed ({exc}): {install}") from exc
        return cls(module, str(module.__version__))


class Context:
    """An execution context under one profile: first shapes, then addresses, then `enqueue`."""

    def __init__(self, context: Any, logger: Any) -> None:
        self._context, self._logger = context, logger
        self.bound: object = None
        """What the caller bound last, so that the same need not be bound again."""

    def bind(self, shapes: Mapping[str, tuple[int, ...]], addresses: Mapping[str, int]) -> None:
        """Set every input's shape and every tensor's address.

        Raises:
            EngineError: TensorRT refuses one; the text holds its reason.
        """
        context, self.bound = self._context, None
        for name, shape in shapes.items():
            if not context.set_input_shape(name, shape):
                raise EngineError(f"{name}: TensorRT refuses the shape {shape}: {self._logger.words()}")
        for name, address in addresses.items():
            if not context.set_tensor_address(name, address):
                raise EngineError(f"{name}: TensorRT refuses the address {address:#x}: {self._logger.words()}")
        if missing := context.infer_shapes():
            raise EngineError(f"TensorRT lacks the shapes of {list(missing)}")

    def enqueue(self, stream: Any) -> None:
        """Enqueue the pass on `stream`.

        Raises:
            EngineError: TensorRT refuses; the text holds its reason.
        """
        context = self._context
        if not context.execute_async_v3(int(stream)):
            raise EngineError(f"TensorRT did not take the pass: {self._logger.words()}")


class Plan:
    """A deserialised engine: one copy of the weights for any number of contexts.

    Attributes:
        host_types: numpy's type of each tensor that is not a cache, as the plan declares it.
        cache_bytes: bytes of one number of the cache.
        workspace: bytes that a context needs while it runs; contexts that never run at the same time can share them.
    """

    def __init__(self, tensorrt: TensorRt, engine: Any, runtime: Any, logger: Any, form: PlanForm) -> None:
        self.host_types: dict[str, npt.DTypeLike] = {}
        self.cache_bytes = 0
        self.workspace = int(engine.device_memory_size_v2)
        self._trt, self._engine, self._runtime, self._logger = tensorrt.module, engine, runtime, logger
        self._form = form
        self._jit: Jit | None = None

    @classmethod
    def load(cls, tensorrt: TensorRt, bundle: Path, manifest: Manifest, form: PlanForm) -> Self:
        """Deserialise the plan in `bundle` that `form` describes on the current device, and compare it with that.

        The file is mapped, not read, so that the process does not hold a second copy of what TensorRT takes to the GPU.

        Raises:
            BundleError: TensorRT cannot read it, or it is not the plan that the manifest describes.
        """
        trt, path = tensorrt.module, bundle / form.file
        logger = error_log(trt)
        runtime = trt.Runtime(logger)
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            engine = runtime.deserialize_cuda_engine(content)
        if engine is None:
            raise BundleError(f"{path} cannot be loaded: {logger.words()}. {rebuild_hint(bundle, manifest)}")
        plan = cls(tensorrt, engine, runtime, logger, form)
        if misfit := plan._misfit():
            raise BundleError(f"{path}: {misfit}. {rebuild_hint(bundle, manifest)}")
        assert manifest.compiled is not None
        if manifest.compiled.flavour == "tensorrt_rtx":
            plan._jit = Jit(trt, engine, bundle.with_name(f"{bundle.name}.{form.kernels}"))
        return plan

    def context(self, profile: int, stream: Any, workspace: int, *, captured: bool = False) -> Context:
        """Return a context for one profile that runs on `stream` in the `self.workspace` bytes at `workspace`.

        Args:
            captured: its passes will be those of a CUDA graph.

        Raises:
            EngineError: TensorRT cannot make it; the text holds its reason.
        """
        trt, engine = self._trt, self._engine
        strategy = trt.ExecutionContextAllocationStrategy.USER_MANAGED
        how = strategy if self._jit is None else self._jit.config(captured=captured)
        context = engine.create_execution_context(how)
        if context is None or not context.set_optimization_profile_async(profile, int(stream)):
            raise EngineError(f"TensorRT cannot make a context for profile {profile}: {self._logger.words()}")
        context.set_device_memory(workspace, self.workspace)
        return Context(context, self._logger)

    def keep_kernels(self) -> None:
        """Write the kernels that were compiled so far, where they are compiled here."""
        if self._jit is not None:
            self._jit.save()

    def close(self) -> None:
        """Release the engine, then the runtime; the engine's contexts must be released before."""
        self.keep_kernels()
        if self._jit is not None:
            self._jit.close()
            self._jit = None
        self._engine = None
        self._runtime = None

    def _misfit(self) -> str | None:
        """Return where the plan differs from its form, or None; note the types that the plan declares."""
        trt, engine, form = self._trt, self._engine, self._form
        count = engine.num_optimization_profiles
        if count != len(form.profiles):
            return f"profiles: the plan has {count}, the manifest {len(form.profiles)}"
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        expected = {**form.shapes, **form.caches}
        if set(names) != set(expected):
            return f"the plan does not have the manifest's tensors: {sorted(set(names) ^ set(expected))[:6]}"
        for name in names:
            shape, kind = tuple(engine.get_tensor_shape(name)), engine.get_tensor_dtype(name).name
            if shape != expected[name]:
                return f"{name}: the plan has the shape {shape}, the manifest says {expected[name]}"
            is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
            if is_input != (name in form.inputs or name.startswith("past_")):
                return f"{name}: the plan has it among its {'inputs' if is_input else 'outputs'}"
            if wrong := self._note_type(name, kind):
                return wrong
            past = name.replace("present_", "past_")
            if past != name and engine.get_aliased_input_tensor(name) != past:
                return f"{name}: the plan does not write it in place of {past}"
        for index, (profile, inputs) in enumerate(form.profiles):
            for name, wanted in inputs.items():
                ranges = [tuple(shape) for shape in engine.get_tensor_profile_shape(name, index)]
                if ranges != wanted:
                    return f"profile {profile}: the plan's {name} has {ranges}, the manifest {wanted}"
        return None

    def _note_type(self, name: str, kind: str) -> str | None:
        own = {**self._form.inputs, **self._form.outputs}
        allowed = own.get(name, tuple(CACHE_BYTES))
        if kind not in allowed:
            return f"{name}: expected the type {' or '.join(allowed)}, the plan has {kind}"
        if name in own:
            self.host_types[name] = HOST_TYPES[kind]
            return None
        if self.cache_bytes not in (0, CACHE_BYTES[kind]):
            return f"{name}: expected the type of the other caches, the plan has {kind}"
        self.cache_bytes = CACHE_BYTES[kind]
        return None
