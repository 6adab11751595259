"""Logits of built bundles against the official implementation's, stored in the parity kit, array by array."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from trimode_convert.passes import BundleRunner, kit_passes

TOLERANCE = 2e-4  # of the largest stored value: the kit's own rule


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test an array: the kit on disk says which there are."""
    kit = Path(metafunc.config.getoption("--parity-kit"))
    cases = []
    for path in sorted((kit / "logits").glob("*.npz")):
        for group in kit_passes(dict(np.load(path))):
            cases += [(path.stem, step.name) for step in group if step.name]
    metafunc.parametrize(("checkpoint", "array"), cases, ids=[f"{name}-{array}" for name, array in cases])


def test_logits_are_the_official_ones(
    parity_kit: Path, bundle_of: Callable[..., Path], checkpoint: str, array: str
) -> None:
    arrays = dict(np.load(parity_kit / "logits" / f"{checkpoint}.npz"))
    runner = BundleRunner(bundle_of(parity_kit / "checkpoints" / checkpoint))
    group = next(group for group in kit_passes(arrays) if array in [step.name for step in group])
    logits = runner.run(group)[[step.name for step in group].index(array)]
    np.testing.assert_allclose(logits, arrays[array], rtol=0, atol=TOLERANCE * np.abs(arrays[array]).max())
