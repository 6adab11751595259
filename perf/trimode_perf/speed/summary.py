"""Samples of the bench as the figures of the report: every ratio pairs samples of the same prompt and round."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from trimode.api.fields import Mode

from ..common.statistics import Spread, ratios
from .layers import MODES, PATHS, Sample

BASELINE = Mode.AUTOREGRESSIVE.value
LAYERS = ("engine", *PATHS)


def summarise(samples: Sequence[Sample]) -> dict[str, Any]:
    """Return latency, speed against autoregressive, and what each path adds to the engine."""
    seconds = _by_layer(samples)
    return {
        "milliseconds": {
            mode: {layer: asdict(Spread.of([1000 * v for v in seconds[mode, layer].values()])) for layer in LAYERS}
            for mode in MODES
        },
        "speed_against_autoregressive": {
            mode: {layer: _speed(samples, seconds, mode, layer) for layer in LAYERS} for mode in MODES
        },
        "over_engine": {
            mode: {layer: asdict(_paired(seconds[mode, layer], seconds[mode, "engine"])) for layer in PATHS}
            for mode in MODES
        },
        "added_milliseconds": {
            mode: {layer: _added(seconds[mode, layer], seconds[mode, "engine"]) for layer in PATHS} for mode in MODES
        },
        "paths_agree": _agreement(samples),
    }


Key = tuple[int, int]  # round, prompt


def _by_layer(samples: Iterable[Sample]) -> dict[tuple[str, str], dict[Key, float]]:
    found: defaultdict[tuple[str, str], dict[Key, float]] = defaultdict(dict)
    for sample in samples:
        key = (sample.round, sample.prompt)
        found[sample.mode, sample.path][key] = sample.seconds
        if sample.engine_seconds is not None:
            found[sample.mode, "engine"][key] = sample.engine_seconds
    return found


def _paired(above: dict[Key, float], below: dict[Key, float]) -> Spread:
    keys = sorted(above)
    return ratios([above[key] for key in keys], [below[key] for key in keys])


def _added(above: dict[Key, float], below: dict[Key, float]) -> dict[str, float]:
    return asdict(Spread.of([1000 * (above[key] - below[key]) for key in sorted(above)]))


def _speed(
    samples: Sequence[Sample], seconds: dict[tuple[str, str], dict[Key, float]], mode: str, layer: str
) -> dict[str, Any]:
    """Return how much faster than autoregressive `mode` is, per answer and per token."""
    path = "loop" if layer == "engine" else layer
    tokens = {(s.mode, s.round, s.prompt): max(1, s.tokens) for s in samples if s.path == path}
    keys = sorted(seconds[mode, layer])
    own, base = seconds[mode, layer], seconds[BASELINE, layer]
    answer = ratios([base[key] for key in keys], [own[key] for key in keys])
    token = ratios(
        [base[key] / tokens[BASELINE, *key] for key in keys], [own[key] / tokens[mode, *key] for key in keys]
    )
    return {"per_answer": asdict(answer), "per_token": asdict(token)}


def _agreement(samples: Sequence[Sample]) -> bool:
    """Whether every path and round gave the same text for the same prompt and mode."""
    texts: defaultdict[tuple[str, int], set[str]] = defaultdict(set)
    for sample in samples:
        texts[sample.mode, sample.prompt].add(sample.text)
    return all(len(found) == 1 for found in texts.values())
