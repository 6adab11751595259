"""The ONNX Runtime engine on the CPU: one session, one dynamic graph, bound to preallocated buffers.

Knows the delta form of the graph: new keys and values are outputs, and the engine stores those that stay.
Knows nothing of modes, requests or text.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import onnxruntime as ort

from ...bundle.manifest import GRAPH, Manifest
from ...errors import BundleError, EngineError
from ..base import Floats, Row, RowResult
from ..inputs import rounded_rows
from ..options import MaxSlots
from ..slot_memory import slots_on_host
from .binding import Binding
from .memory import need
from .room import Room
from .session import open_session
from .slots import Slots

RUNTIME = "onnxruntime"
MAX_BINDINGS = 256
"""Call shapes that stay bound, with inputs of up to about 100 KB each; the shape used longest ago goes first."""


class OnnxRuntimeEngine:
    """Implements `base.Engine`."""

    in_host_memory = True

    def __init__(self, session: ort.InferenceSession, manifest: Manifest, slots: int) -> None:
        self.manifest = manifest
        self.slots = slots
        self.busy_seconds = 0.0
        self.calls = 0
        self._session = session
        self._slots = Slots(2 * manifest.num_layers, manifest.num_kv_heads, manifest.head_dim, manifest.buckets, slots)
        self._bindings: OrderedDict[tuple[int, ...], Binding] = OrderedDict()
        self._logits, self._new, self._gathered, self._images = Room(), Room(), Room(), Room()

    @classmethod
    def open(
        cls, bundle: Path, *, threads: int, spin: bool, max_slots: MaxSlots, device: int = 0, on_gpu: bool = False
    ) -> Self:
        """Load `bundle`; for `threads` and `spin` see open_session. `device` and `on_gpu` have no effect.

        Raises:
            BundleError: missing, broken, built for another runtime or graph form, or no memory for one slot, of "auto".
        """
        manifest = Manifest.load(bundle)
        manifest.check_runtime(bundle, runtime=RUNTIME, kv_form="delta")
        session = open_session(bundle / GRAPH, manifest.precision, threads=threads, spin=spin)
        _check_graph(session, manifest, bundle)
        return cls(session, manifest, slots_on_host(bundle, manifest, max_slots, need(manifest)))

    def allocate(self, *, block: bool) -> int:
        """Return a free slot; slots of blocks lie side by side, and so do those of single tokens."""
        return self._slots.allocate(block=block)

    def free(self, slot: int) -> None:
        """Give a slot back."""
        self._slots.free(slot)

    def place(self, slot: int, *, block: bool) -> None:
        """Move a slot to the side of blocks, or to that of single tokens."""
        self._slots.place(slot, block=block)

    def copy_out(self, slot: int, start: int, count: int) -> Floats:
        """Return (planes, heads, count, head_dim): a copy of a slot's entries."""
        return self._slots.copy_out(slot, start, count)

    def copy_in(self, slot: int, start: int, entries: Floats) -> None:
        """Put (planes, heads, count, head_dim) into a slot."""
        self._slots.copy_in(slot, start, entries)

    @property
    def capacity(self) -> int:
        """Entries a lane has at the moment."""
        return self._slots.capacity

    def run(self, rows: Sequence[Row]) -> list[RowResult]:
        """Run `rows` in one call; shorter ones are padded with tokens that nobody sees."""
        if len(rows) == 1:
            return [self._run_one(rows[0])]
        for row in rows:
            self._slots.reserve(row.slot, row.start + row.stored)
        lanes = [self._slots.lane(row.slot) for row in rows]
        order = sorted(range(len(rows)), key=lanes.__getitem__)
        seq = max(len(row.tokens) for row in rows)
        wanted = rounded_rows(max(len(row.want) for row in rows), seq)
        first, batch = lanes[order[0]], len(rows)
        neighbours = lanes[order[-1]] - first == batch - 1
        shown = any(row.features is not None for row in rows)
        binding = self._bound(batch, seq, wanted, first if neighbours else -1, shown)
        for line, index in enumerate(order):
            binding.fill(line, rows[index])
            if not neighbours:
                seen = rows[index].start
                binding.past[:, line, :, :seen] = self._slots.data[:, lanes[index], :, :seen]
        self._call(binding, batch, seq)
        results: list[RowResult | None] = [None] * batch
        for line, index in enumerate(order):
            results[index] = self._take(binding, line, rows[index], lanes[index])
        return [result for result in results if result is not None]

    def close(self) -> None:
        """Do nothing: memory goes with the object."""

    def _run_one(self, row: Row) -> RowResult:
        """Run a single row; the most frequent call of all, so it is kept short."""
        slots, size, wanted = self._slots, len(row.tokens), len(row.want)
        slots.reserve(row.slot, row.start + row.stored)
        lane = slots.lane(row.slot)
        binding = self._bound(1, size, rounded_rows(wanted, size), lane, row.features is not None)
        binding.fill(0, row)
        self._call(binding, 1, size)
        return self._take(binding, 0, row, lane)

    def _take(self, binding: Binding, line: int, row: Row, lane: int) -> RowResult:
        """Return a row's result, and store what the row keeps if that is finite.

        What is not finite must never get into a lane: even masked it would spoil every later pass over the lane, since
        zero times NaN is NaN. Logits of the last token show it where that token sees all; else the entries are summed.
        """
        result = RowResult(binding.logits[line, : len(row.want)], self.manifest.mask_token_id)
        if row.keep:
            size = row.stored
            new = binding.new[:, line, :size].swapaxes(1, 2)  # (planes, heads, size, head_dim)
            shown = isinstance(row.sees, str) and len(row.want) > 0 and row.want[-1] == len(row.tokens) - 1
            if not (shown or _finite(new)):
                result.spoil()
            if result.finite:
                self._slots.data[:, lane, :, row.start : row.start + size] = new
        return result

    def _call(self, binding: Binding, batch: int, seq: int) -> None:
        started = time.perf_counter()
        try:
            self._session.run_with_iobinding(binding.io)
        except Exception as exc:  # onnxruntime's exceptions have no base class of their own
            raise EngineError(f"the engine failed on {batch} rows of {seq} tokens: {exc}") from exc
        self.busy_seconds += time.perf_counter() - started
        self.calls += 1

    def _bound(self, batch: int, seq: int, wanted: int, first: int, shown: bool) -> Binding:
        """Return the tensors for a call over `batch` lanes from `first` on (-1: gathered); made once a shape.

        `shown` says that tokens of pictures are among those of the call.
        """
        key = (batch, seq, wanted, first, shown, self._slots.capacity)
        binding = self._bindings.get(key)
        if binding is None:
            binding = self._bindings[key] = self._bind(batch, seq, wanted, first, shown)
            if len(self._bindings) > MAX_BINDINGS:
                self._bindings.popitem(last=False)
        self._bindings.move_to_end(key)
        return binding

    def _bind(self, batch: int, seq: int, wanted: int, first: int, shown: bool) -> Binding:
        """Bind a shape to the memory that all calls share; where that moves, the shapes bound so far are forgotten."""
        manifest, data = self.manifest, self._slots.data
        logits, new = (batch, wanted, manifest.vocab_size), (len(data), batch, seq, data.shape[2], data.shape[4])
        past = (len(data), batch, *data.shape[2:])
        images = (batch * seq if shown else 1, manifest.hidden_size)
        grown = [self._logits.grow(logits), self._new.grow(new), first < 0 and self._gathered.grow(past)]
        if any([*grown, manifest.vision is not None and self._images.grow(images)]):
            self._bindings.clear()
        return Binding(
            self._session,
            manifest,
            wanted,
            logits=self._logits.array(logits),
            new=self._new.array(new),
            past=self._gathered.array(past) if first < 0 else data[:, first : first + batch],
            images=None if manifest.vision is None else self._images.array(images),
        )


def _finite(values: Floats) -> bool:
    """Whether all values are finite. Their sum is the fastest look at each; they are looked at closely if it is odd."""
    with np.errstate(all="ignore"):
        return math.isfinite(values.sum()) or bool(np.isfinite(values).all())


def _check_graph(session: ort.InferenceSession, manifest: Manifest, bundle: Path) -> None:
    """Compare the graph with the manifest: names, and every size that the manifest fixes."""
    found = {node.name: list(node.shape) for node in [*session.get_inputs(), *session.get_outputs()]}
    expected: dict[str, list[int | None]] = {
        "input_ids": [None, None],
        "position_ids": [None, None],
        "past_len": [None],
        "block_mask": [None, None, None],
        "logit_rows": [None, None],
        "logits": [None, None, manifest.vocab_size],
    }
    if manifest.vision is not None:
        expected |= {"image_rows": [None, manifest.hidden_size], "image_index": [None, None]}
    if manifest.adapter:
        expected["lora_scale"] = [None, None]
    for layer in range(manifest.num_layers):
        for kind in ("key", "value"):
            expected[f"past_{kind}.{layer}"] = [None, manifest.num_kv_heads, None, manifest.head_dim]
            expected[f"new_{kind}.{layer}"] = [None, None, manifest.num_kv_heads * manifest.head_dim]
    if found.keys() != expected.keys():
        other = sorted(found.keys() ^ expected.keys())
        raise BundleError(f"{bundle / GRAPH} does not have the manifest's inputs and outputs: {other[:6]}")
    for name, sizes in expected.items():
        if len(found[name]) != len(sizes) or any(b not in (None, a) for a, b in zip(found[name], sizes, strict=True)):
            raise BundleError(f"{bundle / GRAPH}: {name} is {found[name]}, the manifest says {sizes}")
