"""The TensorRT engine: a plan on a GPU, its cache in place, CUDA graphs of the calls that recur.

Ties together the plan (plan.py), the cache (device_cache.py), who shares a call and writes where (windows.py) and the
buffers (call.py); every call to CUDA is in cuda.py.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np

from ...bundle.manifest import PLAN, Manifest, rebuild_hint
from ...errors import BundleError, EngineError
from ..base import Floats, Ints, Row, RowResult
from .cache import DeviceCache
from .call import Buffers, Call, Shape
from .cuda import Cuda, Pitched
from .memory import Need, check_plan, check_slots
from .plan import Context, Plan, TensorRt
from .windows import PREFILL, Window, Windows

RUNTIME = "tensorrt"
MAX_CALLS = 64
"""Shapes of calls that are remembered, and with them their CUDA graphs; the one used longest ago goes first."""
CAPTURED_AT = 2
"""The use at which a shape is captured: the first runs as it is, for many shapes never come again."""

logger = logging.getLogger(__name__)


class DeviceResult(RowResult):
    """What one row asked for. Its logits stay on the GPU unless they are looked at, before the next call."""

    def __init__(self, top_id: Ints, top_prob: Floats, fetch: Callable[[], Floats], mask_token_id: int) -> None:
        super().__init__(NOTHING, mask_token_id)
        self._top_id, self._top_prob = top_id, top_prob
        self._fetch: Callable[[], Floats] | None = fetch

    @property
    def logits(self) -> Floats:
        """(R, V), as the model gives them, copied from the GPU when first asked for.

        Raises:
            EngineError: another call has run since.
        """
        if self._fetch is not None:
            self._logits, self._fetch = self._fetch(), None
        return self._logits

    @property
    def top_id(self) -> Ints:
        """(R,) most likely token of each row, the mask id left out; chosen on the GPU."""
        assert self._top_id is not None
        return self._top_id

    def best(self, row: int) -> int:
        """The entry of `top_id` for one row."""
        return int(self.top_id[row])

    @property
    def top_prob(self) -> Floats:
        """(R,) probability of `top_id` under the whole softmax, the mask id included."""
        return self._top_prob

    def outlive(self) -> None:
        """Copy the logits to where the next call does not reach them."""
        self._logits = self.logits.copy()

    def moved(self, fetch: Callable[[], Floats]) -> None:
        """Say where the logits are from now on."""
        self._fetch = fetch


NOTHING = np.empty((0, 0), dtype=np.float32)


class TensorRtEngine:
    """Implements `base.Engine`. `busy_seconds` includes the copies to and from the GPU.

    There is a context for each profile, for calls that are not captured, and one for each captured graph: a graph is
    of its context's state, and changing that makes running it undefined (TensorRT's developer guide, CUDA graphs). They
    all run on one stream, one at a time, in one workspace.
    """

    def __init__(self, cuda: Cuda, plan: Plan, need: Need, manifest: Manifest, max_slots: int) -> None:
        """Allocate everything that a pass needs; `open` checks before that it fits.

        Raises:
            EngineError: a CUDA or TensorRT call failed.
        """
        assert manifest.compiled is not None
        self.manifest = manifest
        self.busy_seconds = 0.0
        self.calls = self._runs = 0
        self._cuda, self._plan = cuda, plan
        self._profiles = manifest.compiled.profiles
        self._cache = DeviceCache(
            cuda,
            planes=2 * manifest.num_layers,
            lanes=max_slots,
            heads=manifest.num_kv_heads,
            capacity=manifest.capacity,
            entry_bytes=manifest.head_dim * plan.cache_bytes,
        )
        self._windows = Windows(manifest, self._cache)
        self._buffers = Buffers(
            inputs=cuda.allocate(need.inputs),
            choices=cuda.allocate(need.choices),
            logits=cuda.allocate(need.logits),
            kept=cuda.allocate(max_slots * need.kept),
            host_inputs=cuda.pin(need.inputs),
            host_choices=cuda.pin(need.choices),
            host_logits=cuda.pin(need.logits),
        )
        self._logits = self._buffers.host_logits.view(np.float32)
        self._workspace = cuda.allocate(need.workspace)
        self._contexts = [self._context(number) for number in range(len(self._profiles))]
        self._calls: OrderedDict[Shape, Call] = OrderedDict()
        self._captures = True
        cuda.wait()

    @classmethod
    def open(cls, bundle: Path, *, threads: int, spin: bool, max_slots: int, device: int = 0) -> Self:
        """Load `bundle` on GPU number `device`; `threads` and `spin` are of the CPU's engine and change nothing.

        Raises:
            BundleError: TensorRT, cuda-python, driver or GPU is missing or is not what the plan was compiled for, the
                plan is broken, or the GPU's memory too small; says what to install or how to rebuild.
        """
        manifest = Manifest.load(bundle)
        if (manifest.runtime, manifest.kv_form) != (RUNTIME, "scatter"):
            found = f"{manifest.runtime} in {manifest.kv_form} form"
            raise BundleError(f"{bundle} was built for {found}, not {RUNTIME} in scatter form. {rebuild_hint(bundle)}")
        if manifest.compiled is None:
            raise BundleError(f"{bundle} holds the graph and no {PLAN}. {rebuild_hint(bundle, manifest)}")
        tensorrt = TensorRt.load(manifest.compiled.flavour, bundle, manifest.compiled.version)
        try:
            cuda = Cuda.open(device)
        except EngineError as exc:
            raise BundleError(f"{bundle} runs on an NVIDIA GPU: {exc}") from exc
        plan: Plan | None = None
        try:
            manifest.check_device(
                bundle,
                flavour=manifest.compiled.flavour,
                version=tensorrt.version,
                compute_capability=cuda.compute_capability,
            )
            check_plan(bundle, manifest, cuda.memory())
            plan = Plan.load(tensorrt, bundle, manifest)
            need = Need.of(manifest, plan.host_types, cache_bytes=plan.cache_bytes, workspace=plan.workspace)
            check_slots(bundle, manifest, need, max_slots, cuda.memory())
            return cls(cuda, plan, need, manifest, max_slots)
        except BaseException as exc:
            _release(plan, cuda)
            if isinstance(exc, EngineError):
                raise BundleError(f"{bundle}: {exc}. {rebuild_hint(bundle, manifest)}") from exc
            raise

    def allocate(self, *, block: bool) -> int:
        """Return a free slot; rows of a kind lie near each other."""
        return self._cache.allocate(block=block)

    def free(self, slot: int) -> None:
        """Give a slot back."""
        self._cache.free(slot)

    def place(self, slot: int, *, block: bool) -> None:
        """Move a slot towards those of its kind where there is a free lane."""
        self._cache.place(slot, block=block)

    def copy_out(self, slot: int, start: int, count: int) -> Floats:
        """Return (planes, heads, count, bytes / 4): the bytes of a slot's entries, whatever type they have."""
        return self._cache.copy_out(slot, start, count)

    def copy_in(self, slot: int, start: int, entries: Floats) -> None:
        """Put what `copy_out` returned into a slot."""
        self._cache.copy_in(slot, start, entries)

    @property
    def capacity(self) -> int:
        """Entries that a call over the fullest slot reads."""
        return self._windows.bucket(self._cache.longest)

    def run(self, rows: Sequence[Row]) -> list[RowResult]:
        """Run `rows`, in one compiled call where their lanes, their lengths and the plan's profiles allow it.

        Where several are needed, logits are set aside on the GPU after each but the last: the next writes over them.

        Raises:
            EngineError: a row fits neither the capacity nor any profile, or a call failed. What a slot holds before
                its row's `start` is as it was.
        """
        for row in rows:
            if (length := row.start + len(row.tokens)) > self._cache.capacity:
                limit = f"the engine's capacity of {self._cache.capacity}"
                raise EngineError(f"a sequence of {length} tokens exceeds {limit}")
        self._cuda.use()
        self._runs += 1
        if (window := self._windows.over(rows)) is not None:
            return list(self._pass(window, rows))
        found: dict[int, RowResult] = {}
        aside, groups = 0, self._windows.groups(rows)
        for group in groups:
            members = [rows[index] for index in group]
            if (window := self._windows.over(members)) is None:
                alone = self._alone(members[0])
                alone.outlive()
                results = [alone]
            else:
                results = self._pass(window, members)
                if group is not groups[-1]:
                    aside = self._set_aside(window, members, results, aside)
            found.update(zip(group, results, strict=True))
        return [found[index] for index in range(len(rows))]

    def close(self) -> None:
        """Release graphs, contexts, engine and memory, in this order. A second call does nothing."""
        if self._cuda.closed:
            return
        with contextlib.suppress(EngineError):  # a device that failed frees its memory with the process
            self._cuda.use()
            self._cuda.wait()
            while self._calls:
                self._drop(self._calls.popitem()[1])
        self._calls.clear()
        self._contexts.clear()
        _release(self._plan, self._cuda)

    def _alone(self, row: Row) -> DeviceResult:
        """Run a row that no one call can: cut it, or make room in its slot for a pass that is not kept."""
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
        for places, piece in pieces:
            result = self._alone(piece)
            if len(places):
                logits[places], top_id[places], top_prob[places] = result.logits, result.top_id, result.top_prob
        return DeviceResult(top_id, top_prob, lambda: logits, self.manifest.mask_token_id)

    def _pass(self, window: Window, rows: Sequence[Row]) -> list[DeviceResult]:
        """Run one compiled call; results in the order of `rows`."""
        call = self._call(window.shape)
        for place, write in enumerate(window.writes):
            index = window.members.get(place)
            if index is None:
                call.idle(place, write)
            else:
                call.fill(place, rows[index], write)
        began = time.perf_counter()
        self._execute(call)
        self.busy_seconds += time.perf_counter() - began
        self.calls += 1
        results = []
        places = window.places
        for index, row in enumerate(rows):
            place, count = places[index], len(row.want)
            if row.keep:
                self._cache.hold(row.slot, row.start + len(row.tokens))
            fetch = partial(self._fetch, self.calls, place * window.shape.rows, count)
            ids, probs = call.top_id[place, :count].astype(np.int64), call.top_prob[place, :count].copy()
            results.append(DeviceResult(ids, probs, fetch, self.manifest.mask_token_id))
        return results

    def _fetch(self, number: int, first: int, count: int) -> Floats:
        """Return (count, V) from row `first` of the logits of call `number`, a view of page-locked memory."""
        if number != self.calls:
            raise EngineError(f"the logits of call {number} are gone: {self.calls} calls have run")
        size = self.manifest.vocab_size
        view = self._logits[first * size : (first + count) * size].reshape(count, size)
        if count:
            self._cuda.use()
            self._cuda.download(view.ctypes.data, self._buffers.logits + 4 * first * size, view.nbytes)
            self._cuda.wait()
        return view

    def _set_aside(self, window: Window, rows: Sequence[Row], results: Sequence[DeviceResult], aside: int) -> int:
        """Copy a call's logits, on the GPU, behind the `aside` rows that are kept; return how many are kept now."""
        width, places = 4 * self.manifest.vocab_size, window.places
        for index, (row, result) in enumerate(zip(rows, results, strict=True)):
            if not (count := len(row.want)):
                continue
            source = Pitched(self._buffers.logits + places[index] * window.shape.rows * width, width, count)
            target = Pitched(self._buffers.kept + aside * width, width, count)
            self._cuda.move_box(target, source, (width, count, 1))
            result.moved(partial(self._fetch_kept, self._runs, target))
            aside += count
        return aside

    def _fetch_kept(self, run: int, kept: Pitched) -> Floats:
        """Return (count, V) of what was set aside in `run`, the count of runs up to it."""
        if run != self._runs:
            raise EngineError(f"the logits of run {run} are gone: there were {self._runs}")
        view = self._logits[: kept.rows * self.manifest.vocab_size].reshape(kept.rows, -1)
        self._cuda.use()
        self._cuda.download(view.ctypes.data, kept.address, view.nbytes)
        self._cuda.wait()
        return view.copy()  # another one's are copied to the same place

    def _call(self, shape: Shape) -> Call:
        """Return the call of a shape, made once, and note its use."""
        call = self._calls.get(shape)
        if call is None:
            caches = [self._cache.address(plane, shape.first) for plane in range(2 * self.manifest.num_layers)]
            call = self._calls[shape] = Call(shape, self._buffers, self._plan.host_types, self.manifest, caches)
            if len(self._calls) > MAX_CALLS:
                self._drop(self._calls.popitem(last=False)[1])
        self._calls.move_to_end(shape)
        return call

    def _drop(self, call: Call) -> None:
        """Free what was captured of a call: the graph before the context that it is of."""
        if call.graph is not None:
            self._cuda.forget(call.graph)
        call.graph = call.context = None

    def _execute(self, call: Call) -> None:
        """Run a filled call and wait for it; capture it when it has recurred."""
        if call.graph is not None:
            self._cuda.launch(call.graph)
            self._cuda.wait()
            return
        call.uses += 1
        profile = call.shape.profile
        recurs = call.uses >= CAPTURED_AT and self._profiles[profile].name != PREFILL
        capture = recurs and self._captures
        context = self._contexts[profile]
        if capture:
            try:
                context = self._context(profile)
            except EngineError as exc:  # no room for another: what is captured stays, the rest runs without
                self._captures = capture = False
                logger.warning("calls run without further CUDA graphs: %s", exc)
        if context.bound is not call:
            context.bind(call.shapes, call.addresses)
            context.bound = call
        self._enqueue(call, context)  # a new context's first pass must not be one that is captured
        self._cuda.wait()
        if capture:
            self._capture(call, context)

    def _enqueue(self, call: Call, context: Context) -> None:
        """Put on the stream: inputs in one copy, the pass, choices in one copy."""
        cuda, buffers = self._cuda, self._buffers
        cuda.upload(buffers.inputs, buffers.host_inputs.ctypes.data, call.input_bytes)
        context.enqueue(cuda.stream)
        cuda.download(buffers.host_choices.ctypes.data, buffers.choices, call.choice_bytes)

    def _capture(self, call: Call, context: Context) -> None:
        """Record a call that has just run as a graph; a plan that cannot be recorded runs without."""
        try:
            call.graph = self._cuda.capture(lambda: self._enqueue(call, context))
            call.context = context
        except EngineError as exc:
            self._captures = False
            logger.warning("calls run without CUDA graphs: %s", exc)

    def _context(self, profile: int) -> Context:
        return self._plan.context(profile, self._cuda.stream, self._workspace)


def _release(plan: Plan | None, cuda: Cuda) -> None:
    """Let the plan go, then the memory and the stream."""
    if plan is not None:
        plan.close()
    cuda.close()
