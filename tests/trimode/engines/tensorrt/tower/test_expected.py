"""What a bundle expects of its tower, compared where it opens."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trimode.bundle.manifest import Manifest
from trimode.config import ServerConfig
from trimode.engines.registry import open_tower as open_tower_by_registry
from trimode.errors import BundleError

from tests.support.expecting import expect, write
from tests.support.fake_cuda import FakeCuda
from tests.support.fake_tensorrt import IExecutionContext

HIDDEN = 24


def test_a_tower_that_encodes_as_expected_opens(
    gpu: FakeCuda, bundle: Path, own: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = expect(own, bundle.parent / "checkpoint")
    assert [(one.across, one.down) for one in rows.pictures] == [(2, 1), (1, 1), (3, 2)]
    caplog.set_level(logging.INFO)
    tower = open_tower_by_registry(own, Manifest.load(own), ServerConfig(threads=1))
    assert tower is not None
    assert "3 pictures are encoded as the bundle expects: relative RMS at most" in caplog.text
    tower.close()


def test_a_tower_whose_pictures_see_each_other_is_refused(
    gpu: FakeCuda, bundle: Path, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expect(own, bundle.parent / "checkpoint")
    array = IExecutionContext.array

    def unmasked(self: IExecutionContext, name: str, sizes: dict[Any, int]) -> Any:
        found = array(self, name, sizes)
        return np.zeros_like(found) if name == "pictures" else found

    monkeypatch.setattr(IExecutionContext, "array", unmasked)
    with pytest.raises(
        BundleError, match=r"the tower encodes wrongly in float32 .* a picture of 2 x 1 cells: relative"
    ):
        open_tower_by_registry(own, Manifest.load(own), ServerConfig(threads=1))
    assert gpu.leaked == []


def test_expected_pictures_of_another_bundle_are_refused(gpu: FakeCuda, bundle: Path, own: Path) -> None:
    rows = expect(own, bundle.parent / "checkpoint")
    last = dataclasses.replace(rows.pictures[-1], channels=(*rows.pictures[-1].channels[:-1], HIDDEN))
    write(own, dataclasses.replace(rows, pictures=(last,)).to_json())
    with pytest.raises(BundleError, match=r"expected\.json is damaged, or of another bundle"):
        open_tower_by_registry(own, Manifest.load(own), ServerConfig(threads=1))
