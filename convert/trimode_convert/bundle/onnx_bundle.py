"""Checkpoint in, engine bundle out: draws the graph, decides whether the bundle on disk is already it, writes it.

Knows the bundle's files and manifest. The graph, the weights and the folder's atomicity are others' work.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import onnxruntime
from trimode.bundle.manifest import (
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

from ..atomic_folder import check_place, check_space, replacing
from ..checkpoint.checkpoint import Checkpoint
from ..checkpoint.config import Keys
from ..graph.model import Blueprint, draw
from ..graph.precisions import ONNXRUNTIME, Target

DEFAULT_CAPACITY = 4096
SMALLEST_BUCKET = 64
Advance = Callable[[int], None]


@dataclass(frozen=True)
class Recipe:
    """What to build, as asked for; None means the default."""

    precision: str | None = None
    capacity: int | None = None
    name: str | None = None
    target: Target = ONNXRUNTIME


@dataclass(frozen=True)
class Plan:
    """Everything about a bundle before it is written: all bytes but those of the weights."""

    manifest: Manifest
    blueprint: Blueprint
    graph: bytes
    side_files: dict[str, bytes]

    @property
    def total_bytes(self) -> int:
        """The bytes of all files beside the manifest."""
        return sum(self.manifest.files.values())


def make_plan(checkpoint: Checkpoint, recipe: Recipe, advance: Advance = lambda _: None) -> Plan:
    """Draw the graph and hash the checkpoint; `advance` is told the bytes hashed.

    Raises:
        CheckpointError: the capacity asked for is more than the checkpoint's positions, the target lacks the precision,
            or a side file is unreadable.
    """
    config, target = checkpoint.config, recipe.target
    precision = recipe.precision or target.default
    capacity = min(config.max_positions, DEFAULT_CAPACITY) if recipe.capacity is None else recipe.capacity
    if not 1 <= capacity <= config.max_positions:
        raise CheckpointError(
            f"{checkpoint.folder}: capacity: expected 1 to {config.max_positions} (max_position_embeddings), "
            f"found {capacity}"
        )
    blueprint = draw(checkpoint, target=target, precision=precision, capacity=capacity, location=WEIGHTS)
    graph = blueprint.model.SerializeToString(deterministic=True)
    side_files = _side_files(checkpoint.folder)
    manifest = Manifest(
        model=recipe.name or checkpoint.folder.resolve().name,
        runtime=target.runtime,
        runtime_version=onnxruntime.__version__ if target is ONNXRUNTIME else f"opset {target.opset}",
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
        checkpoint_hash=checkpoint.hash(advance),
        converter=own_digest(),
        files={GRAPH: len(graph), WEIGHTS: blueprint.weights.total_bytes}
        | {name: len(content) for name, content in side_files.items()},
    )
    return Plan(manifest, blueprint, graph, side_files)


@lru_cache(maxsize=1)
def own_digest() -> str:
    """Return a digest of this package's code: it decides the weight bytes, which no other part of a manifest tells."""
    code = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        code.update(path.read_bytes())
    return code.hexdigest()


def is_up_to_date(plan: Plan, out: Path) -> bool:
    """Tell whether the bundle at `out` is what the plan would write: same manifest, graph and side files."""
    try:
        return Manifest.load(out) == plan.manifest and all(
            (out / name).read_bytes() == content for name, content in {GRAPH: plan.graph, **plan.side_files}.items()
        )
    except (BundleError, OSError):
        return False


def write_bundle(plan: Plan, out: Path, advance: Advance = lambda _: None) -> None:
    """Write the planned bundle to `out`, whole or not at all; `advance` is told the weight bytes written.

    Raises:
        BundleError: no room, no permission, or something else than a bundle at `out`.
        CheckpointError: a tensor's bytes are not what its header says.
    """
    check_place(out)
    check_space(out, plan.total_bytes)
    with replacing(out) as folder:
        plan.blueprint.weights.write(folder / WEIGHTS, advance)
        (folder / GRAPH).write_bytes(plan.graph)
        for name, content in plan.side_files.items():
            (folder / name).write_bytes(content)
        plan.manifest.save(folder)


def buckets(capacity: int) -> tuple[int, ...]:
    """Return the powers of two from 64 up that are below the capacity, and the capacity."""
    sizes = []
    size = SMALLEST_BUCKET
    while size < capacity:
        sizes.append(size)
        size *= 2
    return (*sizes, capacity)


def _side_files(folder: Path) -> dict[str, bytes]:
    """The files that travel unchanged, and the chat template, which may be a key of the tokenizer's configuration."""
    found: dict[str, bytes] = {}
    for name in (TOKENIZER, TOKENIZER_CONFIG, CHAT_TEMPLATE, GENERATION_CONFIG, EFFORT):
        path = folder / name
        try:
            if path.is_file():
                found[name] = path.read_bytes()
        except OSError as exc:
            raise CheckpointError(f"{path}: cannot be read: {exc.strerror}") from exc
    if TOKENIZER_CONFIG in found and CHAT_TEMPLATE not in found:
        template = Keys.load(folder / TOKENIZER_CONFIG).values.get("chat_template")
        if template is not None:
            found[CHAT_TEMPLATE] = _template_text(folder / TOKENIZER_CONFIG, template).encode()
    return found


def _template_text(path: Path, template: object) -> str:
    """The template, or the one named "default" of a list of named ones (both forms are transformers' own)."""
    if isinstance(template, str):
        return template
    if isinstance(template, list):
        for entry in template:
            if isinstance(entry, dict) and entry.get("name") == "default" and isinstance(entry.get("template"), str):
                return str(entry["template"])
    raise CheckpointError(
        f"{path}: chat_template: expected text or a list with a default, found {json.dumps(template)[:80]}"
    )
