"""The CUDA runtime as the TensorRT engine needs it: one device, one stream; every call's error code is checked.

The only file that imports cuda-python (`cuda.bindings.runtime`), and only when a GPU is asked for. Pointers are
integers. Knows nothing of TensorRT or of what the bytes mean.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import threading
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from ...bundle.compilation import Device
from ...errors import EngineError
from ..lost import lost

BINDINGS = "cuda.bindings.runtime"
INSTALL = "pip install -e '.[gpu]' in the repository"


class Pitched(NamedTuple):
    """A box of bytes inside an array: `pitch` bytes from row to row, `rows` of them from slice to slice."""

    address: int
    pitch: int
    rows: int


class Cuda:
    """A device with its own stream. `close` frees all that it allocated."""

    def __init__(self, runtime: Any, device: int) -> None:
        self.device = device
        self._rt = runtime
        self._here = threading.local()
        self._on_device: list[int] = []
        self._on_host: list[int] = []
        self.use()
        # Non-blocking: it does not wait for the default stream, which nothing here uses.
        self.stream: Any = self._checked(runtime.cudaStreamCreateWithFlags, runtime.cudaStreamNonBlocking)

    @classmethod
    def open(cls, device: int) -> Self:
        """Open GPU number `device`.

        Raises:
            EngineError: cuda-python is not installed, or there is no driver, no GPU or no GPU of that number.
        """
        try:
            runtime = importlib.import_module(BINDINGS)
        except (ImportError, OSError) as exc:
            raise EngineError(f"cuda-python is not installed ({exc}): {INSTALL}") from exc
        try:
            count = _checked(runtime, runtime.cudaGetDeviceCount)
        except EngineError as exc:
            raise EngineError(f"no NVIDIA GPU can be used here: {exc}") from exc
        if not 0 <= device < count:
            raise EngineError(f"device: expected a GPU from 0 to {count - 1}, got {device}")
        return cls(runtime, device)

    def use(self) -> None:
        """Make the device current on the calling thread; CUDA keeps a current device for each thread."""
        if not getattr(self._here, "set", False):
            self._checked(self._rt.cudaSetDevice, self.device)
            self._here.set = True

    @property
    def closed(self) -> bool:
        """Whether everything was freed."""
        return self.stream is None

    @property
    def compute_capability(self) -> str:
        """The device's compute capability, such as "8.9"."""
        kinds = self._rt.cudaDeviceAttr
        asked = (kinds.cudaDevAttrComputeCapabilityMajor, kinds.cudaDevAttrComputeCapabilityMinor)
        return ".".join(str(self._checked(self._rt.cudaDeviceGetAttribute, kind, self.device)) for kind in asked)

    @property
    def facts(self) -> Device:
        """The device, or the slice of it that this process sees."""
        return Device.of(self._checked(self._rt.cudaGetDeviceProperties, self.device))

    def memory(self) -> tuple[int, int]:
        """Return the device's free bytes and all of them."""
        free, total = self._checked(self._rt.cudaMemGetInfo)
        return int(free), int(total)

    def allocate(self, size: int) -> int:
        """Return the address of `size` bytes on the device, aligned to 256 as cudaMalloc promises."""
        address = int(self._checked(self._rt.cudaMalloc, size))
        self._on_device.append(address)
        return address

    def pin(self, size: int) -> npt.NDArray[np.uint8]:
        """Return (size,) bytes of page-locked host memory, from and to which the GPU copies without the processor."""
        address = int(self._checked(self._rt.cudaHostAlloc, size, self._rt.cudaHostAllocDefault))
        self._on_host.append(address)
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))

    def clear(self, address: int, size: int) -> None:
        """Enqueue zeros into device memory."""
        self._checked(self._rt.cudaMemsetAsync, address, 0, size, self.stream)

    def upload(self, target: int, source: int, size: int) -> None:
        """Enqueue a copy from page-locked memory to the device."""
        kind = self._rt.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._checked(self._rt.cudaMemcpyAsync, target, source, size, kind, self.stream)

    def download(self, target: int, source: int, size: int) -> None:
        """Enqueue a copy from the device to page-locked memory."""
        kind = self._rt.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._checked(self._rt.cudaMemcpyAsync, target, source, size, kind, self.stream)

    def upload_box(self, target: Pitched, source: Pitched, extent: tuple[int, int, int]) -> None:
        """Enqueue a copy of (bytes, rows, slices) from the host to the device."""
        self._copy_box(target, source, extent, self._rt.cudaMemcpyKind.cudaMemcpyHostToDevice)

    def download_box(self, target: Pitched, source: Pitched, extent: tuple[int, int, int]) -> None:
        """Enqueue a copy of (bytes, rows, slices) from the device to the host."""
        self._copy_box(target, source, extent, self._rt.cudaMemcpyKind.cudaMemcpyDeviceToHost)

    def move_box(self, target: Pitched, source: Pitched, extent: tuple[int, int, int]) -> None:
        """Enqueue a copy of (bytes, rows, slices) from the device to the device."""
        self._copy_box(target, source, extent, self._rt.cudaMemcpyKind.cudaMemcpyDeviceToDevice)

    def _copy_box(self, target: Pitched, source: Pitched, extent: tuple[int, int, int], kind: Any) -> None:
        rt, width = self._rt, extent[0]
        asked = rt.cudaMemcpy3DParms()
        asked.srcPtr = rt.make_cudaPitchedPtr(source.address, source.pitch, width, source.rows)
        asked.dstPtr = rt.make_cudaPitchedPtr(target.address, target.pitch, width, target.rows)
        asked.extent = rt.make_cudaExtent(*extent)
        asked.kind = kind
        self._checked(rt.cudaMemcpy3DAsync, asked, self.stream)

    def wait(self) -> None:
        """Wait until everything that was enqueued is done."""
        self._checked(self._rt.cudaStreamSynchronize, self.stream)

    def capture(self, enqueue: Callable[[], None]) -> Any:
        """Return a graph of what `enqueue` puts on the stream, which is recorded and not run."""
        mode = self._rt.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._checked(self._rt.cudaStreamBeginCapture, self.stream, mode)
        try:
            enqueue()
        except BaseException:
            with contextlib.suppress(EngineError):  # the capture is void; the error that ended it is raised
                self._checked(self._rt.cudaStreamEndCapture, self.stream)
            raise
        graph = self._checked(self._rt.cudaStreamEndCapture, self.stream)
        try:
            return self._checked(self._rt.cudaGraphInstantiate, graph, 0)
        finally:
            self._checked(self._rt.cudaGraphDestroy, graph)

    def launch(self, graph: Any) -> None:
        """Enqueue a captured graph."""
        self._checked(self._rt.cudaGraphLaunch, graph, self.stream)

    def forget(self, graph: Any) -> None:
        """Free a captured graph; it must not be running."""
        self._checked(self._rt.cudaGraphExecDestroy, graph)

    def close(self) -> None:
        """Wait for what runs, then free all memory and the stream. A second call does nothing."""
        if self.closed:
            return
        with contextlib.suppress(EngineError):  # a device that failed frees its memory with the process
            self.use()
            self.wait()
            while self._on_host:
                self._checked(self._rt.cudaFreeHost, self._on_host.pop())
            while self._on_device:
                self._checked(self._rt.cudaFree, self._on_device.pop())
            self._checked(self._rt.cudaStreamDestroy, self.stream)
        self.stream = None

    def _checked(self, function: Any, *arguments: Any) -> Any:
        return _checked(self._rt, function, *arguments)


def _checked(runtime: Any, function: Any, *arguments: Any) -> Any:
    """Call a CUDA function; return its value, several as a list, or None.

    Raises:
        EngineError: its error code is not success; names function, code and CUDA's own words for it.
        DeviceLostError: after this code no call succeeds any more, see `lost`.
    """
    try:
        code, *values = function(*arguments)
    except RuntimeError as exc:  # how the bindings say that the driver's library is missing
        raise EngineError(f"{function.__name__}: {exc}") from exc
    if code != runtime.cudaError_t.cudaSuccess:
        words = runtime.cudaGetErrorString(code)[1]
        text = words.decode() if isinstance(words, bytes) else words
        said = f"{function.__name__} failed with {code.name} ({int(code)}): {text}"
        raise lost(int(code), said) or EngineError(said)
    return values[0] if len(values) == 1 else values or None
