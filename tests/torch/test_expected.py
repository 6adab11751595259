"""Rows that `--verify` writes into a bundle of links, which the torch engine is compared with where it opens."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from trimode.bundle.manifest import Manifest
from trimode.config import ServerConfig
from trimode.engines.registry import open_engine, open_tower
from trimode.engines.torch.tower import TorchTower
from trimode.errors import BundleError
from trimode_convert.cli import main

from tests.support.layout import ROOT

NANO = ROOT / "checkpoints" / "nano"
OPTIONS = ServerConfig(threads=1, max_slots=2)


def verified(out: Path, precision: str, checkpoint: Path = NANO) -> Path:
    options = ["--target", "torch", "--precision", precision, "--capacity", "256", "--verify"]
    assert main([str(checkpoint), "--out", str(out), *options]) == 0
    return out


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16", "fp8"])
def test_every_precision_is_within_its_tolerance(tmp_path: Path, precision: str) -> None:
    assert open_engine(verified(tmp_path / "bundle", precision), OPTIONS).calls == 8


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_attention_that_ignores_a_gap_for_single_tokens_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    """Trained weights in the precision that serves: what the kernels did in float16 is far outside the tolerance."""
    bundle = verified(tmp_path / "bundle", precision)
    right = F.scaled_dot_product_attention

    def wrong(q: Any, k: Any, v: Any, attn_mask: Any, scale: float) -> Any:
        hidden = attn_mask == -torch.inf
        last = (~hidden).int().cumsum(-1)  # the number of entries that are seen so far
        gaps = hidden & (last < last[..., -1:])
        return right(q, k, v, attn_mask=attn_mask.masked_fill(gaps, 0), scale=scale)

    monkeypatch.setattr(F, "scaled_dot_product_attention", wrong)
    words = rf"answers wrongly in {precision} on this device: 'token behind a gap'.* install another version of PyTorch"
    with pytest.raises(BundleError, match=words):
        open_engine(bundle, OPTIONS)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_tower_is_compared_with_pictures(
    tmp_path: Path, precision: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The trained nano-vlm: the right tower opens, and one whose patches all turn as the first does is refused."""
    bundle = verified(tmp_path / "bundle", precision, NANO.with_name("nano-vlm"))
    caplog.set_level(logging.INFO)
    opened = open_tower(bundle, Manifest.load(bundle), OPTIONS)
    assert opened is not None and "3 pictures are encoded as the bundle expects" in caplog.text
    turns = TorchTower._turns
    monkeypatch.setattr(TorchTower, "_turns", lambda self, positions: turns(self, positions * 0))
    with pytest.raises(BundleError, match=rf"the tower encodes wrongly in {precision} on this device: a picture of"):
        open_tower(bundle, Manifest.load(bundle), OPTIONS)
