"""Checks a bundle's tower: its rows against those of the plain numpy tower, or against a kit's stored ones.

Knows the inputs and outputs of the tower's graph. Does not know what is in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from trimode.bundle.manifest import TOWER_GRAPH, TOWER_WEIGHTS, Manifest
from trimode.bundle.vision_facts import VisionFacts
from trimode.errors import CheckpointError

from ..checkpoint.checkpoint import Checkpoint
from ..checkpoint.tensor_file import FloatArray
from .numpy_tower import encode
from .onnx_reference import open_graph
from .verify import Outcome, compare

SAMPLES = ((2, 1), (1, 1), (3, 2))
"""Cells across and down of the pictures that are checked together: few, so that the check is quick."""


class TowerRunner:
    """Runs the tower's graph of a bundle, or of an exported one, on the CPU; bfloat16 in ONNX's own reference."""

    def __init__(self, folder: Path, facts: VisionFacts) -> None:
        self._facts, manifest = facts, Manifest.load(folder)
        narrow = manifest.runtime == "tensorrt" and manifest.precision not in ("float32", "float16")
        self._opened = open_graph(folder / TOWER_GRAPH, folder / TOWER_WEIGHTS, manifest, by_reference=narrow)

    def run(self, pictures: Sequence[FloatArray]) -> list[FloatArray]:
        """Return the rows that stand for each picture (3, H, W), all as one sequence  # (cells, hidden) each."""
        facts, patches, positions, numbers = self._facts, list[FloatArray](), list[int](), list[int]()
        for number, picture in enumerate(pictures):
            for row, column in _cell_by_cell(picture.shape[1] // facts.cell, picture.shape[2] // facts.cell, facts):
                top, left = row * facts.patch, column * facts.patch
                patches.append(picture[:, top : top + facts.patch, left : left + facts.patch].reshape(-1))
                positions.append(row * facts.side + column)
                numbers.append(number)
        counts = [numbers.count(number) for number in range(len(pictures))]
        feeds: dict[str, NDArray[Any]] = {
            "patches": np.stack(patches),
            "positions": np.array(positions),
            "pictures": np.array(numbers),
            "starts": np.cumsum([0, *counts]),
        }
        (rows,) = self._opened.session.run(["features"], {name: feeds[name] for name in self._opened.inputs})
        ends = np.cumsum(counts)[:-1] // facts.merge**2
        return list(np.split(rows, ends))


def _cell_by_cell(down: int, across: int, facts: VisionFacts) -> list[tuple[int, int]]:
    """Return row and column of each patch, cell by cell."""
    merge = range(facts.merge)
    cells = [(y, x) for y in range(down) for x in range(across)]
    return [(y * facts.merge + dy, x * facts.merge + dx) for y, x in cells for dy in merge for dx in merge]


def against_reference(bundle: Path, checkpoint: Checkpoint) -> list[Outcome]:
    """Compare pictures of noise, of different size, with the plain numpy tower; nothing where there is no tower."""
    manifest = Manifest.load(bundle)
    if manifest.vision is None:
        return []
    size, noise = manifest.vision.cell, np.random.default_rng(0)
    pictures = [noise.standard_normal((3, down * size, across * size), np.float32) for across, down in SAMPLES]
    expected = [encode(checkpoint, picture) for picture in pictures]
    return [_compared(f"{len(SAMPLES)} pictures", bundle, pictures, expected)]


def against_kit(bundle: Path, path: Path) -> list[Outcome]:
    """Compare with a kit's rows of the pictures whose pixels it stores whole.

    Raises:
        CheckpointError: the file is no .npz of the kit, or the bundle has no tower of that size.
    """
    manifest = Manifest.load(bundle)
    if manifest.vision is None:
        raise CheckpointError(f"{path}: expected a checkpoint with a tower, this one reads text alone")
    try:
        arrays = dict(np.load(path))
        names = sorted(name.removesuffix("/pixels") for name in arrays if name.endswith("/pixels"))
        pictures = [arrays[f"{name}/pixels"] for name in names]
        expected = [arrays[f"{name}/features"] for name in names]
    except (OSError, ValueError, TypeError, KeyError, BadZipFile) as exc:
        raise CheckpointError(f"{path}: cannot be read as stored pictures: {exc}") from exc
    if not names:
        raise CheckpointError(f"{path}: expected arrays IMAGE@CAP/pixels, found {sorted(arrays)[:3]}")
    return [_compared(f"{len(names)} pictures of the kit", bundle, pictures, expected)]


def _compared(name: str, bundle: Path, pictures: Sequence[FloatArray], expected: Sequence[FloatArray]) -> Outcome:
    """Encode pictures as one sequence and judge all their rows together."""
    manifest = Manifest.load(bundle)
    assert manifest.vision is not None
    rows = TowerRunner(bundle, manifest.vision).run(pictures)
    if [one.shape for one in rows] != [one.shape for one in expected]:
        shapes = [one.shape for one in expected], [one.shape for one in rows]
        raise CheckpointError(f"{name}: expected rows of shapes {shapes[0]}, found {shapes[1]}")
    return compare(name, np.concatenate(rows), np.concatenate(expected), manifest.precision)
