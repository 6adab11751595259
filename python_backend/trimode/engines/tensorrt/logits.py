"""The logits of TensorRT calls: they stay on the GPU until they are read, and the next call writes over them.

Knows where they lie and until when. Knows nothing of how a call runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from ...bundle.manifest import Manifest
from ...errors import EngineError
from ..base import Floats, Row
from ..device_result import DeviceResult
from ..window import Window
from .buffers import Buffers
from .call import Call
from .cuda import Cuda, Pitched
from .layout import Shape


class LogitsStore:
    """Fetches logits from the GPU, and refuses those that are no longer there.

    A call's logits are there until the next call. Where one run needs several calls, `set_aside` copies the logits of
    a call on the GPU; the copies are there until the next run.
    """

    def __init__(self, cuda: Cuda, buffers: Buffers, manifest: Manifest) -> None:
        self._cuda, self._buffers = cuda, buffers
        self._host = buffers.host_logits.view(np.float32)
        self._vocab_size, self._mask_token_id = manifest.vocab_size, manifest.mask_token_id
        self._runs = self._calls = 0  # so far
        self._aside = 0  # rows set aside in this run

    def begin_run(self) -> None:
        """Note that a run begins: the room for logits set aside is free again."""
        self._runs += 1
        self._aside = 0

    def results(self, call: Call, window: Window[Shape], rows: Sequence[Row]) -> list[DeviceResult]:
        """Return the results of a call that has just run, in the order of `rows`."""
        self._calls += 1
        results, lines = [], window.lines
        ids, probs = (
            call.top_id.astype(np.int64),
            call.top_prob.copy(),
        )  # (batch, rows), of memory that is written again
        finite = None if np.isnan(probs).any() else True  # a line without a row may spoil the whole
        for index, row in enumerate(rows):
            line, count = lines[index], len(row.want)
            fetch = partial(self._fetch, self._calls, line * window.shape.rows, count)
            chosen = ids[line, :count], probs[line, :count]
            results.append(DeviceResult(*chosen, fetch, self._mask_token_id, finite=finite))
        return results

    def set_aside(self, window: Window[Shape], rows: Sequence[Row], results: Sequence[DeviceResult]) -> None:
        """Copy the logits of the call that ran last to where the run's further calls do not write.

        That is on the GPU, and in the host's memory where there is no more room for them.
        """
        width, lines = 4 * self._vocab_size, window.lines
        for index, (row, result) in enumerate(zip(rows, results, strict=True)):
            if not (count := len(row.want)):
                continue
            if (self._aside + count) * width > self._buffers.kept_bytes:
                result.outlive()
                continue
            source = Pitched(self._buffers.logits + lines[index] * window.shape.rows * width, width, count)
            target = Pitched(self._buffers.kept + self._aside * width, width, count)
            self._cuda.move_box(target, source, (width, count, 1))
            result.fetch_with(partial(self._fetch_kept, self._runs, target))
            self._aside += count

    def _fetch(self, number: int, first: int, count: int) -> Floats:
        """Return (count, V) from row `first` of the logits of call `number`, a view of page-locked memory."""
        if number != self._calls:
            raise EngineError(f"the logits of call {number} are gone: {self._calls} calls have run")
        size = self._vocab_size
        view = self._host[first * size : (first + count) * size].reshape(count, size)
        if count:
            self._cuda.use()
            self._cuda.download(view.ctypes.data, self._buffers.logits + 4 * first * size, view.nbytes)
            self._cuda.wait()
        return view

    def _fetch_kept(self, run: int, kept: Pitched) -> Floats:
        """Return (count, V) of what was set aside in run number `run`."""
        if run != self._runs:
            raise EngineError(f"the logits of run {run} are gone: {self._runs} runs have begun")
        view = self._host[: kept.rows * self._vocab_size].reshape(kept.rows, -1)
        self._cuda.use()
        self._cuda.download(view.ctypes.data, kept.address, view.nbytes)
        self._cuda.wait()
        return view.copy()  # the next one's are copied to the same memory
