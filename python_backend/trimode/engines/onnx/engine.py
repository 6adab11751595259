"""The ONNX Runtime engine on the CPU: one session, one dynamic graph, bound to preallocated buffers.

Knows the delta form of the graph (new keys and values are outputs; the host stores those that stay).
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnxruntime as ort

from ...bundle.manifest import GRAPH, Manifest, rebuild_hint
from ...errors import BundleError, EngineError
from ..base import Floats, Row, RowResult, counted, lower_triangle
from .slots import Slots

RUNTIME = "onnxruntime"
MAX_BOUND_BYTES = 512 * 2**20
"""Buffers of call shapes used before are kept up to this, the latest used first."""
SPIN_MICROSECONDS = "50"
"""Longer than nearly every operator of a small model, far shorter than a time slice of the system."""
LOGIT_ROWS_STEP = 8
"""Asked-for rows are rounded up to a multiple of this, so that few shapes are bound."""


class Binding:
    """The buffers of one call shape, bound once: batch, seq, rows, and a window of lanes or a gathered copy."""

    def __init__(self, session: ort.InferenceSession, manifest: Manifest, batch: int, seq: int, rows: int) -> None:
        self.input_ids = np.zeros((batch, seq), dtype=np.int64)
        self.position_ids = np.zeros((batch, seq), dtype=np.int64)
        self.past_len = np.zeros(batch, dtype=np.int64)
        self.block_mask = np.zeros((batch, seq, seq), dtype=bool)
        self.logit_rows = np.zeros((batch, rows), dtype=np.int64)
        self.lora_scale = np.zeros(batch, dtype=np.float32)
        self.logits = np.zeros((batch, rows, manifest.vocab_size), dtype=np.float32)
        planes = 2 * manifest.num_layers
        self.new = np.zeros((planes, batch, manifest.num_kv_heads, seq, manifest.head_dim), dtype=np.float32)
        self.size = self.logits.nbytes + self.new.nbytes
        self.io = session.io_binding()
        for name in ("input_ids", "position_ids", "past_len", "block_mask", "logit_rows"):
            self._input(name, getattr(self, name))
        if manifest.adapter:
            self._input("lora_scale", self.lora_scale)
        self._output("logits", self.logits)
        for plane in range(planes):
            self._output(("new_key", "new_value")[plane % 2] + f".{plane // 2}", self.new[plane])

    def bind_past(self, past: Floats) -> None:
        """Bind (planes, batch, heads, capacity, head_dim) whose planes are contiguous; `past` must outlive the call."""
        for plane in range(len(past)):
            self._input(("past_key", "past_value")[plane % 2] + f".{plane // 2}", past[plane])

    def _input(self, name: str, array: np.ndarray[Any, Any]) -> None:
        self.io.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array))

    def _output(self, name: str, array: np.ndarray[Any, Any]) -> None:
        self.io.bind_ortvalue_output(name, ort.OrtValue.ortvalue_from_numpy(array))


class OnnxRuntimeEngine:
    """Implements `base.Engine`."""

    def __init__(self, session: ort.InferenceSession, manifest: Manifest, max_slots: int) -> None:
        self.manifest = manifest
        self.busy_seconds = 0.0
        self.calls = 0
        self._session = session
        self._slots = Slots(
            2 * manifest.num_layers, manifest.num_kv_heads, manifest.head_dim, manifest.buckets, max_slots
        )
        self._bindings: OrderedDict[tuple[int, ...], Binding] = OrderedDict()
        self._bound_bytes = 0

    @classmethod
    def open(cls, bundle: Path, *, threads: int, spin: bool, max_slots: int, device: int = 0) -> Self:
        """Load `bundle`; `threads` 0 takes every core, `spin` lets them wait for the next operator by spinning.

        They spin for SPIN_MICROSECONDS at most, and never past the end of a call. `device` means nothing here.

        Raises:
            BundleError: missing, broken, or built for another runtime or graph form.
        """
        manifest = Manifest.load(bundle)
        if (manifest.runtime, manifest.kv_form) != (RUNTIME, "delta"):
            found = f"{manifest.runtime} in {manifest.kv_form} form"
            raise BundleError(f"{bundle} was built for {found}, not {RUNTIME} in delta form. {rebuild_hint(bundle)}")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spin)))
        if spin:
            options.add_session_config_entry("session.intra_op.spin_duration_us", SPIN_MICROSECONDS)
            options.add_session_config_entry("session.force_spinning_stop", "1")
        options.log_severity_level = 3
        if manifest.precision == "int8":
            # without it products of unsigned and signed bytes saturate on processors that lack VNNI
            options.add_session_config_entry("session.x64quantprecision", "1")
        try:
            session = ort.InferenceSession(str(bundle / GRAPH), options, providers=["CPUExecutionProvider"])
        except Exception as exc:  # onnxruntime's exceptions have no base class of their own
            raise BundleError(f"{bundle / GRAPH} cannot be loaded: {exc}. {rebuild_hint(bundle)}") from exc
        _check_graph(session, manifest, bundle)
        return cls(session, manifest, max_slots)

    def allocate(self, *, block: bool) -> int:
        """Return a free slot; rows of a kind lie side by side."""
        return self._slots.allocate(block=block)

    def free(self, slot: int) -> None:
        """Give a slot back."""
        self._slots.free(slot)

    def place(self, slot: int, *, block: bool) -> None:
        """Move a slot beside those of its kind."""
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
            self._slots.reserve(row.slot, row.start + (len(row.tokens) if row.keep else 0))
        lanes = [self._slots.lane(row.slot) for row in rows]
        order = sorted(range(len(rows)), key=lanes.__getitem__)
        seq = max(len(row.tokens) for row in rows)
        wanted = _rounded(max(len(row.want) for row in rows), seq)
        first, batch = lanes[order[0]], len(rows)
        neighbours = lanes[order[-1]] - first == batch - 1
        binding = self._bound(batch, seq, wanted, first if neighbours else -1)
        gathered = None if neighbours else np.take(self._slots.data, [lanes[i] for i in order], axis=1)
        if gathered is not None:
            binding.bind_past(gathered)  # the local name keeps it alive until the call is over
        for place, index in enumerate(order):
            _fill(binding, place, rows[index])
        self._call(binding, batch, seq)
        results: list[RowResult | None] = [None] * batch
        for place, index in enumerate(order):
            row = rows[index]
            if row.keep:
                size = len(row.tokens)
                kept = binding.new[:, place, :, :size]
                self._slots.data[:, lanes[index], :, row.start : row.start + size] = kept
            results[index] = RowResult(binding.logits[place, : len(row.want)], self.manifest.mask_token_id)
        return [result for result in results if result is not None]

    def close(self) -> None:
        """Do nothing: memory goes with the object."""

    def _run_one(self, row: Row) -> RowResult:
        """Run a single row; the most frequent call of all, so it is kept short."""
        slots, size = self._slots, len(row.tokens)
        slots.reserve(row.slot, row.start + (size if row.keep else 0))
        lane = slots.lane(row.slot)
        binding = self._bound(1, size, _rounded(len(row.want), size), lane)
        _fill(binding, 0, row)
        self._call(binding, 1, size)
        if row.keep:
            slots.data[:, lane, :, row.start : row.start + size] = binding.new[:, 0]
        return RowResult(binding.logits[0, : len(row.want)], self.manifest.mask_token_id)

    def _call(self, binding: Binding, batch: int, seq: int) -> None:
        started = time.perf_counter()
        try:
            self._session.run_with_iobinding(binding.io)
        except Exception as exc:  # onnxruntime's exceptions have no base class of their own
            raise EngineError(f"the engine failed on {batch} rows of {seq} tokens: {exc}") from exc
        self.busy_seconds += time.perf_counter() - started
        self.calls += 1

    def _bound(self, batch: int, seq: int, wanted: int, first: int) -> Binding:
        """Return buffers for a call over `batch` lanes from `first` on (-1: gathered), made once per shape."""
        key = (batch, seq, wanted, first, self._slots.capacity)
        binding = self._bindings.get(key)
        if binding is None:
            binding = self._bindings[key] = Binding(self._session, self.manifest, batch, seq, wanted)
            if first >= 0:
                binding.bind_past(self._slots.data[:, first : first + batch])
            self._bound_bytes += binding.size
            while self._bound_bytes > MAX_BOUND_BYTES and len(self._bindings) > 1:
                self._bound_bytes -= self._bindings.popitem(last=False)[1].size
        self._bindings.move_to_end(key)
        return binding


def _check_graph(session: ort.InferenceSession, manifest: Manifest, bundle: Path) -> None:
    """Hold the graph against the manifest: names, and every size that the manifest fixes."""
    found = {node.name: list(node.shape) for node in [*session.get_inputs(), *session.get_outputs()]}
    expected: dict[str, list[int | None]] = {
        "input_ids": [None, None],
        "position_ids": [None, None],
        "past_len": [None],
        "block_mask": [None, None, None],
        "logit_rows": [None, None],
        "logits": [None, None, manifest.vocab_size],
    }
    if manifest.adapter:
        expected["lora_scale"] = [None]
    for layer in range(manifest.num_layers):
        for kind in ("past_key", "past_value", "new_key", "new_value"):
            expected[f"{kind}.{layer}"] = [None, manifest.num_kv_heads, None, manifest.head_dim]
    if found.keys() != expected.keys():
        other = sorted(found.keys() ^ expected.keys())
        raise BundleError(f"{bundle / GRAPH} does not have the manifest's inputs and outputs: {other[:6]}")
    for name, sizes in expected.items():
        if len(found[name]) != len(sizes) or any(b not in (None, a) for a, b in zip(found[name], sizes, strict=True)):
            raise BundleError(f"{bundle / GRAPH}: {name} is {found[name]}, the manifest says {sizes}")


def _rounded(wanted: int, seq: int) -> int:
    """Return how many rows of logits are bound where `wanted` are asked for."""
    return wanted if wanted < 2 else min(-(-wanted // LOGIT_ROWS_STEP) * LOGIT_ROWS_STEP, max(seq, wanted))


def _fill(binding: Binding, place: int, row: Row) -> None:
    """Write `row` into line `place` of the bound inputs."""
    size, seq = len(row.tokens), binding.input_ids.shape[1]
    binding.past_len[place] = row.start
    binding.lora_scale[place] = row.adapter
    if seq == 1:  # a single token always sees itself, and its only row is the one asked for
        binding.input_ids[place, 0] = row.tokens[0]
        binding.position_ids[place, 0] = row.start
        binding.block_mask[place, 0, 0] = True
        return
    binding.input_ids[place, :size] = row.tokens
    binding.input_ids[place, size:] = 0
    np.add(counted(size), row.start, out=binding.position_ids[place, :size])
    binding.position_ids[place, size:] = row.start
    mask = binding.block_mask[place]  # (seq, seq)
    if size < seq:
        mask[:] = False
    if isinstance(row.sees, np.ndarray):
        mask[:size, :size] = row.sees
    else:
        mask[:size, :size] = True if row.sees == "block" else lower_triangle(size)
    binding.logit_rows[place, : len(row.want)] = row.want
    binding.logit_rows[place, len(row.want) :] = 0
