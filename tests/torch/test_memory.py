"""The refusal of more slots than a GPU holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from trimode.engines.slot_memory import GB
from trimode.engines.torch.memory import RESERVE, check_slots, slot_bytes
from trimode.errors import BundleError

from tests.torch.conftest import Opened

BUNDLE = Path("bundle")


def test_what_a_slot_takes(opened: Opened) -> None:
    engine = opened("plain", "bfloat16", max_slots=3)
    data = engine._cache.data
    assert 3 * slot_bytes(engine.manifest, data.shape[3], 2) == data.nbytes


def test_slots_that_do_not_fit_are_refused_with_the_number_that_does(opened: Opened) -> None:
    manifest = opened("plain").manifest
    free = (RESERVE + 9 * GB, 80 * GB)
    check_slots(BUNDLE, manifest, 4, (2 * GB, GB), free)
    with pytest.raises(BundleError, match=r"max_slots 5 needs 10\.00 GB .* Lower max_slots \(TRIMODE_MAX_SLOTS\) to 4"):
        check_slots(BUNDLE, manifest, 5, (2 * GB, GB), free)
    with pytest.raises(BundleError, match="Not even one slot fits"):
        check_slots(BUNDLE, manifest, 1, (2 * GB, GB), (RESERVE, 80 * GB))
