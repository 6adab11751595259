"""A CUDA runtime in host memory, for the functions that the TensorRT engine calls; types and enums are the real ones.

What is checked as a GPU would, or worse: device addresses mean nothing to the host, memory starts as NaN, work waits
until the stream is waited for, a stream belongs to its device, a graph runs what was recorded, nothing is freed twice.
"""

from __future__ import annotations

import ctypes
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from cuda.bindings import runtime as real

Bytes = npt.NDArray[np.uint8]
OK = real.cudaError_t.cudaSuccess
GAP = 1 << 12


class Graph(list[Callable[[], None]]):
    """What was recorded."""

    alive = True


class FakeCuda:
    """Stands for the module `cuda.bindings.runtime`; anything but functions is taken from the real one."""

    def __init__(
        self,
        *,
        memory: int = 1 << 30,
        capability: tuple[int, int] = (8, 9),
        devices: int = 1,
        name: str = "NVIDIA L40S",
        multiprocessors: int = 142,
    ) -> None:
        self.memory, self.capability, self.devices = memory, capability, devices
        self.name, self.multiprocessors = name, multiprocessors
        self.failing: dict[str, int] = {}
        """Functions that fail, by name, with their error code."""
        self.calls: Counter[str] = Counter()
        self.copied: list[tuple[str, int]] = []
        """Copies done, by kind, and their bytes."""
        self.order: list[str] = []
        """Releases in order."""
        self.loaded = 0
        """Bytes that somebody else holds."""
        self.recording: Graph | None = None
        self._here = threading.local()
        self._on_device: dict[int, Bytes] = {}
        self._pinned: dict[int, Bytes] = {}
        self._next = 0x7F00_0000_0000
        self._streams: dict[int, int] = {}
        self._queue: list[Callable[[], None]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(real, name)

    def _result(self, name: str, *values: Any) -> tuple[Any, ...]:
        self.calls[name] += 1
        if name in self.failing:
            return (real.cudaError_t(self.failing[name]), *(None for _ in values))
        return (OK, *values)

    @property
    def allocated(self) -> int:
        return sum(len(memory) for memory in self._on_device.values())

    @property
    def leaked(self) -> list[Any]:
        return [*self._on_device, *self._pinned, *self._streams]

    def unload(self, size: int) -> None:
        """Note that somebody gave back what was loaded."""
        self.loaded -= size

    def view(self, address: int, size: int) -> Bytes:
        """Device memory at an address; must lie in one allocation."""
        for base, memory in self._on_device.items():
            if base <= address and address + size <= base + len(memory):
                return memory[address - base : address - base + size]
        raise AssertionError(f"no device memory at {address:#x}, {size} bytes")

    def _host(self, address: int, size: int, *, pinned: bool) -> Bytes:
        for base, memory in self._pinned.items():
            if base <= address and address + size <= base + len(memory):
                return memory[address - base : address - base + size]
        assert not pinned, f"{address:#x} is not page-locked"
        assert not 0x7F00_0000_0000 <= address < self._next, f"{address:#x} is a device's"
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))

    def enqueue(self, stream: Any, work: Callable[[], None]) -> None:
        assert self._streams[int(stream)] == getattr(self._here, "device", 0), "the stream is another device's"
        (self._queue if self.recording is None else self.recording).append(work)

    # The runtime's functions

    def cudaGetDeviceCount(self) -> Any:
        return self._result("cudaGetDeviceCount", self.devices)

    def cudaSetDevice(self, device: int) -> Any:
        self._here.device = device
        return self._result("cudaSetDevice")

    def cudaDeviceGetAttribute(self, kind: Any, device: int) -> Any:
        assert device < self.devices
        place = kind == real.cudaDeviceAttr.cudaDevAttrComputeCapabilityMinor
        return self._result("cudaDeviceGetAttribute", self.capability[place])

    def cudaGetDeviceProperties(self, device: int) -> Any:
        assert device < self.devices
        found = real.cudaDeviceProp()
        found.name = self.name.encode().ljust(256, b"\0")
        found.multiProcessorCount, found.totalGlobalMem = self.multiprocessors, self.memory
        found.major, found.minor = self.capability
        return self._result("cudaGetDeviceProperties", found)

    def cudaMemGetInfo(self) -> Any:
        return self._result("cudaMemGetInfo", self.memory - self.allocated - self.loaded, self.memory)

    def cudaMalloc(self, size: int) -> Any:
        assert size > 0
        address, self._next = self._next, self._next + -(-size // 512) * 512 + GAP
        result = self._result("cudaMalloc", address)
        if result[0] == OK:
            self._on_device[address] = np.full(size, 0xFF, np.uint8)  # NaN in every type
        return result

    def cudaFree(self, address: int) -> Any:
        assert not self._queue
        del self._on_device[address]
        self.order.append("memory")
        return self._result("cudaFree")

    def cudaHostAlloc(self, size: int, flags: int) -> Any:
        memory = np.full(size, 0xFF, np.uint8)
        self._pinned[memory.ctypes.data] = memory
        return self._result("cudaHostAlloc", memory.ctypes.data)

    def cudaFreeHost(self, address: int) -> Any:
        del self._pinned[address]
        return self._result("cudaFreeHost")

    def cudaStreamCreateWithFlags(self, flags: int) -> Any:
        assert flags == real.cudaStreamNonBlocking
        number = 0x5000 + len(self._streams)
        self._streams[number] = getattr(self._here, "device", 0)
        return self._result("cudaStreamCreateWithFlags", real.cudaStream_t(number))

    def cudaStreamDestroy(self, stream: Any) -> Any:
        del self._streams[int(stream)]
        self.order.append("stream")
        return self._result("cudaStreamDestroy")

    def cudaStreamSynchronize(self, stream: Any) -> Any:
        assert int(stream) in self._streams
        if self.recording is not None:
            return (real.cudaError_t.cudaErrorStreamCaptureUnsupported,)
        work, self._queue = self._queue, []
        for one in work:
            one()
        return self._result("cudaStreamSynchronize")

    def cudaMemsetAsync(self, address: int, value: int, size: int, stream: Any) -> Any:
        self.enqueue(stream, lambda: self.view(address, size).fill(value))
        return self._result("cudaMemsetAsync")

    def cudaMemcpyAsync(self, target: int, source: int, size: int, kind: Any, stream: Any) -> Any:
        def copy() -> None:
            if kind == real.cudaMemcpyKind.cudaMemcpyHostToDevice:
                self.view(target, size)[:] = self._host(source, size, pinned=True)
            else:
                assert kind == real.cudaMemcpyKind.cudaMemcpyDeviceToHost
                self._host(target, size, pinned=True)[:] = self.view(source, size)
            self.copied.append((kind.name.removeprefix("cudaMemcpy"), size))

        self.enqueue(stream, copy)
        return self._result("cudaMemcpyAsync")

    def cudaMemcpy3DAsync(self, asked: Any, stream: Any) -> Any:
        kind, extent = asked.kind, (asked.extent.width, asked.extent.height, asked.extent.depth)
        target, source = ((int(at.ptr), at.pitch, at.ysize) for at in (asked.dstPtr, asked.srcPtr))
        assert min(extent) > 0 and extent[0] <= min(target[1], source[1])
        assert (asked.srcPos.x, asked.srcPos.y, asked.srcPos.z, asked.dstPos.x, asked.dstPos.y, asked.dstPos.z) == (
            0,
        ) * 6

        def row(at: tuple[int, int, int], slice_: int, line: int, *, device: bool) -> Bytes:
            address = at[0] + (slice_ * at[2] + line) * at[1]
            return self.view(address, extent[0]) if device else self._host(address, extent[0], pinned=False)

        def copy() -> None:
            to = kind != real.cudaMemcpyKind.cudaMemcpyDeviceToHost
            from_ = kind != real.cudaMemcpyKind.cudaMemcpyHostToDevice
            for slice_ in range(extent[2]):
                for line in range(extent[1]):
                    row(target, slice_, line, device=to)[:] = row(source, slice_, line, device=from_)
            self.copied.append((kind.name.removeprefix("cudaMemcpy"), extent[0] * extent[1] * extent[2]))

        self.enqueue(stream, copy)
        return self._result("cudaMemcpy3DAsync")

    def cudaStreamBeginCapture(self, stream: Any, mode: Any) -> Any:
        assert self.recording is None and mode == real.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        result = self._result("cudaStreamBeginCapture")
        if result[0] == OK:
            self.recording = Graph()
        return result

    def cudaStreamEndCapture(self, stream: Any) -> Any:
        recorded, self.recording = self.recording, None
        return self._result("cudaStreamEndCapture", recorded)

    def cudaGraphInstantiate(self, graph: Graph, flags: int) -> Any:
        assert graph.alive and flags == 0
        return self._result("cudaGraphInstantiate", Graph(graph))

    def cudaGraphDestroy(self, graph: Graph) -> Any:
        graph.alive = False
        return self._result("cudaGraphDestroy")

    def cudaGraphLaunch(self, graph: Graph, stream: Any) -> Any:
        assert graph.alive
        for work in graph:
            self.enqueue(stream, work)
        return self._result("cudaGraphLaunch")

    def cudaGraphExecDestroy(self, graph: Graph) -> Any:
        assert graph.alive and not any(work in self._queue for work in graph)
        graph.alive = False
        self.order.append("graph")
        return self._result("cudaGraphExecDestroy")


FUNCTIONS = sorted(name for name in vars(FakeCuda) if name.startswith("cuda"))
for _name in FUNCTIONS:
    getattr(FakeCuda, _name).__name__ = _name
