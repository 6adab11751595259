"""A bundle for the torch engine: links to the checkpoint's own tensor files, and an index of what is where in them.

Nothing is converted and no tensor is copied. Knows the bundle's files and its manifest.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from trimode.bundle import digests
from trimode.bundle.manifest import EXPECTED, Manifest
from trimode.bundle.tensor_index import (
    ADAPTER,
    EMBEDDING,
    FINAL_NORM,
    HEAD,
    ITEM_BYTES,
    LAYER,
    MASK_EMBEDDING,
    TENSORS,
    TOWER,
    TOWER_LAYER,
    VERSION,
    Positions,
    StoredTensor,
    TensorIndex,
    TowerSizes,
)
from trimode.errors import BundleError, CheckpointError

from ..atomic_folder import check_place, replacing
from ..checkpoint import checkpoint as names
from ..checkpoint.checkpoint import Checkpoint
from ..checkpoint.tensor_file import Tensor
from ..checkpoint.vision_config import NORM_EPSILON, tower_name
from ..graph.rope import attention_factor, inverse_frequencies
from .facts import Built, capacity_of, manifest_of, side_files_of


@dataclass(frozen=True)
class TorchDraft:
    """A bundle before it is written: its manifest, the bytes of its small files, and the files it links to by name."""

    manifest: Manifest
    files: dict[str, bytes]
    links: dict[str, Path]

    def hashed(self, checkpoint_hash: str) -> TorchDraft:
        """Return the draft with the hash of its checkpoint."""
        return dataclasses.replace(self, manifest=dataclasses.replace(self.manifest, checkpoint_hash=checkpoint_hash))

    def expecting(self, rows: bytes) -> TorchDraft:
        """Return the draft with the rows that the engine is expected to give."""
        files = {**self.manifest.files, EXPECTED: len(rows)}
        manifest = dataclasses.replace(self.manifest, files=files)
        return dataclasses.replace(self, manifest=manifest, files={**self.files, EXPECTED: rows})

    def is_up_to_date(self, out: Path) -> bool:
        """Tell whether the bundle at `out` is what the draft would become: same manifest, links and small files.

        It may have rows that the draft lacks.
        """
        try:
            found = Manifest.load(out)
            names = [name for name in found.files if name != EXPECTED or EXPECTED in self.files]
            same = dataclasses.replace(found, files={name: found.files[name] for name in names}) == self.manifest
            same = same and all((out / name).read_bytes() == content for name, content in self.files.items())
            same = same and all((out / name).resolve() == path for name, path in self.links.items())
            return same and bool(digests.check(out, found))  # which refuses one that is damaged
        except (BundleError, OSError):
            return False

    def write(self, out: Path) -> None:
        """Write the bundle to `out`, whole or not at all.

        Raises:
            BundleError: no permission, or something other than a bundle at `out`.
        """
        check_place(out)
        with replacing(out) as folder:
            for name, path in self.links.items():
                (folder / name).symlink_to(path)
            for name, content in self.files.items():
                (folder / name).write_bytes(content)
            self.manifest.save(folder)
            digests.write(folder)


def outline(
    checkpoint: Checkpoint, precision: str, *, capacity: int | None = None, name: str | None = None
) -> TorchDraft:
    """Return the draft of a checkpoint's bundle, without the checkpoint's hash.

    Args:
        precision: of weights, products and cache. capacity: tokens of a sequence. name: the model's.

    Raises:
        CheckpointError: the capacity exceeds the checkpoint's positions, or the tensors are stored in another form than
            plain numbers.
    """
    links = {f"weights-{number}.safetensors": file.path.resolve() for number, file in enumerate(checkpoint.files)}
    places = {file.path: name for file, name in zip(checkpoint.files, links, strict=True)}
    index = TensorIndex(
        intermediate_size=checkpoint.config.intermediate_size,
        num_heads=checkpoint.config.num_heads,
        norm_epsilon=checkpoint.config.norm_epsilon,
        positions=_positions(checkpoint),
        adapter_scale=checkpoint.adapter.scale if checkpoint.adapter else 0.0,
        tensors={name: _stored(tensor, places) for name, tensor in _tensors(checkpoint).items()},
        vision=_tower_sizes(checkpoint),
    )
    files = {TENSORS: index.to_json(), **side_files_of(checkpoint)}
    sizes = {name: len(content) for name, content in files.items()}
    sizes |= {name: path.stat().st_size for name, path in links.items()}
    built = Built("torch", f"{TENSORS} {VERSION}", "scatter", precision, capacity_of(checkpoint, capacity))
    return TorchDraft(manifest_of(checkpoint, name, built, sizes), files, links)


def _tensors(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Return every tensor by its name in tensors.json."""
    found = {
        EMBEDDING: checkpoint.tensors[names.EMBEDDING],
        HEAD: checkpoint.head,
        FINAL_NORM: checkpoint.tensors[names.FINAL_NORM],
    }
    if checkpoint.adapter is not None and checkpoint.adapter.mask is not None:
        found[MASK_EMBEDDING] = checkpoint.adapter.mask
    for layer in range(checkpoint.config.num_layers):
        found |= {f"{layer}.{name}": checkpoint.layer(layer, official) for name, official in LAYER.items()}
        if checkpoint.adapter is not None:
            for name, tensor in zip(ADAPTER, (checkpoint.adapter.down, checkpoint.adapter.up), strict=True):
                found[f"{layer}.{name}"] = tensor(layer)
    if (vision := checkpoint.config.vision) is not None:
        found |= {name: checkpoint.tensors[f"{official}.weight"] for name, official in TOWER.items()}
        for layer in range(vision.num_layers):
            for name, official in TOWER_LAYER.items():
                found[f"vision.{layer}.{name}"] = checkpoint.tensors[tower_name(layer, official)]
    return found


def _tower_sizes(checkpoint: Checkpoint) -> TowerSizes | None:
    vision = checkpoint.config.vision
    if vision is None:
        return None
    return TowerSizes(vision.hidden_size, vision.num_layers, vision.num_heads, vision.theta, NORM_EPSILON)


def _stored(tensor: Tensor, places: dict[Path, str]) -> StoredTensor:
    if type(tensor) is not Tensor or tensor.dtype not in ITEM_BYTES or tensor.file.path not in places:
        limit = "the torch engine reads BF16, F16 and F32 in safetensors files"
        raise CheckpointError(f"{tensor.file.path}: tensor {tensor.name}: {limit}, found {tensor.dtype}")
    return StoredTensor(places[tensor.file.path], tensor.dtype, tuple(tensor.shape), tensor.offset)


def _positions(checkpoint: Checkpoint) -> Positions:
    rope, size = checkpoint.config.rope, checkpoint.config.head_dim
    return Positions(
        frequencies=tuple(float(one) for one in inverse_frequencies(rope, size)),
        factor=attention_factor(rope),
        query_scale_beta=rope.query_scale_beta,
        original_length=rope.original_length,
    )
