"""Random calls of the torch engine on this device, each also made on the processor by the same code; and rows alone.

Slots come and go; rows are of all kinds, rolled back, kept or not, in every combination. The shipped checkpoint in
float32. Knows nothing of modes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..common import NANO
from .needs import Unavailable, imported

SLOTS, CAPACITY, CALLS = 6, 512, 300
SIZES = (1, 1, 1, 2, 8, 20, 32, 40)  # tokens of a row
TOLERANCE = 1e-4  # of the largest logit of a row: float32 sums in another order
NEEDED = ("numpy", "trimode.engines.torch.engine", "trimode_convert.bundle.torch_bundle")


def compare(device: str, calls: int = CALLS, over: Callable[[], bool] = lambda: False) -> dict[str, Any]:
    """Return the largest differences, as shares of the largest logit, or why there are none.

    Makes fewer calls than `calls` where the time is `over`, which is asked before each; the answer says how many.

    `largest` is against the processor, `alone` against the same row in a call of its own, of rows that are not kept.
    """
    try:
        imported(*NEEDED)
        twins = Twins.open(device)
    except Unavailable as exc:
        return {"skipped": str(exc)}
    made = 0
    try:
        while made < calls and not over():
            twins.call(made)
            made += 1
    except Exception as exc:  # whatever a library raises must not cost the others' results
        return {"failed": f"{type(exc).__name__}: {exc}"}
    found: dict[str, Any] = {"calls": made, "rows": twins.rows, "largest": twins.largest, "alone": twins.alone}
    if not max(twins.largest, twins.alone) <= TOLERANCE:
        found["failed"] = f"differences of {twins.largest:.1e} and {twins.alone:.1e}, at most {TOLERANCE:g}"
    return found


@dataclass
class Twins:
    """The engine on the device and that on the processor, which are asked the same."""

    engine: Any
    twin: Any
    rng: Any
    held: dict[int, int] = field(default_factory=dict)
    """Entries of each slot that is taken; both engines gave it the same number."""
    rows: int = 0
    largest: float = 0.0
    alone: float = 0.0

    @classmethod
    def open(cls, device: str) -> Twins:
        """Open both over one bundle of links."""
        import numpy as np
        import torch

        torch.set_float32_matmul_precision("highest")  # TF32 products are not float32
        with tempfile.TemporaryDirectory(prefix="trimode-gpu-check-") as scratch:
            bundle = Path(scratch) / "bundle"
            with imported("trimode_convert.checkpoint.checkpoint").Checkpoint.open(NANO) as opened:
                draft = imported("trimode_convert.bundle.torch_bundle").outline(opened, "float32", capacity=CAPACITY)
                draft.write(bundle)
            engine, twin = (open_on(kind, bundle) for kind in (device, "cpu"))
        return cls(engine, twin, np.random.default_rng(0))

    def call(self, number: int) -> None:
        """Take or give back a slot now and then, then run rows of random slots on both."""
        if len(self.held) < SLOTS and (number % 7 == 0 or not self.held):
            block = bool(self.rng.integers(2))
            slots = {engine.allocate(block=block) for engine in (self.engine, self.twin)}
            assert len(slots) == 1, "both engines give slots in the same order"
            self.held[slots.pop()] = 0
        elif number % 11 == 0:
            slot = int(self.rng.choice(list(self.held)))
            for engine in (self.engine, self.twin):
                engine.free(slot)
            del self.held[slot]
        chosen = [slot for slot in self.held if self.rng.random() < 0.7]
        if rows := [self._row(slot) for slot in chosen]:
            self._run(rows)

    def _row(self, slot: int) -> Any:
        import numpy as np

        manifest, size = self.engine.manifest, int(self.rng.choice(SIZES))
        held = self.held[slot] if self.held[slot] + size < CAPACITY else 0
        start = int(self.rng.integers(max(0, held - 6), held + 1))
        keep = bool(self.rng.random() < 0.6)
        sees = "causal" if keep or self.rng.random() < 0.5 else "block"
        tokens = self.rng.integers(0, manifest.vocab_size, size)
        adapter = bool(manifest.adapter and self.rng.random() < 0.3)
        row = imported("trimode.engines.base").Row
        return row(slot, tokens, start, sees, np.arange(size), keep=keep, adapter=adapter)

    def _run(self, rows: list[Any]) -> None:
        # Logits are gone after the next run, so they are copied.
        here, there = ([one.logits.copy() for one in engine.run(rows)] for engine in (self.engine, self.twin))
        for row, ours, theirs in zip(rows, here, there, strict=True):
            self.rows += 1
            self.largest = max(self.largest, _difference(ours, theirs))
            if row.keep:
                self.held[row.slot] = row.start + len(row.tokens)
            else:
                self.alone = max(self.alone, _difference(self.engine.run([row])[0].logits, ours))


def open_on(kind: str, bundle: Path) -> Any:
    """Return the torch engine over a bundle on the device of a kind."""
    import torch
    from trimode.bundle.manifest import Manifest
    from trimode.bundle.tensor_index import TensorIndex
    from trimode.engines.torch.device import Device
    from trimode.engines.torch.engine import TorchEngine
    from trimode.engines.torch.memory import entries_of
    from trimode.engines.torch.network import Network
    from trimode.engines.torch.weights import Weights

    manifest, index, device = Manifest.load(bundle), TensorIndex.load(bundle), Device(torch.device(kind))
    with device.active():
        weights = Weights.load(bundle, manifest, index, device.device, torch.float32, fp8=False)
        network = Network(weights, manifest, index, entries_of(manifest))
    return TorchEngine(device, network, manifest, SLOTS)


def _difference(ours: Any, theirs: Any) -> float:
    """Return the largest difference of logits over the largest of them; infinite where one is no number."""
    import numpy as np

    away = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    return away if np.isfinite(away) else float("inf")
