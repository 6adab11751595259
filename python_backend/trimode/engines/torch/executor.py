"""Runs passes one after another: remembers their shapes, and captures a fixed list of them as CUDA graphs at the start.

Knows the order of copies and where logits lie. Knows nothing of rows or slots.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from functools import partial

from torch import Tensor

from ...bundle.manifest import Manifest
from .cache import Cache
from .call import Call
from .device import Device
from .network import Network
from .windows import Shape

MAX_CALLS = 64
"""Shapes outside the fixed list that are remembered; the one used longest ago goes first."""


class Executor:
    """The network over one cache, one call at a time.

    Logits are written to one buffer that all calls share, so they are there until the next call; a call with more rows
    than it holds has a buffer of its own.
    """

    def __init__(self, device: Device, network: Network, cache: Cache, manifest: Manifest, rows: int) -> None:
        """Allocate room for `rows` rows of logits."""
        self._device, self._network, self._cache = device, network, cache
        self._vocab = manifest.vocab_size
        self._logits = device.zeros((rows, manifest.vocab_size), network.dtype)
        self._captured: dict[Shape, Call] = {}
        self._others: OrderedDict[Shape, Call] = OrderedDict()

    def capture(self, shapes: Iterable[Shape]) -> None:
        """Capture `shapes`, the largest first, so that the smaller ones fit the memory it took. All slots are free."""
        for shape in sorted(shapes, key=lambda one: one.batch * one.seq * one.length, reverse=True):
            call = self._captured[shape] = Call(shape, self._device)
            call.run = self._device.capture(partial(self._enqueue, call))
        self._device.wait()

    def call(self, shape: Shape, *, fixed: bool = True) -> Call:
        """Return the call of a shape, made if it is not remembered; a captured one only if its inputs are `fixed`."""
        if fixed and (captured := self._captured.get(shape)) is not None:
            return captured
        call = self._others.get(shape)
        if call is None:
            call = self._others[shape] = Call(shape, self._device)
            if len(self._others) > MAX_CALLS:
                self._others.popitem(last=False)
        self._others.move_to_end(shape)
        return call

    def execute(self, call: Call) -> Tensor:
        """Run a filled call and wait for it; return its logits, a view  # (B, R, V) in the model's type."""
        if call.run is not None:
            call.run()
        else:
            self._enqueue(call)
        self._device.count_download(call.arrived.nbytes)
        self._device.wait()
        logits = call.logits
        assert logits is not None
        if call.run is None:
            call.logits = None  # a buffer of its own must go with its result
        return logits

    def _enqueue(self, call: Call) -> None:
        """Enqueue the inputs in one copy, the pass, and the choices in one copy."""
        shape = call.shape
        logits = call.logits = self._room(shape)
        self._device.upload(call.there, call.host)
        self._network.forward(
            call.inputs, self._cache.lanes_from(shape.first, shape.batch), shape.length, logits, call.shown
        )
        self._network.choose(logits.view(-1, self._vocab), call.choices)
        self._device.download(call.arrived, call.chosen)

    def _room(self, shape: Shape) -> Tensor:
        count = shape.batch * shape.rows
        if count <= len(self._logits):
            return self._logits[:count].view(shape.batch, shape.rows, self._vocab)
        return self._device.zeros((shape.batch, shape.rows, self._vocab), self._network.dtype)
