"""The product's own runtime and torch engine at a released model's shapes, with random weights: what its loop takes.

Requests of every mode run through scheduler, auto and engine; a row of results says tokens, passes, the time inside
passes and outside them, and what was copied to the host. With random weights next to no draft is accepted, so passes
are what counts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from trimode.api.answer import Chunk
from trimode.bundle.manifest import Manifest
from trimode.bundle.tensor_index import Positions, TensorIndex
from trimode.config import ServerConfig
from trimode.engines.torch.device import Device as EngineDevice
from trimode.engines.torch.engine import TorchEngine
from trimode.engines.torch.network import Network
from trimode.engines.torch.weights import Layer, Weights
from trimode.engines.torch.windows import MARGIN
from trimode.runtime import Runtime
from trimode_convert.checkpoint.config import read_rope
from trimode_convert.checkpoint.keys import Keys
from trimode_convert.graph.rope import attention_factor, inverse_frequencies

from .device import Device
from .passes import weight_bytes

CAPACITY = 2048
"""Tokens of a sequence: more than the requests here have, and little memory at 32 slots."""
PROMPT, BLOCK = 64, 32
"""Tokens of a prompt, and of a block, which is the released models'."""
WAIT_SECONDS = 600.0
"""How long one set of requests may take: far more than on any GPU."""
MODES: dict[str, dict[str, Any]] = {
    "autoregressive": {"mode": "autoregressive"},
    "self_speculation": {"mode": "self_speculation"},
    "diffusion": {"mode": "diffusion", "block_length": 8, "denoise_steps": 4},
    "autoregressive, top-p": {"mode": "autoregressive", "temperature": 0.7, "top_p": 0.9},
    "auto": {"mode": "auto"},
}
"""What is asked, in the order of worth."""


@dataclass(frozen=True)
class Work:
    """What is asked at a time.

    Attributes:
        rows: numbers of requests at once.
        tokens: of each answer.
    """

    rows: tuple[int, ...] = (1, 8, 16, 32)
    tokens: int = 96


TINY_WORK = Work((1, 2), 8)


def measure(
    size: str, config: Mapping[str, Any], device: Device, work: Work, done: Sequence[tuple[str, int]] = ()
) -> Generator[dict[str, Any], None, None]:
    """Yield a row for each mode and number of requests that is not in `done`."""
    left = [(mode, rows) for rows in work.rows for mode in MODES if (mode, rows) not in done]
    if not left:
        return
    slots = max(work.rows)
    with closing(_runtime(size, config, device, slots)) as runtime:
        for mode, rows in left:
            _ask(runtime, mode, rows, BLOCK)  # libraries choose kernels at first sight of a shape
            yield {"size": size, "mode": mode, "rows": rows, **_ask(runtime, mode, rows, work.tokens)} | {
                "weight_bytes": weight_bytes(config, device.dtype.itemsize)
            }


def _runtime(size: str, config: Mapping[str, Any], device: Device, slots: int) -> Runtime:
    manifest = _manifest(size, config)
    rope = read_rope(Keys(Path("config.json"), config["rope_parameters"]))
    index = TensorIndex(
        intermediate_size=config["intermediate_size"],
        num_heads=config["num_attention_heads"],
        norm_epsilon=config["rms_norm_eps"],
        positions=Positions(
            tuple(float(one) for one in inverse_frequencies(rope, config["head_dim"])),
            attention_factor(rope),
            rope.query_scale_beta,
            rope.original_length,
        ),
        adapter_scale=0.0,
        tensors={},
    )
    opened = EngineDevice(torch.device(device.kind))
    with opened.active():
        network = Network(_random_weights(config, device), manifest, index, CAPACITY + MARGIN)
    engine = TorchEngine(opened, network, manifest, slots)
    return Runtime(engine, None, ServerConfig(max_slots=slots, prefix_cache_mib=0))


def _manifest(size: str, config: Mapping[str, Any]) -> Manifest:
    return Manifest(
        model=size,
        runtime="torch",
        runtime_version="random weights",
        kv_form="scatter",
        precision="",
        capacity=CAPACITY,
        buckets=(CAPACITY,),
        num_layers=config["num_hidden_layers"],
        num_kv_heads=config["num_key_value_heads"],
        head_dim=config["head_dim"],
        hidden_size=config["hidden_size"],
        vocab_size=config["vocab_size"],
        block_size=BLOCK,
        mask_token_id=config["mask_token_id"],
        eos_token_id=config["eos_token_id"],
        bos_token_id=None,
        adapter=False,
        checkpoint_hash="",
        files={},
    )


def _random_weights(config: Mapping[str, Any], device: Device) -> Weights:
    """Return weights of a scale that keeps activations near one."""
    torch.manual_seed(0)
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    queries = config["num_attention_heads"] * config["head_dim"]
    keys = config["num_key_value_heads"] * config["head_dim"]

    def make(*dims: int) -> Tensor:
        made = torch.empty(dims, dtype=device.dtype, device=device.kind)
        return made.normal_(std=dims[-1] ** -0.5) if len(dims) == 2 else made.fill_(1)

    def layer() -> Layer:
        return Layer(
            norm=make(hidden),
            qkv=make(queries + 2 * keys, hidden),
            o=make(hidden, queries),
            mlp_norm=make(hidden),
            gate_up=make(2 * inner, hidden),
            down=make(hidden, inner),
            adapter=None,
        )

    vocab = config["vocab_size"]
    layers = tuple(layer() for _ in range(config["num_hidden_layers"]))
    return Weights(make(vocab, hidden), make(vocab, hidden), make(hidden), None, layers)


def _ask(runtime: Runtime, mode: str, rows: int, tokens: int) -> dict[str, Any]:
    """Run `rows` requests at once and return what they took."""
    engine = runtime.engine
    assert isinstance(engine, TorchEngine)
    device, done, answers = engine.device, threading.Semaphore(0), list[Chunk]()

    def sink(chunk: Chunk) -> None:
        if chunk.finish_reason is not None or chunk.error is not None:
            answers.append(chunk)
            done.release()

    before = engine.calls, engine.busy_seconds, device.downloads, device.downloaded_bytes
    began = time.perf_counter()
    for number in range(rows):
        prompt = [101 + (number + at) % 100 for at in range(PROMPT)]
        given = {"input_ids": prompt, "max_tokens": tokens, "end_id": -1, "seed": number, **MODES[mode]}
        runtime.submit(given, sink)
    for _ in range(rows):
        if not done.acquire(timeout=WAIT_SECONDS):
            raise TimeoutError(f"{rows} requests of mode {mode}: expected answers within {WAIT_SECONDS:.0f} s")
    seconds = time.perf_counter() - began
    if failed := [chunk.error for chunk in answers if chunk.error is not None]:
        raise RuntimeError(f"{len(failed)} of {rows} requests of mode {mode} failed, first: {failed[0]}")
    passes, busy = engine.calls - before[0], engine.busy_seconds - before[1]
    return {
        "tokens": sum(len(chunk.token_ids) for chunk in answers),
        "seconds": round(seconds, 4),
        "passes": passes,
        "seconds_in_passes": round(busy, 4),
        "host_milliseconds_a_pass": round(1000 * (seconds - busy) / max(passes, 1), 4),
        "downloads": device.downloads - before[2],
        "downloaded_bytes": device.downloaded_bytes - before[3],
    }
