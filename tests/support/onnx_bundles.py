"""Builds bundles as the converter does."""

from __future__ import annotations

from pathlib import Path

from trimode_convert.bundle.onnx_bundle import BundleDraft, BundleOptions, make_draft, write_bundle
from trimode_convert.checkpoint.checkpoint import Checkpoint


def build(folder: Path, out: Path, options: BundleOptions | None = None) -> BundleDraft:
    with Checkpoint.open(folder) as checkpoint:
        draft = make_draft(checkpoint, options or BundleOptions())
        write_bundle(draft, out)
        return draft
