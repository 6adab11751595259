"""A bundle of a graph and its weights: drafted from a checkpoint, compared with the one on disk, written.

Knows the bundle's files and its manifest. Does not know how a graph is drawn, how weights are rounded, or how a folder
is replaced.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import onnxruntime
from trimode.bundle import digests
from trimode.bundle.manifest import (
    ALL_MODES,
    CAUSAL_MODES,
    CHAT_TEMPLATE,
    EFFORT,
    GENERATION_CONFIG,
    GRAPH,
    TOKENIZER,
    TOKENIZER_CONFIG,
    WEIGHTS,
    Manifest,
)
from trimode.errors import BundleError, CheckpointError

import trimode_convert

from ..atomic_folder import check_place, check_space, replacing
from ..checkpoint import plain_file
from ..checkpoint.checkpoint import Checkpoint
from ..checkpoint.config import Keys
from ..checkpoint.tokenizer_file import unused_tokens
from ..graph.model import Blueprint, draw
from ..graph.precisions import ONNXRUNTIME, Target

DEFAULT_CAPACITY = 4096  # tokens of a sequence; the official models allow 262,144, whose cache takes tens of gigabytes
SMALLEST_BUCKET = 64  # tokens of the shortest cache; doubling from here keeps the buckets few
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
    """A bundle before it is written: its manifest, and the bytes of every file but the weights."""

    manifest: Manifest
    blueprint: Blueprint
    graph: bytes
    side_files: dict[str, bytes]

    @property
    def total_bytes(self) -> int:
        """The bytes of all files except the manifest."""
        return sum(self.manifest.files.values())

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
    """Draw the graph; the draft lacks only the checkpoint's hash, for which all of the checkpoint must be read.

    Raises:
        CheckpointError: the capacity exceeds the checkpoint's positions, the target does not have the precision, or a
            side file cannot be read.
    """
    target = options.target
    precision, capacity = options.precision or target.default, capacity_of(checkpoint, options)
    blueprint = draw(checkpoint, target=target, precision=precision, capacity=capacity, location=WEIGHTS)
    graph = blueprint.model.SerializeToString(deterministic=True)
    side_files = side_files_of(checkpoint)
    files = {GRAPH: len(graph), WEIGHTS: blueprint.weights.total_bytes}
    files |= {name: len(content) for name, content in side_files.items()}
    version = onnxruntime.__version__ if target is ONNXRUNTIME else f"opset {target.opset}"
    return BundleDraft(manifest_of(checkpoint, options, version, files), blueprint, graph, side_files)


def capacity_of(checkpoint: Checkpoint, options: BundleOptions) -> int:
    """Return the tokens of a sequence: those asked for, or the default.

    Raises:
        CheckpointError: they exceed the checkpoint's positions.
    """
    most = checkpoint.config.max_positions
    capacity = min(most, DEFAULT_CAPACITY) if options.capacity is None else options.capacity
    if not 1 <= capacity <= most:
        raise CheckpointError(
            f"{checkpoint.folder}: capacity: expected 1 to {most} (max_position_embeddings), found {capacity}"
        )
    return capacity


def side_files_of(checkpoint: Checkpoint) -> dict[str, bytes]:
    """Return the bundle's files that hold no tensors, by name.

    Raises:
        CheckpointError: one cannot be read, or the tokenizer has tokens beyond the vocabulary.
    """
    found = dict(checkpoint.side_files)
    if TOKENIZER not in found:  # otherwise other files in the folder may be another model's
        found |= _side_files(checkpoint.folder)
    if TOKENIZER in found:
        unused_tokens(checkpoint.folder / TOKENIZER, found[TOKENIZER], checkpoint.config.vocab_size)
    return found


def manifest_of(checkpoint: Checkpoint, options: BundleOptions, version: str, files: dict[str, int]) -> Manifest:
    """Return the manifest of a bundle, without the hash of its checkpoint.

    Args:
        version: of the runtime, or of the format that it reads. files: name -> bytes.

    Raises:
        CheckpointError: see capacity_of, or the target does not have the precision.
    """
    config, target, capacity = checkpoint.config, options.target, capacity_of(checkpoint, options)
    precision = options.precision or target.default
    target.precision(precision)
    return Manifest(
        model=options.name or checkpoint.name,
        runtime=target.runtime,
        runtime_version=version,
        kv_form=target.kv_form,
        precision=precision,
        capacity=capacity,
        buckets=buckets(capacity),
        num_layers=config.num_layers,
        num_kv_heads=config.num_kv_heads,
        head_dim=config.head_dim,
        hidden_size=config.hidden_size,
        vocab_size=config.vocab_size,
        block_size=config.block_size,
        mask_token_id=config.mask_token_id,
        eos_token_id=config.eos_token_id,
        bos_token_id=config.bos_token_id,
        adapter=checkpoint.adapter is not None,
        checkpoint_hash="",
        converter=own_digest(),
        modes=ALL_MODES if config.denoises else CAUSAL_MODES,
        files=files,
    )


@lru_cache(maxsize=1)
def own_digest() -> str:
    """Return the digest of the converter's code, which decides the weight bytes; nothing else in a manifest does."""
    return code_digest(Path(trimode_convert.__file__).parent)


def code_digest(package: Path) -> str:
    """Return the sha256 over every Python file of a package: its place inside the package, its size and its bytes.

    Sub-folders count. Where the package itself lies does not.
    """
    digest = hashlib.sha256()
    for name, path in sorted((path.relative_to(package).as_posix(), path) for path in package.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def is_up_to_date(draft: BundleDraft, out: Path) -> bool:
    """Tell whether the bundle at `out` is what the draft would become: same manifest, graph and side files."""
    try:
        same = Manifest.load(out) == draft.manifest and all(
            (out / name).read_bytes() == content for name, content in {GRAPH: draft.graph, **draft.side_files}.items()
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
        draft.blueprint.weights.write(folder / WEIGHTS, advance)
        (folder / GRAPH).write_bytes(draft.graph)
        for name, content in draft.side_files.items():
            (folder / name).write_bytes(content)
        draft.manifest.save(folder)
        digests.write(folder)


def buckets(capacity: int) -> tuple[int, ...]:
    """Return the powers of two from SMALLEST_BUCKET up that are below the capacity, then the capacity itself."""
    sizes = []
    size = SMALLEST_BUCKET
    while size < capacity:
        sizes.append(size)
        size *= 2
    return (*sizes, capacity)


def _side_files(folder: Path) -> dict[str, bytes]:
    """Read the files that are copied unchanged, and the chat template, which may be a key of tokenizer_config.json."""
    found: dict[str, bytes] = {}
    for name in (TOKENIZER, TOKENIZER_CONFIG, CHAT_TEMPLATE, GENERATION_CONFIG, EFFORT):
        path = folder / name
        try:
            if path.exists():
                plain_file.check(path)
                found[name] = path.read_bytes()
        except OSError as exc:
            raise CheckpointError(f"{path}: cannot be read: {exc.strerror}") from exc
    if TOKENIZER_CONFIG in found and CHAT_TEMPLATE not in found:
        template = Keys.load(folder / TOKENIZER_CONFIG).values.get("chat_template")
        if template is not None:
            found[CHAT_TEMPLATE] = _template_text(folder / TOKENIZER_CONFIG, template).encode()
    return found


def _template_text(path: Path, template: object) -> str:
    """Return the template, or the one named "default" in a list of named ones (transformers writes both forms)."""
    if isinstance(template, str):
        return template
    if isinstance(template, list):
        for entry in template:
            if isinstance(entry, dict) and entry.get("name") == "default" and isinstance(entry.get("template"), str):
                return str(entry["template"])
    raise CheckpointError(
        f"{path}: chat_template: expected text or a list with a default, found {json.dumps(template)[:80]}"
    )
