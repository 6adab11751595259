"""Runs TensorRT calls on their one stream: remembers those whose shapes recur, and captures them as CUDA graphs.

Knows contexts, graphs and the order of copies. Knows nothing of rows, slots or what a call computes.
"""

from __future__ import annotations

import contextlib
import logging
from collections import OrderedDict

from ...bundle.manifest import Manifest
from ...errors import DeviceLostError, EngineError
from .buffers import Buffers
from .cache import DeviceCache
from .call import Call
from .cuda import Cuda
from .layout import Shape
from .plan import Context, Plan
from .windows import PREFILL

MAX_CALLS = 64
"""Shapes of calls that are remembered, and with them their CUDA graphs; the one used longest ago goes first."""
CAPTURED_AT = (2, 32, 512)
"""The uses of a shape at which it is captured, until that succeeds. The first use runs without a graph, since many
shapes come only once. What failed is tried again, for memory may be free then, but less and less often: an attempt
costs a context and a pass."""

logger = logging.getLogger(__name__)


class GraphExecutor:
    """Runs calls one at a time.

    There is a context for each profile, for calls that are not captured, and one for each captured graph: a graph
    belongs to its context's state, and changing that makes running it undefined (TensorRT's developer guide, CUDA
    graphs). They all run on one stream, one at a time, in one workspace.
    """

    def __init__(
        self, cuda: Cuda, plan: Plan, manifest: Manifest, cache: DeviceCache, buffers: Buffers, workspace: int
    ) -> None:
        """Make a context for each profile; `workspace` is the address of the bytes that the plan asks for.

        Raises:
            EngineError: TensorRT cannot make one.
        """
        assert manifest.compiled is not None
        self._cuda, self._plan, self._manifest = cuda, plan, manifest
        self._cache, self._buffers, self._workspace = cache, buffers, workspace
        self._profiles = manifest.compiled.profiles
        self._contexts = [self._context(number) for number in range(len(self._profiles))]
        self._calls: OrderedDict[Shape, Call] = OrderedDict()

    def call(self, shape: Shape) -> Call:
        """Return the call of a shape, made if it is not remembered, and note its use."""
        call = self._calls.get(shape)
        if call is None:
            caches = [self._cache.address(plane, shape.first) for plane in range(2 * self._manifest.num_layers)]
            call = self._calls[shape] = Call(shape, self._buffers, self._plan.host_types, self._manifest, caches)
            if len(self._calls) > MAX_CALLS:
                self._drop(self._calls.popitem(last=False)[1])
        self._calls.move_to_end(shape)
        return call

    def execute(self, call: Call) -> None:
        """Run a filled call and wait for it; capture it if it came before."""
        if call.graph is not None:
            self._cuda.launch(call.graph)
            self._cuda.wait()
            return
        call.uses += 1
        profile = call.shape.profile
        capture = call.uses in CAPTURED_AT and self._profiles[profile].name != PREFILL
        context = self._contexts[profile]
        if capture:
            try:
                context = self._context(profile, captured=True)
            except EngineError as exc:  # no room for another, perhaps: graphs that exist stay
                capture = False
                self._failed(call, exc)
        if context.bound is not call:
            context.bind(call.shapes, call.addresses)
            context.bound = call
        self._enqueue(call, context)  # a new context's first pass must not be one that is captured
        self._cuda.wait()
        if capture:
            self._capture(call, context)
            if call.graph is not None:
                self._plan.keep_kernels()  # now: tritonserver may be killed, and its stub with it

    def close(self) -> None:
        """Release graphs, then contexts. A device that failed frees its memory with the process."""
        with contextlib.suppress(EngineError):
            self._cuda.use()
            self._cuda.wait()
            while self._calls:
                self._drop(self._calls.popitem()[1])
        self._calls.clear()
        self._contexts.clear()

    def _drop(self, call: Call) -> None:
        """Free what was captured of a call: the graph before the context that it belongs to."""
        if call.graph is not None:
            self._cuda.forget(call.graph)
        call.graph = call.context = None

    def _enqueue(self, call: Call, context: Context) -> None:
        """Enqueue the inputs in one copy, the pass, and the choices in one copy."""
        cuda, buffers = self._cuda, self._buffers
        cuda.upload(buffers.inputs, buffers.host_inputs.ctypes.data, call.input_bytes)
        context.enqueue(cuda.stream)
        cuda.download(buffers.host_choices.ctypes.data, buffers.choices, call.choice_bytes)

    def _capture(self, call: Call, context: Context) -> None:
        """Record a call that has just run as a graph; one that cannot be recorded runs without."""
        try:
            call.graph = self._cuda.capture(lambda: self._enqueue(call, context))
            call.context = context
        except EngineError as exc:
            self._failed(call, exc)

    def _failed(self, call: Call, cause: EngineError) -> None:
        if isinstance(cause, DeviceLostError):
            raise cause
        later = [use for use in CAPTURED_AT if use > call.uses]
        again = f"until use {later[0]}" if later else "from now on"
        logger.warning("calls of one shape run without a CUDA graph %s: %s", again, cause)

    def _context(self, profile: int, *, captured: bool = False) -> Context:
        return self._plan.context(profile, self._cuda.stream, self._workspace, captured=captured)
