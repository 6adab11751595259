"""Forward passes over one sequence, as data, and a bundle that runs them with ONNX Runtime.

The numpy model and the bundle run the same passes. Knows the names of the graph's inputs and outputs; does not know
what the right logits are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from trimode.bundle.manifest import GRAPH, WEIGHTS, Manifest
from trimode.errors import BundleError

from ..checkpoint.tensor_file import FloatArray
from .onnx_reference import needs_reference, open_graph


class Pictures(NamedTuple):
    """What stands for pictures in a pass: the places of its tokens, and what is read there for their embeddings."""

    places: NDArray[np.int64]  # (F,)
    rows: FloatArray  # (F, hidden)


@dataclass(frozen=True)
class Pass:
    """One forward pass over tokens that follow `start` kept ones. Causal, or each new token sees all new tokens."""

    name: str
    tokens: NDArray[np.int64]  # (S,)
    start: int
    causal: bool
    keep: bool = False
    adapter: bool = False
    pictures: Pictures | None = None

    @property
    def sees(self) -> NDArray[np.bool_]:
        """Which new token (row) sees which (column)  # (S, S)."""
        size = len(self.tokens)
        return np.tri(size, dtype=bool) if self.causal else np.ones((size, size), dtype=bool)


CACHE_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class BundleRunner:
    """Runs a bundle's graph on the CPU, one row at a time, with its cache on the host.

    For TensorRT it runs the graph from which the plan is compiled: this checks what was exported, not what TensorRT
    makes of it. ONNX's own reference computes a graph in bfloat16, for small models only.
    """

    def __init__(self, folder: Path, threads: int = 0) -> None:
        self.manifest = Manifest.load(folder)
        by_reference = needs_reference(folder / GRAPH)
        opened = open_graph(folder / GRAPH, folder / WEIGHTS, self.manifest, by_reference=by_reference, threads=threads)
        self.session, self.names = opened.session, opened.outputs
        self.cache_type: Any = ml_dtypes.bfloat16
        if not by_reference:
            self.cache_type = next(CACHE_TYPES[v.type] for v in self.session.get_inputs() if v.name == "past_key.0")

    def run(self, passes: Sequence[Pass]) -> list[FloatArray]:
        """Return the logits of every token of every pass, in order  # (S, vocab) each.

        Raises:
            BundleError: the passes exceed the bundle's capacity.
        """
        return [found["logits"][0] for found in self.outputs(passes)]

    def outputs(self, passes: Sequence[Pass]) -> list[dict[str, NDArray[Any]]]:
        """Return all outputs of every pass, in order, by name.

        Raises:
            BundleError: the passes exceed the bundle's capacity.
        """
        manifest = self.manifest
        places = _places(passes)
        longest = max(place + len(step.tokens) for place, step in zip(places, passes, strict=True))
        if longest > manifest.capacity:
            raise BundleError(f"the checks reach position {longest}, the bundle's capacity is {manifest.capacity}")
        length = min(size for size in manifest.buckets if size >= longest)
        scatter = manifest.kv_form == "scatter"
        shape = (1, manifest.num_kv_heads, manifest.capacity if scatter else length, manifest.head_dim)
        caches = [f"past_{kind}.{layer}" for layer in range(manifest.num_layers) for kind in ("key", "value")]
        cache = {name: np.zeros(shape, self.cache_type) for name in caches}
        results = []
        for place, step in zip(places, passes, strict=True):
            form = _scatter(step, place, length) if scatter else _delta(step)
            feeds = cache | _shared_feeds(step, manifest) | form
            found = dict(zip(self.names, self.session.run(None, feeds), strict=True))
            results.append(found)
            if scatter:  # always written; what comes next writes over what was not kept
                cache = {name: found[name.replace("past_", "present_")] for name in cache}
            elif step.keep:
                for name, rows in cache.items():
                    new = found[name.replace("past_", "new_")].reshape(len(step.tokens), *shape[1::2])  # [S, Hkv, D]
                    rows[0, :, step.start : step.start + len(step.tokens)] = new.swapaxes(0, 1)
        return results


def _shared_feeds(step: Pass, manifest: Manifest) -> dict[str, NDArray[Any]]:
    feeds: dict[str, NDArray[Any]] = {
        "input_ids": step.tokens[None],
        "position_ids": np.arange(step.start, step.start + len(step.tokens))[None],
        "logit_rows": np.arange(len(step.tokens))[None],
    }
    if manifest.adapter:
        feeds["lora_scale"] = np.full((1, len(step.tokens)), step.adapter, np.float32)
    if manifest.vision is not None:
        index = np.full((1, len(step.tokens)), -1)
        places, rows = step.pictures or Pictures(np.zeros(0, np.int64), np.zeros((0, manifest.hidden_size), np.float32))
        index[0, places] = np.arange(len(places))
        spare = np.zeros((1, manifest.hidden_size), np.float32)  # the graph takes at least one
        feeds |= {"image_rows": np.concatenate([rows, spare]), "image_index": index}
    return feeds


def _delta(step: Pass) -> dict[str, NDArray[Any]]:
    return {"past_len": np.array([step.start]), "block_mask": step.sees[None]}


def _places(passes: Sequence[Pass]) -> list[int]:
    """Return where each pass writes, as engines do: at its start if it is kept, else behind all that was kept."""
    held, found = 0, []
    for step in passes:
        found.append(step.start if step.keep else max(held, step.start))
        if step.keep:
            held = step.start + len(step.tokens)
    return found


def _scatter(step: Pass, place: int, length: int) -> dict[str, NDArray[Any]]:
    mask = np.zeros((1, 1, len(step.tokens), length), dtype=bool)
    mask[..., : step.start] = True
    mask[..., place : place + len(step.tokens)] = step.sees
    return {"write_indices": np.array([place]), "attn_mask": mask}


def kit_passes(
    arrays: Mapping[str, NDArray[Any]], rows_of: Callable[[str], FloatArray] | None = None, pad: int = -1
) -> list[tuple[Pass, ...]]:
    """Return the passes whose logits the kit's .npz stores; a pass is named after the array of its expected logits.

    A pass whose logits are not stored (the prefill of the cut prompt) has the name "".

    Args:
        rows_of: from the name of a picture to its rows, for a kit with pictures. pad: the id of a picture's cells.
    """
    groups: list[tuple[Pass, ...]] = []
    index = 0
    while f"prompt{index}_ids" in arrays:
        prefix = f"prompt{index}"
        ids = arrays[f"{prefix}_ids"].astype(np.int64)
        block = arrays[f"{prefix}_block_ids"].astype(np.int64)
        pictures = None
        if rows_of is not None and len(names := arrays[f"{prefix}_images"]):
            pictures = Pictures(np.flatnonzero(ids == pad), np.concatenate([rows_of(str(name)) for name in names]))
        prompt = Pass(f"{prefix}_causal", ids, 0, causal=True, keep=True, pictures=pictures)
        drafts = [Pass(f"{prefix}_block", block, len(ids), causal=False)]
        if f"{prefix}_block_lora" in arrays:
            drafts.append(Pass(f"{prefix}_block_lora", block, len(ids), causal=False, adapter=True))
        groups.append((prompt, *drafts))
        if f"{prefix}_cut" in arrays:
            cut = int(arrays[f"{prefix}_cut"])
            head = Pass("", ids[:cut], 0, causal=True, keep=True)
            groups.append((head, Pass(f"{prefix}_causal_chunk", ids[cut:], cut, causal=True)))
        index += 1
    return groups
