"""Logits of built bundles against the official implementation's, stored in the parity kit, array by array."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from trimode_convert.verify.passes import BundleRunner, kit_passes
from trimode_convert.verify.verify import against_kit

TOLERANCE = 2e-4  # of the largest stored value: the kit's own rule


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test an array (or a file): the kit on disk says which there are."""
    kit = Path(metafunc.config.getoption("--parity-kit"))
    files = sorted((kit / "logits").glob("*.npz"))
    if "array" in metafunc.fixturenames:
        arrays = [
            (path.stem, step.name)
            for path in files
            for group in kit_passes(dict(np.load(path)))
            for step in group
            if step.name
        ]
        metafunc.parametrize(("checkpoint", "array"), arrays, ids=[f"{name}-{array}" for name, array in arrays])
    else:
        metafunc.parametrize("checkpoint", [path.stem for path in files])


def test_logits_are_the_official_ones(
    parity_kit: Path, bundle_of: Callable[..., Path], checkpoint: str, array: str
) -> None:
    arrays = dict(np.load(parity_kit / "logits" / f"{checkpoint}.npz"))
    runner = BundleRunner(bundle_of(parity_kit / "checkpoints" / checkpoint))
    group = next(group for group in kit_passes(arrays) if array in [step.name for step in group])
    logits = runner.run(group)[[step.name for step in group].index(array)]
    np.testing.assert_allclose(logits, arrays[array], rtol=0, atol=TOLERANCE * np.abs(arrays[array]).max())


def test_every_stored_logits_array_is_compared(parity_kit: Path, checkpoint: str) -> None:
    arrays = dict(np.load(parity_kit / "logits" / f"{checkpoint}.npz"))
    compared = {step.name for group in kit_passes(arrays) for step in group} - {""}
    assert compared == {name for name, values in arrays.items() if values.ndim == 2}


@pytest.mark.parametrize(("precision", "rms", "agreement"), [("int8", 0.05, 0.95), ("int4", 0.3, 0.8)])
def test_fewer_bits_stay_near_the_official_logits(
    parity_kit: Path, bundle_of: Callable[..., Path], checkpoint: str, precision: str, rms: float, agreement: float
) -> None:
    bundle = bundle_of(parity_kit / "checkpoints" / checkpoint, precision)
    outcomes = against_kit(bundle, parity_kit / "logits" / f"{checkpoint}.npz")
    assert max(outcome.rms for outcome in outcomes) < rms
    assert np.mean([outcome.agreement for outcome in outcomes]) > agreement
