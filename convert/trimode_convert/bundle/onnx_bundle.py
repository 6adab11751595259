"""A bundle of a graph and its weights: drafted from a checkpoint, compared with the one on disk, written.

Knows the bundle's files and its manifest. Does not know how a graph is drawn, how weights are rounded, or how a folder
is replaced.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnxruntime
from trimode.bundle import digests
from trimode.bundle.manifest import GRAPH, TOWER_GRAPH, TOWER_WEIGHTS, WEIGHTS, Manifest
from trimode.errors import BundleError

from ..atomic_folder import check_place, check_space, replacing
from ..checkpoint.checkpoint import Checkpoint
from ..graph.model import Blueprint, draw
from ..graph.precisions import ONNXRUNTIME, Target
from ..graph.tower import draw_tower
from .facts import Built, capacity_of, manifest_of, side_files_of

Advance = Callable[[int], None]  # called with a number of bytes that were read or written since the last call


@dataclass(frozen=True)
class BundleOptions:
    """The user's options; None means the default."""

    precision: str | None = None
    capacity: int | None = None
    name: str | None = None
    target: Target = ONNXRUNTIME


@dataclass(frozen=True)
class BundleDraft:
    """A bundle before it is written: its manifest, and the bytes of every file but the weights.

    Attributes:
        blueprint: of the language model. tower: of what encodes pictures; None where the checkpoint reads text alone.
        graphs, side_files: name -> bytes.
    """

    manifest: Manifest
    blueprint: Blueprint
    tower: Blueprint | None
    graphs: dict[str, bytes]
    side_files: dict[str, bytes]

    @property
    def total_bytes(self) -> int:
        """The bytes of all files except the manifest."""
        return sum(self.manifest.files.values())

    @property
    def blueprints(self) -> dict[str, Blueprint]:
        """What was drawn, by the name of its file of weights."""
        return {WEIGHTS: self.blueprint} | ({} if self.tower is None else {TOWER_WEIGHTS: self.tower})

    @property
    def weight_bytes(self) -> int:
        """The bytes of all weights."""
        return sum(drawn.weights.total_bytes for drawn in self.blueprints.values())

    def hashed(self, checkpoint_hash: str) -> BundleDraft:
        """Return the draft with the hash of its checkpoint."""
        return dataclasses.replace(self, manifest=dataclasses.replace(self.manifest, checkpoint_hash=checkpoint_hash))


def make_draft(checkpoint: Checkpoint, options: BundleOptions, advance: Advance = lambda _: None) -> BundleDraft:
    """Draw the graph and hash the checkpoint; `advance` is called with the number of bytes hashed.

    Raises:
        CheckpointError: see outline; or a file cannot be read.
    """
    return outline(checkpoint, options).hashed(checkpoint.hash(advance))


def outline(checkpoint: Checkpoint, options: BundleOptions) -> BundleDraft:
    """Draw the graph, and a tower's; the draft lacks only the checkpoint's hash, for which all of it must be read.

    Raises:
        CheckpointError: the capacity exceeds the checkpoint's positions, the target does not have the precision, or a
            side file cannot be read.
    """
    target = options.target
    precision, capacity = options.precision or target.default, capacity_of(checkpoint, options.capacity)
    blueprint = draw(checkpoint, target=target, precision=precision, capacity=capacity, location=WEIGHTS)
    tower = None
    if checkpoint.config.vision is not None:
        tower = draw_tower(checkpoint, target=target, precision=precision, location=TOWER_WEIGHTS)
    drawn = {GRAPH: (WEIGHTS, blueprint)} | ({} if tower is None else {TOWER_GRAPH: (TOWER_WEIGHTS, tower)})
    graphs = {name: one.model.SerializeToString(deterministic=True) for name, (_, one) in drawn.items()}
    side_files = side_files_of(checkpoint)
    files: dict[str, int] = {}
    for name, (weights, one) in drawn.items():
        files |= {name: len(graphs[name]), weights: one.weights.total_bytes}
    files |= {name: len(content) for name, content in side_files.items()}
    version = onnxruntime.__version__ if target is ONNXRUNTIME else f"opset {target.opset}"
    built = Built(target.runtime, version, target.kv_form, precision, capacity)
    return BundleDraft(manifest_of(checkpoint, options.name, built, files), blueprint, tower, graphs, side_files)


def is_up_to_date(draft: BundleDraft, out: Path) -> bool:
    """Tell whether the bundle at `out` is what the draft would become: same manifest, graph and side files."""
    try:
        same = Manifest.load(out) == draft.manifest and all(
            (out / name).read_bytes() == content for name, content in {**draft.graphs, **draft.side_files}.items()
        )
        return same and bool(digests.check(out, draft.manifest))  # which refuses one that is damaged
    except (BundleError, OSError):
        return False


def write_bundle(draft: BundleDraft, out: Path, advance: Advance = lambda _: None) -> None:
    """Write the bundle to `out`, whole or not at all; `advance` is called with the number of weight bytes written.

    Raises:
        BundleError: no room, no permission, or something other than a bundle at `out`.
        CheckpointError: a tensor's bytes are not what its header says.
    """
    check_place(out)
    check_space(out, draft.total_bytes)
    with replacing(out) as folder:
        for name, drawn in draft.blueprints.items():
            drawn.weights.write(folder / name, advance)
        for name, content in {**draft.graphs, **draft.side_files}.items():
            (folder / name).write_bytes(content)
        draft.manifest.save(folder)
        digests.write(folder)
