"""What every bundle of a checkpoint says and holds, whatever engine it is for: its manifest and its small files.

Knows no graph and no engine, and needs no package that draws one.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from trimode.bundle.manifest import (
    ALL_MODES,
    CAUSAL_MODES,
    CHAT_TEMPLATE,
    DRAFTING_MODES,
    EFFORT,
    GENERATION_CONFIG,
    TOKENIZER,
    TOKENIZER_CONFIG,
    Manifest,
)
from trimode.bundle.vision_facts import VisionFacts
from trimode.errors import CheckpointError

import trimode_convert

from ..checkpoint import plain_file
from ..checkpoint.checkpoint import Checkpoint
from ..checkpoint.keys import Keys
from ..checkpoint.tokenizer_file import unused_tokens
from ..checkpoint.vision_config import IMAGE_IDS, VisionConfig

DEFAULT_CAPACITY = 4096  # tokens of a sequence; the official models allow 262,144, whose cache takes tens of gigabytes
SMALLEST_BUCKET = 64  # tokens of the shortest cache; doubling from here keeps the buckets few


def capacity_of(checkpoint: Checkpoint, asked: int | None) -> int:
    """Return the tokens of a sequence: those asked for, or the default.

    Raises:
        CheckpointError: they exceed the checkpoint's positions.
    """
    most = checkpoint.config.max_positions
    capacity = min(most, DEFAULT_CAPACITY) if asked is None else asked
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


class Built(NamedTuple):
    """What a bundle is built for: the manifest's fields of these names."""

    runtime: str
    runtime_version: str
    kv_form: str
    precision: str
    capacity: int


def manifest_of(checkpoint: Checkpoint, name: str | None, built: Built, files: dict[str, int]) -> Manifest:
    """Return the manifest of a bundle, without the hash of its checkpoint.

    Args:
        name: the model's; the checkpoint's own if None. files: name -> bytes.
    """
    config = checkpoint.config
    return Manifest(
        model=name or checkpoint.name,
        **built._asdict(),
        buckets=buckets(built.capacity),
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
        modes=ALL_MODES if config.denoises else CAUSAL_MODES if checkpoint.adapter is None else DRAFTING_MODES,
        vision=None if config.vision is None else _vision_facts(config.vision),
        files=files,
    )


def _vision_facts(config: VisionConfig) -> VisionFacts:
    return VisionFacts(config.patch, config.merge, config.side, *IMAGE_IDS)


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
