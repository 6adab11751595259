"""The torch engine on the processor: bundles that link to a checkpoint, and engines over them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from trimode.engines.torch.engine import TorchEngine

torch.set_num_threads(1)  # the models are tiny: further threads only wait for each other

Linked = Callable[..., Path]
Opened = Callable[..., TorchEngine]


@pytest.fixture(scope="session")
def linked(tmp_path_factory: pytest.TempPathFactory) -> Linked:
    """Build a checkpoint's bundle as the converter's command line does, once per precision."""
    from trimode_convert.cli import main

    built: dict[tuple[Path, str, int | None], Path] = {}
    root = tmp_path_factory.mktemp("linked")

    def build(checkpoint: Path, precision: str = "float32", capacity: int | None = None) -> Path:
        key = (checkpoint.resolve(), precision, capacity)
        if key not in built:
            out = root / f"{len(built)}-{checkpoint.name}-{precision}"
            command = [str(checkpoint), "--out", str(out), "--target", "torch", "--precision", precision]
            assert main([*command, *([] if capacity is None else ["--capacity", str(capacity)])]) == 0
            built[key] = out
        return built[key]

    return build


@pytest.fixture(scope="session")
def opened(linked: Linked, parity_kit: Path) -> Opened:
    """Open an engine over a checkpoint of the parity kit."""

    def open_engine(
        name: str, precision: str = "float32", max_slots: int = 4, capacity: int | None = 256
    ) -> TorchEngine:
        bundle = linked(parity_kit / "checkpoints" / name, precision, capacity)
        return TorchEngine.open(bundle, threads=1, spin=False, max_slots=max_slots)

    return open_engine
