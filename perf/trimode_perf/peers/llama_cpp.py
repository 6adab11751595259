"""llama.cpp through its C API: the checkpoint as GGUF with weights of one type, autoregressive.

The loop is the shortest there is: the prompt, then token by token the best of the logits. Threads wait as OpenMP has it
by default. Knows nothing of processes.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from trimode_convert.checkpoint.checkpoint import GGUF, Checkpoint

from . import gguf_file
from .libllama import Model, about
from .peer import OWN, Answer, Peer, PeerError

CONTEXT = 2048
"""Tokens of a prompt and its answer, fewer where the checkpoint has fewer."""


def load(checkpoint: Path, threads: int, kind: str) -> Peer:
    """Write the checkpoint with its matrices in `kind`, and load that; OWN loads a GGUF checkpoint itself."""
    with Checkpoint.open(checkpoint) as opened:
        context, own = min(CONTEXT, opened.config.max_positions), opened.files[0].path
    if kind == OWN:
        if own.suffix != GGUF:
            raise PeerError(f"{checkpoint} is no GGUF file")
        return peer(Model(own, threads, context), f"{about()}, the file itself")
    with TemporaryDirectory(prefix="trimode-gguf-") as folder:
        written = Path(folder) / f"{kind}{GGUF}"
        gguf_file.write(checkpoint, kind, written)
        return peer(Model(written, threads, context), f"{about()}, {kind}")  # it stays mapped once it has no name


def peer(model: Model, words: str) -> Peer:
    """Return a loaded model as a peer."""

    before = 0  # tokens that stand for a pass's context

    def generate(prompt: list[int], max_tokens: int, eos: int) -> Answer:
        nonlocal before
        before = 0
        model.crop(0)
        ids = [int(np.argmax(model.decode(prompt)))]
        while len(ids) < max_tokens and ids[-1] != eos:
            ids.append(int(np.argmax(model.decode(ids[-1:]))))
        return Answer(ids, len(ids) - 1)

    def one_pass(tokens: int, context: int, causal: bool) -> float:
        nonlocal before
        model.crop(before if before == context else 0)
        if before != context:
            model.decode([0] * context)
            before = context
        began = time.perf_counter()
        model.decode(range(tokens), every=True, causal=causal)
        return time.perf_counter() - began

    return Peer(words, {"autoregressive": generate}, one_pass)
