"""The TensorRT engine: rows go into calls over the cache on a GPU, and their choices come back.

Ties together the plan, the cache, the windows (which rows share a call and where they write), the executor that runs
calls and the store of their logits. Knows no function of CUDA or of TensorRT.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from ...bundle.manifest import PLAN, Manifest, rebuild_hint
from ...errors import BundleError, DeviceLostError, EngineError
from ..base import Floats, Row, RowResult
from ..device_result import DeviceResult
from ..options import MaxSlots
from ..window import Window
from .buffers import Buffers
from .cache import DeviceCache
from .cuda import Cuda
from .executor import GraphExecutor
from .forms import PlanForm
from .layout import Shape
from .logits import LogitsStore
from .memory import Need, check_plan, slots_of
from .plan import Plan, TensorRt
from .tower import tower_bytes
from .windows import Windows

logger = logging.getLogger(__name__)

RUNTIME = "tensorrt"
HALF_EXPONENT = np.uint16(0x7C00)
"""The bits that are all set in a float16 that is not finite; in a bfloat16 no number below 2**121 has them all set."""


class TensorRtEngine:
    """Implements `base.Engine`. `busy_seconds` includes the copies to and from the GPU."""

    in_host_memory = False

    def __init__(self, cuda: Cuda, plan: Plan, need: Need, manifest: Manifest, slots: int) -> None:
        """Allocate everything that a pass needs; `open` checks before that it fits.

        Raises:
            EngineError: a CUDA or TensorRT call failed.
        """
        assert manifest.compiled is not None
        self.manifest = manifest
        self.slots = slots
        self.busy_seconds = 0.0
        self.calls = 0
        self._cuda, self._plan = cuda, plan
        self._profiles = manifest.compiled.profiles
        self._cache = DeviceCache(
            cuda,
            planes=2 * manifest.num_layers,
            lanes=slots,
            heads=manifest.num_kv_heads,
            capacity=manifest.capacity,
            entry_bytes=manifest.head_dim * plan.cache_bytes,
        )
        self._windows = Windows(manifest, self._cache)
        buffers = Buffers.allocate(cuda, need, slots)
        self._logits = LogitsStore(cuda, buffers, manifest)
        workspace = cuda.allocate(need.workspace)
        self._executor = GraphExecutor(cuda, plan, manifest, self._cache, buffers, workspace)
        cuda.wait()

    @classmethod
    def open(
        cls, bundle: Path, *, threads: int, spin: bool, max_slots: MaxSlots, device: int = 0, on_gpu: bool = False
    ) -> Self:
        """Load `bundle` on GPU number `device`; `threads` and `spin` are for engines on the CPU and have no effect.

        Nor has `on_gpu`: it runs on a GPU always.

        Raises:
            BundleError: TensorRT, cuda-python, driver or GPU is missing or is not what the plan was compiled for, the
                plan is broken, or the GPU's memory is too small; the text says what to install or how to rebuild.
        """
        manifest = Manifest.load(bundle)
        manifest.check_runtime(bundle, runtime=RUNTIME, kv_form="scatter")
        if manifest.compiled is None:
            raise BundleError(f"{bundle} holds the graph and no {PLAN}. {rebuild_hint(bundle, manifest)}")
        tensorrt = TensorRt.load(manifest.compiled.flavour, bundle, manifest.compiled.version)
        try:
            cuda = Cuda.open(device)
        except EngineError as exc:
            raise BundleError(f"{bundle} runs on an NVIDIA GPU: {exc}") from exc
        plan: Plan | None = None
        try:
            other = manifest.check_device(
                bundle,
                flavour=manifest.compiled.flavour,
                version=tensorrt.version,
                compute_capability=cuda.compute_capability,
                device=cuda.facts,
            )
            if other is not None:
                logger.warning("%s: %s; build it here for the kernels that are quickest on it", bundle / PLAN, other)
            check_plan(bundle, manifest, cuda.memory())
            tower = 0 if manifest.vision is None else tower_bytes(tensorrt, bundle, manifest)
            plan = Plan.load(tensorrt, bundle, manifest, PlanForm.of_text(manifest))
            sizes = {"cache_bytes": plan.cache_bytes, "workspace": plan.workspace, "tower": tower}
            need = Need.of(manifest, plan.host_types, **sizes)
            slots = slots_of(bundle, manifest, need, max_slots, cuda.memory())
            return cls(cuda, plan, need, manifest, slots)
        except BaseException as exc:
            _release(plan, cuda)
            if isinstance(exc, EngineError):
                raise BundleError(f"{bundle}: {exc}. {rebuild_hint(bundle, manifest)}") from exc
            raise

    def allocate(self, *, block: bool) -> int:
        """Return a free slot; slots of blocks lie near each other, and so do those of single tokens."""
        return self._cache.allocate(block=block)

    def free(self, slot: int) -> None:
        """Give a slot back."""
        self._cache.free(slot)

    def place(self, slot: int, *, block: bool) -> None:
        """Move a slot to the side of blocks, or to that of single tokens, if there is a free lane nearer to it."""
        self._cache.place(slot, block=block)

    def copy_out(self, slot: int, start: int, count: int) -> Floats:
        """Return (planes, heads, count, bytes / 4): the bytes of a slot's entries, whatever their type is.

        Raises:
            EngineError: they are not finite.
        """
        entries = self._cache.copy_out(slot, start, count)
        if self._cache.doubts(slot) and not _finite(entries, self._plan.cache_bytes):
            raise EngineError(f"the entries of slot {slot} are not finite")
        return entries

    def copy_in(self, slot: int, start: int, entries: Floats) -> None:
        """Put what `copy_out` returned into a slot."""
        self._cache.copy_in(slot, start, entries)

    @property
    def capacity(self) -> int:
        """Entries that a call over the fullest slot reads."""
        return self._windows.bucket(self._cache.longest)

    def run(self, rows: Sequence[Row]) -> list[RowResult]:
        """Run `rows`, in one compiled call where their lanes, their lengths and the plan's profiles allow it.

        Where several calls are needed, logits are set aside on the GPU after each but the last: the next call writes
        over them.

        Raises:
            EngineError: a row fits neither the capacity nor any profile, or a call failed. The entries of a slot
                before its row's `start` are unchanged.
        """
        for row in rows:
            if (length := row.start + len(row.tokens)) > self._cache.capacity:
                limit = f"the engine's capacity of {self._cache.capacity}"
                raise EngineError(f"a sequence of {length} tokens exceeds {limit}")
        self._cuda.use()
        self._logits.begin_run()
        if (window := self._windows.over(rows)) is not None:
            return list(self._pass(window, rows))
        found: dict[int, RowResult] = {}
        groups = self._windows.groups(rows)
        for group in groups:
            members = [rows[index] for index in group]
            if (window := self._windows.over(members)) is None:
                alone = self._alone(members[0])
                alone.outlive()
                results = [alone]
            else:
                results = self._pass(window, members)
                if group is not groups[-1]:
                    self._logits.set_aside(window, members, results)
            found.update(zip(group, results, strict=True))
        return [found[index] for index in range(len(rows))]

    def close(self) -> None:
        """Release graphs, contexts, engine and memory, in this order. A second call does nothing."""
        if self._cuda.closed:
            return
        self._executor.close()
        _release(self._plan, self._cuda)

    def _alone(self, row: Row) -> DeviceResult:
        """Run a row that does not fit one call: cut it, or make room in its slot for a pass that is not kept."""
        if (window := self._windows.over([row])) is not None:
            return self._pass(window, [row])[0]
        held = self._cache.held(row.slot)
        pieces = self._windows.pieces(row)
        if len(pieces) == 1 and not row.keep and row.start < held:
            kept = self._cache.copy_out(row.slot, row.start, held - row.start)
            self._cache.hold(row.slot, row.start)
            try:
                result = self._alone(row)
                result.outlive()
                return result
            finally:
                self._cache.copy_in(row.slot, row.start, kept)
        if len(pieces) == 1:
            known = ", ".join(f"{p.name} up to {p.seq[2]} tokens, {p.rows[2]} rows" for p in self._profiles)
            asked = f"{len(row.tokens)} tokens and {len(row.want)} rows of logits"
            raise EngineError(f"no profile of the plan holds a pass of {asked}: {known}")
        logits = np.empty((len(row.want), self.manifest.vocab_size), dtype=np.float32)
        top_id, top_prob = np.empty(len(row.want), np.int64), np.empty(len(row.want), np.float32)
        for answered, piece in pieces:
            result = self._alone(piece)
            if len(answered):
                logits[answered], top_id[answered] = result.logits, result.top_id
                top_prob[answered] = result.top_prob
        return DeviceResult(top_id, top_prob, lambda: logits, self.manifest.mask_token_id)

    def _pass(self, window: Window[Shape], rows: Sequence[Row]) -> list[DeviceResult]:
        """Run one compiled call; results in the order of `rows`."""
        call = self._executor.call(window.shape)
        window.write(rows, call, singles=window.shape.seq == 1 and not window.shape.images)
        began = time.perf_counter()
        try:
            self._executor.execute(call)
        except Exception as exc:
            for row in rows:
                self._cache.doubt(row)
            if isinstance(exc, EngineError) and not isinstance(exc, DeviceLostError):
                self._cuda.wait()  # TensorRT does not say why it refuses a pass: CUDA does, where the GPU is lost
            raise
        self.busy_seconds += time.perf_counter() - began
        self.calls += 1
        results = self._logits.results(call, window, rows)
        for row, result in zip(rows, results, strict=True):
            self._cache.passed(row, finite=result.finite)
        return results


def _finite(entries: Floats, value_bytes: int) -> bool:
    """Whether numbers of 2 or 4 bytes, given as the bytes of float32, are all finite."""
    if value_bytes == 4:
        return bool(np.isfinite(entries).all())
    halves = entries.view(np.uint16) & HALF_EXPONENT
    return bool((halves != HALF_EXPONENT).all())


def _release(plan: Plan | None, cuda: Cuda) -> None:
    """Release the plan, then the memory and the stream."""
    if plan is not None:
        plan.close()
    cuda.close()
