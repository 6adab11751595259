"""Milliseconds of a pass at the released shapes, against what the device could do at most.

The weights are random and made on the device; the layers, the head, the mask and the cache in place are real. A pass
takes `tokens` of each of `rows` sequences whose cache then holds `context` entries, and leaves the likeliest token and
its probability, for every position, in the host's memory. Knows no files.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ..common.published import tensors
from ..common.statistics import Spread
from .device import Device
from .model import ATTENTION, Call, StaticModel

SECONDS = 1.0  # of repetitions of one call
REPEATS = (10, 50)  # at least and at most
TRIAL = 3  # calls by which the kinds of attention are compared
RESERVE = 1 << 30  # bytes that are left free: libraries, graphs, fragmentation


@dataclass(frozen=True)
class Shape:
    """One cell of the table."""

    size: str
    rows: int
    tokens: int
    context: int


@dataclass(frozen=True)
class Grid:
    """What is measured of every size."""

    rows: Sequence[int] = (1, 2, 4, 8, 16, 32)
    tokens: Sequence[int] = (1, 8, 16, 32, 64)
    contexts: Sequence[int] = (512, 1024, 2048, 4096, 8192)

    def shapes(self, size: str) -> list[Shape]:
        """Return the shapes of a size, the few rows first; a cache is made once for all tokens of rows and context."""
        return [
            Shape(size, rows, tokens, context)
            for rows in self.rows
            for context in self.contexts
            for tokens in self.tokens
            if tokens <= context
        ]


def work(config: Mapping[str, Any], shape: Shape, item: int) -> dict[str, int]:
    """Return the bytes a pass must move and the operations it must do, two a multiplication.

    Bytes: every weight but the embedding once, the embedding's rows that are asked for, the cache's entries read and
    written, of `item` bytes a value. Activations and logits are left out: a perfect engine keeps them on the chip.
    """
    fed = shape.rows * shape.tokens
    weights = {name: dims for name, dims in tensors(dict(config)).items() if name != "encoder.embed_tokens.weight"}
    products = sum(math.prod(dims) for dims in weights.values() if len(dims) == 2)
    norms = sum(dims[0] for dims in weights.values() if len(dims) == 1)
    cached = _entry(config) * shape.rows * (shape.context + shape.tokens)
    moved = products + norms + fed * config["hidden_size"] + cached
    queries = config["num_attention_heads"] * config["head_dim"]
    attended = 4 * config["num_hidden_layers"] * queries * fed * shape.context
    return {"bytes": moved * item, "operations": 2 * products * fed + attended}


def needed(config: Mapping[str, Any], shape: Shape, item: int) -> int:
    """Return the memory a measurement takes in addition to the weights: cache, scores of one layer, logits."""
    fed, heads = shape.rows * shape.tokens, config["num_attention_heads"]
    cache = _entry(config) * shape.rows * shape.context * item
    bias = 2 * heads // config["num_key_value_heads"] * fed * shape.context * item
    scores = 3 * heads * fed * shape.context * 4
    logits = fed * config["vocab_size"] * (2 * item + 8)
    activations = 8 * fed * (config["intermediate_size"] + config["hidden_size"]) * 4
    return int(cache + bias + scores + logits + activations + RESERVE)


def _entry(config: Mapping[str, Any]) -> int:
    """Return the values that the cache has for a token."""
    return int(2 * config["num_hidden_layers"] * config["num_key_value_heads"] * config["head_dim"])


def weight_bytes(config: Mapping[str, Any], item: int) -> int:
    """Return the bytes of all weights."""
    return item * sum(math.prod(dims) for dims in tensors(dict(config)).values())


def random_model(config: Mapping[str, Any], device: Device, longest: int) -> StaticModel:
    """Make a model of random weights on the device, of a scale that keeps activations near one."""
    shapes = tensors(dict(config))
    torch.manual_seed(0)

    def make(name: str) -> Tensor:
        dims = shapes[name]
        made = torch.empty(dims, dtype=device.dtype, device=device.kind)
        return made.normal_(std=dims[-1] ** -0.5) if len(dims) == 2 else made.fill_(1)

    return StaticModel(config, make, longest=longest)


def measure(
    size: str, config: Mapping[str, Any], device: Device, shapes: Sequence[Shape], *, seconds: float = SECONDS
) -> Generator[dict[str, Any], None, None]:
    """Yield a row for each shape of one size: its milliseconds, or `skipped` and why."""
    item = torch.empty(0, dtype=device.dtype).element_size()
    weights, free = weight_bytes(config, item), device.free_bytes()
    if weights + RESERVE > free:
        for shape in shapes:
            yield {**asdict(shape), "skipped": _too_large(f"{size}'s weights", weights + RESERVE, free)}
        return
    model = random_model(config, device, max(shape.context for shape in shapes))
    cache: Tensor | None = None
    for shape in shapes:
        if cache is None or (cache.shape[1], cache.shape[3]) != (shape.rows, shape.context):
            cache = None
        have = 0 if cache is None else cache.nbytes
        _collect()
        wanted, free = needed(config, shape, item) - have, device.free_bytes()
        if wanted > free:
            yield {**asdict(shape), "skipped": _too_large("cache and activations", wanted, free)}
            continue
        try:
            if cache is None:
                cache = model.cache(shape.rows, shape.context).normal_()
            row = _timed(model, cache, shape, device, seconds)
        except torch.cuda.OutOfMemoryError:
            cache = None
            yield {**asdict(shape), "skipped": "the device ran out of memory"}
            continue
        yield {**asdict(shape), **row, **work(config, shape, item)}
    del model, cache
    _collect()


def _timed(model: StaticModel, cache: Tensor, shape: Shape, device: Device, seconds: float) -> dict[str, Any]:
    """Measure the shape with the kind of attention that is faster here."""
    calls = {}
    for name in ATTENTION:
        call = Call(model, cache, shape.tokens, shape.context, attention=name)
        call.ids.random_(0, model.config["vocab_size"])
        call.start.fill_(shape.context - shape.tokens)
        call.capture()
        call.run()
        calls[name] = (min(device.time(call.run, TRIAL)), call)
    best = min(calls, key=lambda name: calls[name][0])
    first, call = calls[best]
    least, most = REPEATS
    repeats = max(least, min(most, int(1000 * seconds / max(first, 1e-3))))
    times = asdict(Spread.of(device.time(call.run, repeats)))
    taken = {name: round(value, 4) for name, value in times.items()}
    return {"milliseconds": taken, "repeats": repeats, "attention": best}


def _too_large(what: str, wanted: int, free: int) -> str:
    return f"{what} take {wanted / 1e9:.1f} GB, {free / 1e9:.1f} GB are free"


def _collect() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
