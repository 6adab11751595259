"""How many slots the torch engine has: as many as asked for, or as many as fit; and the refusal of more."""

from __future__ import annotations

from pathlib import Path

import pytest
from trimode.bundle.tensor_index import TensorIndex
from trimode.config import ServerConfig
from trimode.engines import slot_memory
from trimode.engines.registry import open_engine
from trimode.engines.slot_memory import GB, HOST_RESERVE
from trimode.engines.torch.device import Device
from trimode.engines.torch.memory import RESERVE, entries_of, need, slots
from trimode.engines.torch.types import TYPES
from trimode.errors import BundleError
from trimode.runtime import Runtime

from tests.torch.conftest import Linked, Opened

BUNDLE = Path("bundle")


def test_what_a_slot_takes(opened: Opened, linked: Linked, parity_kit: Path) -> None:
    engine = opened("plain", "bfloat16", max_slots=3)
    bundle = linked(parity_kit / "checkpoints" / "plain", "bfloat16", 256)
    each, _ = need(engine.manifest, TensorIndex.load(bundle), TYPES["bfloat16"])
    assert engine._cache.data.shape[3] == entries_of(engine.manifest)
    logits = engine._executor._logits
    assert 3 * each == engine._cache.data.nbytes + logits.nbytes + 4 * logits.numel()


def test_slots_that_do_not_fit_are_refused_with_the_number_that_does(opened: Opened) -> None:
    manifest = opened("plain").manifest
    free = (RESERVE + 9 * GB, 80 * GB)
    assert slots(BUNDLE, manifest, 4, (2 * GB, GB), free) == 4
    assert slots(BUNDLE, manifest, "auto", (2 * GB, GB), free) == 4
    words = r"max_slots 5 needs 10\.00 GB .* Lower max_slots \(TRIMODE_MAX_SLOTS\) to 4, or set it to auto"
    with pytest.raises(BundleError, match=words):
        slots(BUNDLE, manifest, 5, (2 * GB, GB), free)
    for asked in (1, "auto"):
        with pytest.raises(BundleError, match=f"max_slots {asked} needs 2.00 GB .* Not even one slot fits"):
            slots(BUNDLE, manifest, asked, (2 * GB, GB), (RESERVE, 80 * GB))


def test_auto_opens_what_fits_the_machine(
    monkeypatch: pytest.MonkeyPatch, linked: Linked, parity_kit: Path, opened: Opened
) -> None:
    """The engine runs on the processor, with a machine that has memory for five slots, then for none."""
    bundle = linked(parity_kit / "checkpoints" / "plain", "float32", 256)
    each, once = need(opened("plain").manifest, TensorIndex.load(bundle), TYPES["float32"])
    free = once + HOST_RESERVE + 5 * each
    monkeypatch.setattr(slot_memory, "host_memory", lambda: (free, free))
    runtime = Runtime.open(ServerConfig(bundle=bundle, threads=1, max_slots="auto"))
    try:
        assert runtime.slots == 5
        assert runtime.generate({"input_ids": [5, 6, 7], "max_tokens": 4}).counters.output_tokens > 0
    finally:
        runtime.close()
    monkeypatch.setattr(slot_memory, "host_memory", lambda: (each, free))
    with pytest.raises(BundleError, match=r"memory: max_slots auto needs .* Not even one slot fits: free memory"):
        open_engine(bundle, ServerConfig(max_slots="auto"))


def test_auto_opens_what_fits_the_gpu(
    monkeypatch: pytest.MonkeyPatch, linked: Linked, parity_kit: Path, opened: Opened
) -> None:
    """The processor says that it is a GPU with memory for three slots: only the figures are a GPU's."""
    bundle = linked(parity_kit / "checkpoints" / "plain", "float32", 256)
    each, once = need(opened("plain").manifest, TensorIndex.load(bundle), TYPES["float32"])
    monkeypatch.setattr(Device, "memory", lambda self: (once + RESERVE + 3 * each, 80 * GB))
    assert open_engine(bundle, ServerConfig(max_slots="auto")).slots == 3
