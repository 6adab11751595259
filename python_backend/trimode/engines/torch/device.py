"""Device: where the torch engine computes, its one stream, and every copy between it and the host.

On the processor the same calls are made, without graphs: `capture` returns what it was given. What is for CUDA alone
stands in this file, and was not executed: there was no GPU. Knows nothing of models.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...errors import DeviceLostError, EngineError
from ..lost import lost, lost_by_words

WARM_UPS = 2
"""Runs of a pass before it is captured: libraries choose their kernels and take their memory in the first ones."""

logger = logging.getLogger(__name__)


class Device:
    """A torch device.

    Attributes:
        downloads: copies from the device to the host so far, those of a pass's choices included.
        downloaded_bytes: their size.
        waits: how often the host waited for the device.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.downloads = self.downloaded_bytes = self.waits = 0
        self._stream: Any = None
        self._pool: Any = None
        if self.on_gpu:
            self._stream = torch.cuda.Stream(device)
            self._pool = torch.cuda.graph_pool_handle()

    @classmethod
    def open(cls, number: int, *, on_gpu: bool = False) -> Self:
        """Open GPU `number`, or the processor where PyTorch sees no GPU at all, which is logged.

        Raises:
            EngineError: there are GPUs, but none of that number; or there is none, and `on_gpu` asks for one.
        """
        if not torch.cuda.is_available():
            reason = "it was built without CUDA" if torch.version.cuda is None else "it finds no NVIDIA GPU"
            if on_gpu:
                raise EngineError(f"device: GPU {number} was asked for, and PyTorch sees none: {reason}")
            logger.warning("PyTorch %s runs on the processor: %s", torch.__version__, reason)
            return cls(torch.device("cpu"))
        if number >= (count := torch.cuda.device_count()):
            raise EngineError(f"device: expected a GPU from 0 to {count - 1}, got {number}")
        return cls(torch.device("cuda", number))

    @property
    def on_gpu(self) -> bool:
        """Whether it is a GPU."""
        return self.device.type == "cuda"

    @property
    def capability(self) -> tuple[int, int] | None:
        """The GPU's compute capability; None on the processor."""
        return torch.cuda.get_device_capability(self.device) if self.on_gpu else None

    @contextmanager
    def active(self) -> Iterator[None]:
        """Run what is inside on the device's stream, without gradients; both are properties of a thread.

        Raises:
            DeviceLostError: PyTorch failed with an error of CUDA after which the GPU cannot be used any more. Other
                errors of PyTorch pass, which are RuntimeErrors.
        """
        try:
            with torch.inference_mode():
                if self._stream is None:
                    yield
                else:
                    with torch.cuda.stream(self._stream):
                        yield
        except RuntimeError as exc:
            self._check_lost(exc)
            raise

    def _check_lost(self, cause: RuntimeError) -> None:
        """Raise DeviceLostError if `cause` means it, or if the GPU says so now: cuBLAS does not say why it failed."""
        found = cause
        if self.on_gpu and _lost(cause) is None:
            try:
                self.wait()
            except RuntimeError as exc:
                found = exc
        if (error := _lost(found)) is not None:
            raise error from cause

    def memory(self) -> tuple[int, int] | None:
        """Return the GPU's free bytes and all of them; None on the processor."""
        if not self.on_gpu:
            return None
        free, total = torch.cuda.mem_get_info(self.device)
        return int(free), int(total)

    def zeros(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Return zeros on the device."""
        return torch.zeros(shape, dtype=dtype, device=self.device)

    def host_bytes(self, size: int) -> Tensor:
        """Return (size,) uint8 in the host's memory, page-locked where there is a GPU that copies from it."""
        return torch.zeros(size, dtype=torch.uint8, pin_memory=self.on_gpu)

    def upload(self, target: Tensor, source: Tensor) -> None:
        """Enqueue a copy to the device."""
        target.copy_(source, non_blocking=True)

    def download(self, target: Tensor, source: Tensor) -> None:
        """Enqueue a copy to the host."""
        target.copy_(source, non_blocking=True)

    def count_download(self, size: int) -> None:
        """Count a copy of `size` bytes to the host, which may be part of a captured pass."""
        self.downloads += 1
        self.downloaded_bytes += size

    def fetch(self, values: Tensor) -> npt.NDArray[Any]:
        """Return a copy of `values` in the host's memory, when the device has computed them."""
        there = torch.empty(values.shape, dtype=values.dtype, pin_memory=self.on_gpu)
        self.download(there, values)
        self.count_download(there.nbytes)
        self.wait()
        found: npt.NDArray[Any] = there.numpy()
        return found

    def send(self, values: npt.NDArray[Any]) -> Tensor:
        """Return a copy of `values` on the device."""
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)

    def wait(self) -> None:
        """Wait until everything that was enqueued is done."""
        self.waits += 1
        if self._stream is not None:
            self._stream.synchronize()

    def capture(self, enqueue: Callable[[], None]) -> Callable[[], None]:
        """Return what repeats `enqueue`, which ran WARM_UPS times before: a CUDA graph; `enqueue` on the processor.

        All graphs share one pool of memory, since they run one after another and nothing reads what an earlier one left
        there. What they write for others lies in buffers that were made before.
        """
        for _ in range(WARM_UPS):
            enqueue()
        if not self.on_gpu:
            return enqueue
        self.wait()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
            enqueue()
        replay: Callable[[], None] = graph.replay
        return replay


def _lost(cause: RuntimeError) -> DeviceLostError | None:
    """Return what an error of PyTorch means if it means a lost GPU; torch.AcceleratorError may have CUDA's code."""
    code = getattr(cause, "error_code", None)
    return lost_by_words(str(cause)) if code is None else lost(int(code), str(cause))
