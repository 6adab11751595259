"""Writes into a bundle, of any engine, the rows that its checkpoint's numpy model gives."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from trimode.bundle import digests
from trimode.bundle.expected_rows import ExpectedRows
from trimode.bundle.manifest import EXPECTED, Manifest
from trimode_convert.checkpoint.checkpoint import Checkpoint
from trimode_convert.verify.expected import expected_rows


def expect(bundle: Path, checkpoint: Path) -> ExpectedRows:
    manifest = Manifest.load(bundle)
    with Checkpoint.open(checkpoint) as opened:
        rows = expected_rows(opened, manifest.capacity, manifest.precision)
    write(bundle, rows.to_json())
    return rows


def write(bundle: Path, content: bytes) -> None:
    """Put a file of rows into a bundle, whatever is in it."""
    manifest = Manifest.load(bundle)
    (bundle / EXPECTED).write_bytes(content)
    dataclasses.replace(manifest, files={**manifest.files, EXPECTED: len(content)}).save(bundle)
    digests.write(bundle)
