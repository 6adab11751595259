"""TensorRT's runtime as the engine uses it, over the graph that a plan would be compiled from, run by ONNX Runtime.

It refuses what TensorRT refuses or leaves undefined: a shape outside the profile, an address that is not aligned or
set before the shapes, a first pass inside a capture, a graph whose context was changed or released. Types and enums
are those of the installed binding.
"""

from __future__ import annotations

import json
import weakref
from functools import lru_cache, partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import tensorrt_rtx as real

from tests.support.fake_cuda import FakeCuda

KINDS = {
    "tensor(int64)": (real.DataType.INT64, np.dtype(np.int64)),
    "tensor(bool)": (real.DataType.BOOL, np.dtype(np.bool_)),
    "tensor(float)": (real.DataType.FLOAT, np.dtype(np.float32)),
    "tensor(float16)": (real.DataType.HALF, np.dtype(np.float16)),
}
WORKSPACE = 1000


def write_plan(path: Path, graph: Path, profiles: list[dict[str, Any]]) -> None:
    """Write a plan that this runtime reads; `profiles` as the manifest has them."""
    whole = [{"images": images_of(one), **one} if "batch" in one else one for one in profiles]
    path.write_text(json.dumps({"graph": str(graph), "profiles": whole}))


def images_of(profile: dict[str, Any]) -> list[int]:
    """The rows of pictures of a call, which are no more than its tokens."""
    return [1, 1, profile["batch"][2] * profile["seq"][2]]


@lru_cache(maxsize=8)
def session_of(graph: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])


class FakeTensorRt:
    """Stands for the module `tensorrt_rtx`; what is not faked is the real one's."""

    def __init__(self, cuda: FakeCuda, version: str = real.__version__) -> None:
        self.cuda, self.__version__ = cuda, version
        self.Runtime = partial(Runtime, cuda, version)

    def __getattr__(self, name: str) -> Any:
        return getattr(real, name)


class Runtime:
    def __init__(self, cuda: FakeCuda, version: str, logger: Any) -> None:
        assert isinstance(logger, real.ILogger)
        self.cuda, self.version, self.logger = cuda, version, logger

    def deserialize_cuda_engine(self, content: Any) -> ICudaEngine | None:
        try:
            plan = json.loads(bytes(memoryview(content)))
        except ValueError:
            self.logger.log(real.ILogger.Severity.ERROR, "Magic tag does not match")
            return None
        self.cuda.loaded += (size := len(memoryview(content)))
        engine = ICudaEngine(self, plan)
        weakref.finalize(engine, self.cuda.unload, size)
        return engine


class ICudaEngine:
    aliased = True

    def __init__(self, runtime: Runtime, plan: dict[str, Any]) -> None:
        self.runtime, self.cuda, self.logger = runtime, runtime.cuda, runtime.logger
        self.session = session_of(Path(plan["graph"]))
        self.profiles = plan["profiles"]
        self.inputs = {value.name: value for value in self.session.get_inputs()}
        self.outputs = {value.name: value for value in self.session.get_outputs()}
        self.tensors = self.inputs | self.outputs
        self.num_io_tensors = len(self.tensors)
        self.num_optimization_profiles = len(self.profiles)
        self.device_memory_size_v2 = WORKSPACE
        weakref.finalize(self, self.cuda.order.append, "engine")

    def get_tensor_name(self, index: int) -> str:
        return str(list(self.tensors)[index])

    def get_tensor_shape(self, name: str) -> list[int]:
        return [dim if isinstance(dim, int) else -1 for dim in self.tensors[name].shape]

    def get_tensor_dtype(self, name: str) -> Any:
        return KINDS[self.tensors[name].type][0]

    def get_tensor_mode(self, name: str) -> Any:
        return real.TensorIOMode.INPUT if name in self.inputs else real.TensorIOMode.OUTPUT

    def get_aliased_input_tensor(self, name: str) -> str:
        return name.replace("present_", "past_") if self.aliased and name.startswith("present_") else ""

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[list[int]]:
        profile = self.profiles[profile_index]
        shape = self.tensors[name].shape
        return [[dim if isinstance(dim, int) else profile[dim][at] for dim in shape] for at in range(3)]

    def create_runtime_config(self) -> IRuntimeConfig:
        return IRuntimeConfig(self)

    def create_execution_context(self, config: IRuntimeConfig) -> IExecutionContext:
        assert config.allocation == real.ExecutionContextAllocationStrategy.USER_MANAGED
        return IExecutionContext(self, config)


class IRuntimeCache:
    """What was compiled, by name, under the version that compiled it."""

    def __init__(self, version: str) -> None:
        self.version, self.kernels = version, set[str]()

    def serialize(self) -> bytes:
        return json.dumps([self.version, sorted(self.kernels)]).encode()

    def deserialize(self, blob: bytes) -> bool:
        version, kernels = json.loads(blob)
        if version == self.version:
            self.kernels |= set(kernels)
        return bool(version == self.version)


class IRuntimeConfig:
    def __init__(self, engine: ICudaEngine) -> None:
        self.engine = engine
        self.allocation: Any = None
        self.cache: IRuntimeCache | None = None
        self.dynamic_shapes_kernel_specialization_strategy = real.DynamicShapesKernelSpecializationStrategy.LAZY

    def set_execution_context_allocation_strategy(self, strategy: Any) -> None:
        self.allocation = strategy

    def create_runtime_cache(self) -> IRuntimeCache:
        return IRuntimeCache(self.engine.runtime.version)

    def set_runtime_cache(self, cache: IRuntimeCache) -> bool:
        self.cache = cache
        return True


class IExecutionContext:
    """Passes of a context whose configuration is EAGER compile their shape's kernels before they run."""

    def __init__(self, engine: ICudaEngine, config: IRuntimeConfig) -> None:
        self.engine, self.cuda, self.config = engine, engine.cuda, config
        self.profile: int | None = None
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}
        self.workspace = 0
        self.version = 0
        self.warm = -1
        weakref.finalize(self, self.cuda.order.append, "context")

    def _refuse(self, words: str) -> bool:
        self.engine.logger.log(real.ILogger.Severity.ERROR, words)
        return False

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        assert isinstance(stream_handle, int)
        self.profile = profile_index
        return True

    def set_device_memory(self, memory: int, size: int) -> None:
        assert memory % 256 == 0 and size >= self.engine.device_memory_size_v2
        self.cuda.view(memory, size)
        self.workspace = memory

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert self.profile is not None and type(shape) is tuple
        least, _, most = self.engine.get_tensor_profile_shape(name, self.profile)
        if name not in self.engine.inputs or len(shape) != len(least):
            return self._refuse(f"{name} has another rank")
        if not all(low <= size <= high for low, size, high in zip(least, shape, most, strict=True)):
            return self._refuse(f"{name} {shape} is outside of profile {self.profile}")
        self.shapes[name] = shape
        self.version += 1
        return True

    def set_tensor_address(self, name: str, memory: int) -> bool:
        assert self.shapes.keys() == self.engine.inputs.keys(), "an address before the shapes"
        assert name in self.engine.tensors
        if memory % 256:
            return self._refuse(f"{name}: {memory:#x} is not aligned")
        self.addresses[name] = memory
        self.version += 1
        return True

    def infer_shapes(self) -> list[str]:
        return sorted(self.engine.inputs.keys() - self.shapes.keys())

    def execute_async_v3(self, stream_handle: int) -> bool:
        assert isinstance(stream_handle, int) and self.workspace
        if self.addresses.keys() != self.engine.tensors.keys():
            return self._refuse("not all addresses are set")
        eager = self.config.dynamic_shapes_kernel_specialization_strategy.name == "EAGER"
        if self.cuda.recording is not None and not eager:
            return self._refuse("a graph would keep the general kernels")
        if self.cuda.recording is not None and self.warm != self.version:
            return self._refuse("the first pass of a shape cannot be captured")
        if eager and self.config.cache is not None:
            self.config.cache.kernels.add(str(sorted(self.shapes.items())))
        self.warm = self.version
        here, version = weakref.ref(self), self.version

        def work() -> None:
            context = here()
            assert context is not None, "a graph outlived its context"
            assert context.version == version, "a graph's context was changed"
            context.execute()

        self.cuda.enqueue(stream_handle, work)
        return True

    def execute(self) -> None:
        """Run the graph over the memory that was bound."""
        engine = self.engine
        sizes: dict[Any, int] = {}
        for name, value in engine.inputs.items():
            for dim, size in zip(value.shape, self.shapes[name], strict=True):
                assert sizes.setdefault(dim, size) == size
        binding = engine.session.io_binding()
        held, unsized = {}, list[str]()
        for name in engine.inputs:
            held[name] = onnxruntime.OrtValue.ortvalue_from_numpy(self.array(name, sizes))
            binding.bind_ortvalue_input(name, held[name])
        for name in engine.outputs:
            past = name.replace("present_", "past_")
            if past != name:
                assert self.addresses[past] == self.addresses[name], f"{name} is not in place"
                binding.bind_ortvalue_output(name, held[past])
            elif all(isinstance(dim, int) or dim in sizes for dim in engine.outputs[name].shape):
                binding.bind_ortvalue_output(name, onnxruntime.OrtValue.ortvalue_from_numpy(self.array(name, sizes)))
            else:
                binding.bind_output(name)  # of a size that follows from the graph
                unsized.append(name)
        engine.session.run_with_iobinding(binding)
        found = dict(zip(engine.outputs, binding.get_outputs(), strict=True)) if unsized else {}
        for name in unsized:
            values = found[name].numpy()
            self.cuda.view(self.addresses[name], values.nbytes)[:] = values.view(np.uint8).reshape(-1)

    def array(self, name: str, sizes: dict[Any, int]) -> np.ndarray[Any, Any]:
        value = self.engine.tensors[name]
        shape = [dim if isinstance(dim, int) else sizes[dim] for dim in value.shape]
        kind = KINDS[value.type][1]
        return self.cuda.view(self.addresses[name], prod(shape) * kind.itemsize).view(kind).reshape(shape)
