"""A folder for engines of autoregressive models: the same tensors as a Ministral 3, as transformers reads it.

Released checkpoints have Ministral 3's architecture under other names. Names change and values do not: headers of the
tensor files are written again at their old length, and the rest is shared with the checkpoint where both lie on one
file system that can (Btrfs, XFS with reflink), or copied. The draft adapter stays behind: an autoregressive pass does
not use it. Knows no engine.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import struct
from pathlib import Path
from typing import Any

from trimode.bundle.manifest import CHAT_TEMPLATE, GENERATION_CONFIG, TOKENIZER, TOKENIZER_CONFIG
from trimode.errors import BundleError, CheckpointError

from ..atomic_folder import check_place, check_space, megabytes, replacing
from ..checkpoint.checkpoint import HEAD, Checkpoint
from ..checkpoint.config import CONFIG
from ..checkpoint.keys import Keys
from ..checkpoint.llama_layout import ARCHITECTURES, spelled
from ..checkpoint.shards import INDEX

TARGET = "hf-ministral"
MODEL_TYPE = "ministral3"
KEPT = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
    "hidden_act", "vocab_size", "max_position_embeddings", "rms_norm_eps", "initializer_range", "attention_dropout",
    "sliding_window", "torch_dtype", "dtype", "bos_token_id", "eos_token_id", "pad_token_id", "mask_token_id",
)  # fmt: skip
"""Keys of config.json that both architectures have, and the mask id, by which this converter reads the folder too."""
SIDE_FILES = (TOKENIZER, TOKENIZER_CONFIG, "special_tokens_map.json", CHAT_TEMPLATE, GENERATION_CONFIG)
UNUSED = (
    "precision", "capacity", "name", "force", "rehash", "verify", "parity_logits", "parity_pictures", "batch", "chunk",
    "quadratic", "flavour", "gpu", "compute_capability", "graph_only",
)  # fmt: skip
"""Options of the command line without a meaning here, where nothing is computed."""
FICLONE = 0x40049409
"""Linux's ioctl that makes a file share all blocks of another one (ioctl_ficlone(2))."""
COPIED = 64 << 20
"""Bytes that one call copies inside the kernel."""


def check_options(options: argparse.Namespace) -> None:
    """Refuse options that would have no effect.

    Raises:
        BundleError: names the first of them.
    """
    if given := [name for name in UNUSED if getattr(options, name)]:
        option = f"--{given[0].replace('_', '-')}"
        raise BundleError(f"{option} has no meaning with --target {TARGET}, which changes names alone: leave it out")


def write(folder: Path, out: Path) -> str:
    """Write the folder to `out`, whole or not at all; return what was done, for people.

    Raises:
        CheckpointError: the checkpoint at `folder` is broken, in another layout than the released ones, or has a tower.
        BundleError: no room, no permission, or something at `out` already.
    """
    check_place(out)
    with Checkpoint.open(folder) as checkpoint:
        if not checkpoint.config.denoises:
            raise CheckpointError(f"{folder}: expected Nemotron-Labs-Diffusion's layout; this one needs no other names")
        if checkpoint.config.vision is not None:
            raise CheckpointError(f"{folder}: has a vision tower, and {ARCHITECTURES[MODEL_TYPE]} has no place for one")
        files = [file.path for file in checkpoint.files if file.path.parent == checkpoint.folder]
        check_space(out, sum(path.stat().st_size for path in files))
        with replacing(out) as made:
            shared = [_rename(path, made / path.name) for path in files]
            if (path := checkpoint.folder / INDEX).is_file():
                index = Keys.load(path).values
                names = {spelled(name): file for name, file in index["weight_map"].items()}
                _write_json(made / INDEX, {**index, "weight_map": names})
            _write_json(made / CONFIG, _config(checkpoint))
            for name in SIDE_FILES:
                if (source := checkpoint.folder / name).is_file():
                    (made / name).write_bytes(source.read_bytes())
    size = megabytes(sum(path.stat().st_size for path in files))
    return f"{ARCHITECTURES[MODEL_TYPE]}, {size} of tensors {'shared' if all(shared) else 'copied'}"


def _config(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return config.json of a Ministral 3 with the checkpoint's dimensions."""
    found = Keys.load(checkpoint.folder / CONFIG).values
    rope = dict(found["rope_parameters"])
    rope.setdefault("llama_4_scaling_beta", 0.0)  # transformers computes with both, whatever the kind of positions
    rope.setdefault("original_max_position_embeddings", checkpoint.config.max_positions)
    return {
        "architectures": [ARCHITECTURES[MODEL_TYPE]],
        "model_type": MODEL_TYPE,
        **{name: found[name] for name in KEPT if name in found},
        "pad_token_id": found.get("pad_token_id"),
        "rope_parameters": rope,
        "tie_word_embeddings": HEAD not in checkpoint.tensors,  # a head that is stored is the one that counts
        "use_cache": True,
    }


def _rename(source: Path, target: Path) -> bool:
    """Write a tensor file with other names; return whether it shares the values of `source`."""
    with source.open("rb") as old:
        (length,) = struct.unpack("<Q", old.read(8))
        header = json.loads(old.read(length))
        named = {name if name == "__metadata__" else spelled(name): entry for name, entry in header.items()}
        text = json.dumps(named, separators=(",", ":"), ensure_ascii=False).encode()
        padded = text.ljust(max(length, -(-len(text) // 8) * 8))  # of the old length, values stay where they are
        with target.open("wb") as new:
            shared = len(padded) == length and _clone(old.fileno(), new.fileno())
            new.write(struct.pack("<Q", len(padded)) + padded)
            if not shared:
                new.flush()
                _copy(old.fileno(), 8 + length, new.fileno(), 8 + len(padded))
    return shared


def _clone(source: int, target: int) -> bool:
    """Make `target` share all blocks of `source`, if the file system can."""
    try:
        fcntl.ioctl(target, FICLONE, source)
    except OSError:  # another file system, or one without shared blocks
        return False
    return True


def _copy(source: int, start: int, target: int, there: int) -> None:
    """Copy from `start` to the end of one file to `there` in another one."""
    left = os.fstat(source).st_size - start
    os.lseek(target, there, os.SEEK_SET)
    while left > 0:
        done = os.sendfile(target, source, start, min(left, COPIED))
        if not done:
            raise CheckpointError(f"a tensor file was cut short while it was copied: {left} bytes are missing")
        start, left = start + done, left - done


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
