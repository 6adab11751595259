"""The torch engine: rows go into passes over the cache, and their choices come back; logits stay until they are read.

Ties together weights, network, cache, windows (which rows share a pass and where they write) and the executor.
Its code is executed on the processor; on a GPU it was not. Knows nothing of modes, requests or text.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from ...bundle.manifest import Manifest
from ...bundle.tensor_index import TensorIndex
from ...errors import BundleError, EngineError
from ..base import Floats, Ints, Row, RowResult
from ..device_result import DeviceResult, Softmax
from ..options import MaxSlots
from ..window import Window
from .cache import Cache
from .call import Read
from .device import Device
from .executor import Executor
from .memory import entries_of, need, slots
from .network import Network, Shown
from .products import check_gpu
from .types import FP8, TYPES
from .weights import Weights
from .windows import Shape, Windows, pieces, rounded

RUNTIME, KV_FORM = "torch", "scatter"


@dataclass
class _Answer:
    """What a row asked for.

    Attributes:
        choices: of its R rows of logits.
        of_pass: (B, at least R, V) logits on the device, overwritten by the next pass unless set aside.
        line: its line of the batch.
        finite: whether the pass gave it numbers.
    """

    choices: Read
    of_pass: Tensor
    line: int
    finite: bool

    @property
    def logits(self) -> Tensor:
        """(R, V), a view, which is made when it is asked for: it takes longer than all else here."""
        return self.of_pass[self.line, : len(self.choices.top_id)]

    @classmethod
    def joined(cls, parts: Sequence[_Answer]) -> _Answer:
        if len(parts) == 1:
            return parts[0]
        choices = Read(*(np.concatenate(each) for each in zip(*(part.choices for part in parts), strict=True)))
        logits = torch.cat([part.logits for part in parts])
        return cls(choices, logits[None], 0, all(part.finite for part in parts))


class TorchEngine:
    """Implements `base.Engine`. `busy_seconds` includes the copies to and from the device."""

    def __init__(self, device: Device, network: Network, manifest: Manifest, slots: int) -> None:
        """Allocate everything that a pass needs; on a GPU, capture the fixed list of shapes."""
        self.manifest = manifest
        self.slots = slots
        self.busy_seconds = 0.0
        self.calls = 0
        self.device = device
        self.in_host_memory = not device.on_gpu
        self._runs = 0
        rows = slots * rounded(manifest.block_size)
        with device.active():  # the stream that writes zeros over what is allocated must be the one that captures
            self._cache = Cache(device, manifest, slots, entries_of(manifest), network.dtype)
            block = manifest.block_size if device.on_gpu else None
            self._windows = Windows(self._cache, manifest.capacity, block=block)
            self._executor = Executor(device, network, self._cache, manifest, rows=rows)
            if device.on_gpu:
                self._executor.capture(self._windows.fixed())

    @classmethod
    def open(
        cls, bundle: Path, *, threads: int, spin: bool, max_slots: MaxSlots, device: int = 0, on_gpu: bool = False
    ) -> Self:
        """Load `bundle` on GPU number `device`, or on the processor with `threads` where PyTorch sees no GPU.

        `threads` 0 takes every core. `spin` has no effect. With `on_gpu` the processor will not do.

        Raises:
            BundleError: missing, broken, built for another engine, or the GPU or its memory is not what it takes.
        """
        manifest = Manifest.load(bundle)
        manifest.check_runtime(bundle, runtime=RUNTIME, kv_form=KV_FORM)
        if manifest.precision not in TYPES:
            limit = f"expected one of {', '.join(TYPES)}"
            raise BundleError(f"{bundle}: precision: {limit}, got {manifest.precision!r}")
        index, dtype = TensorIndex.load(bundle), TYPES[manifest.precision]
        try:
            opened = Device.open(device, on_gpu=on_gpu)
            if not opened.on_gpu:
                torch.set_num_threads(threads or len(os.sched_getaffinity(0)))
            with opened.active():
                if (fp8 := manifest.precision == FP8) and (capability := opened.capability) is not None:
                    check_gpu(_widths(manifest, index), capability)
                weights = Weights.load(bundle, manifest, index, opened.device, dtype, fp8=fp8)
                network = Network(weights, manifest, index, entries_of(manifest))
            count = slots(bundle, manifest, max_slots, need(manifest, index, dtype), opened.memory())
            return cls(opened, network, manifest, count)
        except (EngineError, RuntimeError) as exc:  # torch's own errors, out of memory among them, are RuntimeErrors
            raise BundleError(f"{bundle} cannot be opened by PyTorch {torch.__version__}: {exc}") from exc

    def allocate(self, *, block: bool) -> int:
        """Return a free slot; slots of blocks lie near each other, and so do those of single tokens."""
        return self._cache.allocate(block=block)

    def free(self, slot: int) -> None:
        """Give a slot back."""
        with self.device.active():
            self._cache.free(slot)

    def place(self, slot: int, *, block: bool) -> None:
        """Move a slot to the side of blocks, or to that of single tokens, if there is a free lane nearer to it."""
        with self.device.active():
            self._cache.place(slot, block=block)

    def copy_out(self, slot: int, start: int, count: int) -> Floats:
        """Return (planes, kv_heads, count, bytes / 4): the bytes of a slot's entries, whatever their type is.

        Raises:
            EngineError: they are not finite.
        """
        with self.device.active():
            return self._cache.copy_out(slot, start, count)

    def copy_in(self, slot: int, start: int, entries: Floats) -> None:
        """Put what `copy_out` returned into a slot."""
        with self.device.active():
            self._cache.copy_in(slot, start, entries)

    @property
    def capacity(self) -> int:
        """Entries that a pass over the fullest slot reads."""
        return self._windows.length(self._cache.longest + 1)

    def run(self, rows: Sequence[Row]) -> list[RowResult]:
        """Run `rows`, in one pass where every lane of it has room.

        Raises:
            EngineError: a row exceeds the capacity, or PyTorch failed. The entries of a slot before its row's `start`
                are unchanged.
        """
        for row in rows:
            if (length := row.start + max(row.stored, 1)) > self.manifest.capacity:
                limit = f"the engine's capacity of {self.manifest.capacity}"
                raise EngineError(f"a sequence of {length} tokens exceeds {limit}")
            if row.positions is not None and (last := int(row.positions.max(initial=0))) >= self._windows.room:
                raise EngineError(f"positions: expected below {self._windows.room}, got {last}")
        self._runs += 1
        try:
            with self.device.active():
                answers = self._answers(rows)
        except RuntimeError as exc:
            sizes = [len(row.tokens) for row in rows]
            raise EngineError(f"PyTorch failed on {len(rows)} rows of {sizes} tokens: {exc}") from exc
        return [self._result(answer) for answer in answers]

    def close(self) -> None:
        """Do nothing: memory goes with the object."""

    def _answers(self, rows: Sequence[Row]) -> list[_Answer]:
        """Run `rows`, cut where they are too long and one by one where one of them is, or has no room."""
        if all(len(pieces(row)) == 1 and self._windows.fits_alone(row) for row in rows):
            return self._passes(rows)
        found = []
        for row in rows:
            parts = pieces(row)
            if len(parts) == 1 and not self._windows.fits_alone(row) and not row.keep:
                answers = [self._in_place_of(row)]
            else:
                answers = [self._set_aside(self._passes([part])[0]) for part in parts]
            found.append(_Answer.joined(answers))
        return found

    def _in_place_of(self, row: Row) -> _Answer:
        """Run a row that is not kept where its slot's later entries are, and put these back."""
        held = self._cache.held(row.slot)
        kept = self._cache.entries(row.slot, row.start, held - row.start).clone()
        self._cache.hold(row.slot, row.start)
        try:
            return self._set_aside(self._passes([row])[0])
        finally:
            self._cache.entries(row.slot, row.start, held - row.start).copy_(kept)
            self._cache.hold(row.slot, held)

    def _passes(self, rows: Sequence[Row]) -> list[_Answer]:
        """Run rows that have room; each pass but the last sets its logits aside, as the next one writes over them."""
        windows = self._windows.over(rows)
        found: dict[int, _Answer] = {}
        for window in windows:
            answers = self._pass(window, rows)
            for index, answer in answers.items():
                found[index] = answer if window is windows[-1] else self._set_aside(answer)
        return [found[index] for index in range(len(rows))]

    def _pass(self, window: Window[Shape], rows: Sequence[Row]) -> dict[int, _Answer]:
        shown = self._shown(window, rows)
        call = self._executor.call(window.shape, fixed=shown is None)
        call.shown = shown
        window.write(rows, call, singles=window.shape.seq == 1)
        began = time.perf_counter()
        try:
            logits = self._executor.execute(call)
        except Exception:
            for index in window.members.values():
                self._cache.doubt(rows[index])
            raise
        self.busy_seconds += time.perf_counter() - began
        self.calls += 1
        read = call.read()
        found, all_finite = {}, not np.isnan(read.top_prob).any()
        for line, index in window.members.items():
            row, count = rows[index], len(rows[index].want)
            choices = read.first(line, count)
            finite = all_finite or not np.isnan(choices.top_prob).any()
            found[index] = _Answer(choices, logits, line, finite)
            self._cache.passed(row, finite=finite)
        return found

    def _shown(self, window: Window[Shape], rows: Sequence[Row]) -> Shown | None:
        """Return what the rows of a pass read in place of embeddings, on the device; None if no row does."""
        found = [(line, one) for line, index in window.members.items() if (one := rows[index].features) is not None]
        if not found:
            return None
        lines = np.concatenate([np.full(len(one.places), line) for line, one in found])
        places, values = (np.concatenate([one[which] for _, one in found]) for which in (0, 1))
        return Shown(*(self.device.send(array) for array in (lines, places, values)))

    def _set_aside(self, answer: _Answer) -> _Answer:
        return replace(answer, of_pass=answer.logits.clone()[None], line=0)

    def _result(self, answer: _Answer) -> DeviceResult:
        choices, run = answer.choices, self._runs
        fetch = partial(self._fetch, run, answer)
        softmax = Softmax(choices.log_norm, partial(self._pick, run, answer))
        chosen, mask = (choices.top_id, choices.top_prob), self.manifest.mask_token_id
        return DeviceResult(*chosen, fetch, mask, finite=answer.finite, softmax=softmax)

    def _pick(self, run: int, answer: _Answer, rows: Ints, ids: Ints) -> Floats:
        """Return one logit of each of `rows` (N,) of run number `run`, of `ids` (N,), copied from the device."""
        self._check_run(run)
        with self.device.active():
            places = self.device.send(np.stack([rows, ids]))  # (2, N)
            found: Floats = self.device.fetch(answer.logits[places[0], places[1]].float())
            return found

    def _fetch(self, run: int, answer: _Answer) -> Floats:
        """Return (R, V) of run number `run`, copied from the device."""
        self._check_run(run)
        with self.device.active():
            found: Floats = self.device.fetch(answer.logits.float())
            return found

    def _check_run(self, run: int) -> None:
        if run != self._runs:
            raise EngineError(f"the logits of run {run} are gone: {self._runs} runs have begun")


def _widths(manifest: Manifest, index: TensorIndex) -> dict[str, int]:
    """Return the widths between which the layers' products go."""
    size = manifest.head_dim
    return {
        "hidden_size": manifest.hidden_size,
        "the width of queries": index.num_heads * size,
        "the width of keys": manifest.num_kv_heads * size,
        "intermediate_size": index.intermediate_size,
    }
