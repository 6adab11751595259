"""Perplexity of the autoregressive head: the nats of every token of known texts, each text in one causal pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from trimode.engines.base import Floats, Row
from trimode.engines.onnx.engine import OnnxRuntimeEngine


@dataclass(frozen=True)
class Text:
    """Token ids under a name; those from `start` on are counted. `size` is the bytes of the counted part."""

    name: str
    ids: list[int]
    start: int
    size: int


def measure(bundle: Path, texts: Iterable[Text], counted: Callable[[], None]) -> dict[str, dict[str, Any]]:
    """Return by name: tokens counted, their bytes, their nats together, and the perplexity."""
    engine = OnnxRuntimeEngine.open(bundle, threads=0, spin=False, max_slots=1)
    slot = engine.allocate(block=False)
    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        ids = np.asarray(text.ids, dtype=np.int64)  # (S,)
        want = np.arange(text.start - 1, len(ids) - 1)  # the rows that predict the counted tokens
        result = engine.run([Row(slot, ids, 0, "causal", want, keep=False)])[0]
        entry = found.setdefault(text.name, {"tokens": 0, "bytes": 0, "nats": 0.0})
        entry["tokens"] += len(want)
        entry["bytes"] += text.size
        entry["nats"] += float(nats(result.logits, ids[text.start :]).sum())
        counted()
    for entry in found.values():
        entry["nats"] = round(entry["nats"], 3)
        entry["perplexity"] = round(math.exp(entry["nats"] / entry["tokens"]), 4)
    return found


def nats(logits: Floats, ids: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return (R,) the negative log-probability of `ids` (R,) under `logits` (R, V)."""
    wide = logits.astype(np.float64)
    top = wide.max(axis=-1)  # (R,)
    return np.asarray(top + np.log(np.exp(wide - top[:, None]).sum(axis=-1)) - wide[np.arange(len(ids)), ids])


def together(entries: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return several entries as one."""
    chosen = list(entries)
    tokens, nats_ = sum(e["tokens"] for e in chosen), sum(e["nats"] for e in chosen)
    size = sum(e["bytes"] for e in chosen)
    return {"tokens": tokens, "bytes": size, "nats": round(nats_, 3), "perplexity": round(math.exp(nats_ / tokens), 4)}
