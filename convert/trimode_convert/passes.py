"""Forward passes over one sequence, as data, and the built bundle run on them with ONNX Runtime.

The same passes are run by the reference and by the bundle, and compared. Knows the graph's input and output
names; does not know what the right answers are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from trimode.bundle import GRAPH, Manifest
from trimode.errors import BundleError

from .tensor_file import FloatArray


@dataclass(frozen=True)
class Pass:
    """One forward over tokens that follow `start` kept ones. Causal, or each new token sees all new tokens."""

    name: str
    tokens: NDArray[np.int64]  # (S,)
    start: int
    causal: bool
    keep: bool = False
    adapter: bool = False

    @property
    def sees(self) -> NDArray[np.bool_]:
        """Which new token sees which  # (S, S)."""
        size = len(self.tokens)
        return np.tri(size, dtype=bool) if self.causal else np.ones((size, size), dtype=bool)


class BundleRunner:
    """A bundle's graph in one session, one row at a time, with its cache on the host."""

    def __init__(self, folder: Path, threads: int = 0) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self.manifest = Manifest.load(folder)
        if self.manifest.precision == "int8":  # see linear.int8_linear
            options.add_session_config_entry("session.x64quantprecision", "1")
        self.session = onnxruntime.InferenceSession(str(folder / GRAPH), options, providers=["CPUExecutionProvider"])

    def run(self, passes: Sequence[Pass]) -> list[FloatArray]:
        """Return the logits of every token of every pass, in order  # (S, vocab) each.

        Raises:
            BundleError: the passes reach beyond the bundle's capacity.
        """
        manifest = self.manifest
        longest = max(step.start + len(step.tokens) for step in passes)
        if longest > manifest.capacity:
            raise BundleError(f"the checks reach position {longest}, the bundle's capacity is {manifest.capacity}")
        capacity = min(size for size in manifest.buckets if size >= longest)
        shape = (1, manifest.num_kv_heads, capacity, manifest.head_dim)
        cache = {
            f"past_{kind}.{layer}": np.zeros(shape, np.float32)
            for layer in range(manifest.num_layers)
            for kind in ("key", "value")
        }
        logits = []
        for step in passes:
            stop = step.start + len(step.tokens)
            feeds = cache | {
                "input_ids": step.tokens[None],
                "position_ids": np.arange(step.start, stop)[None],
                "past_len": np.array([step.start]),
                "block_mask": step.sees[None],
                "logit_rows": np.arange(len(step.tokens))[None],
            }
            if manifest.adapter:
                feeds["lora_scale"] = np.array([step.adapter], np.float32)
            found = dict(zip((o.name for o in self.session.get_outputs()), self.session.run(None, feeds), strict=True))
            logits.append(found["logits"][0])
            if step.keep:
                for name, rows in cache.items():
                    rows[:, :, step.start : stop] = found[name.replace("past_", "new_")]
        return logits


def kit_passes(arrays: dict[str, NDArray[np.generic]]) -> list[tuple[Pass, ...]]:
    """Return the forwards whose logits a kit's npz holds; a pass is named by the array of its expected logits.

    A pass with an unnamed result (the prefill of the cut prompt) has the name "".
    """
    groups: list[tuple[Pass, ...]] = []
    index = 0
    while f"prompt{index}_ids" in arrays:
        prefix = f"prompt{index}"
        ids = arrays[f"{prefix}_ids"].astype(np.int64)
        cut = int(arrays[f"{prefix}_cut"])
        block = arrays[f"{prefix}_block_ids"].astype(np.int64)
        prompt = Pass(f"{prefix}_causal", ids, 0, causal=True, keep=True)
        drafts = [Pass(f"{prefix}_block", block, len(ids), causal=False)]
        if f"{prefix}_block_lora" in arrays:
            drafts.append(Pass(f"{prefix}_block_lora", block, len(ids), causal=False, adapter=True))
        groups.append((prompt, *drafts))
        head = Pass("", ids[:cut], 0, causal=True, keep=True)
        groups.append((head, Pass(f"{prefix}_causal_chunk", ids[cut:], cut, causal=True)))
        index += 1
    return groups
