"""Which ways of decoding are counted, and of which bundles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from trimode.api.defaults import Defaults
from trimode.api.params import GenerationParams
from trimode_perf.common.progress import MeasureError
from trimode_perf.quality import settings

from tests.support import checkpoints as checkpoint_factory


def test_every_setting_is_a_request_that_has_just_those_values() -> None:
    defaults = Defaults(vocab_size=100, block_length=32, end_id=2, adapter=True)
    for setting in [*settings.on_every_prompt(True), *settings.sweep()]:
        params = GenerationParams.parse({"text_input": "a", **setting.fields}, defaults)
        assert (params.mode, params.block.draft_adapter) == (setting.mode, setting.adapter)
        if setting.block_length:
            assert (params.block.block_length, params.block.denoise_steps) == (
                setting.block_length,
                setting.denoise_steps,
            )
            assert params.block.threshold == setting.threshold


def test_the_sweep_covers_steps_thresholds_and_blocks() -> None:
    grid = list(settings.sweep())
    assert {s.denoise_steps for s in grid if s.threshold is None} == {1, 2, 4, 8, 16, 32}
    assert {s.threshold for s in grid if s.threshold} == {0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0}
    assert {s.block_length for s in grid} == {4, 8, 16, 32}
    bounded = [s for s in grid if s.threshold and (s.denoise_steps or 0) < (s.block_length or 0)]
    points = {(32, 2), (32, 4), (32, 8), (32, 16), (16, 2), (16, 4), (16, 8)}
    assert {(s.block_length, s.denoise_steps) for s in bounded} == points
    assert {s.threshold for s in bounded} == {0.7, 0.9}
    assert len(set(grid)) == len(grid)


def test_without_an_adapter_drafts_are_counted_once() -> None:
    asked_in = settings.on_every_prompt
    assert len(asked_in(True)) - len(asked_in(False)) == 3


def test_bundles_must_be_of_the_checkpoint_and_precision(bundle_of: Callable[..., Path], tmp_path: Path) -> None:
    folder = checkpoint_factory.write(tmp_path / "one")
    other = checkpoint_factory.write(
        tmp_path / "two", arrays=checkpoint_factory.tensors(checkpoint_factory.config(), 1)
    )
    load, int8 = settings.Plan.load, bundle_of(folder, "int8")
    with pytest.raises(MeasureError, match="is in int8, needed is float32"):
        load(folder, int8, {}, settings.Amounts(1, 1, 0))
    with pytest.raises(MeasureError, match="is in int8, needed is int4"):
        load(folder, bundle_of(folder), {"int4": int8}, settings.Amounts(1, 1, 0))
    with pytest.raises(MeasureError, match="was not made from"):
        load(other, bundle_of(folder), {}, settings.Amounts(1, 1, 0))
