"""A toy engine and a byte tokenizer: real protocol, no weights, so that decoding is tested in microseconds.

Causal logits are a pure function of the tokens before them, so greedy decoding has one right answer; block logits point
at that answer with probability `hit`, so that drafts are accepted in runs of every length.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import numpy as np
import tokenizers
from tokenizers import decoders, models, pre_tokenizers
from trimode.api.effort import EffortTable, Level
from trimode.auto.cost_curve import ROWS, TOKENS, CostCurve
from trimode.bundle.manifest import Manifest
from trimode.config import ServerConfig
from trimode.engines.base import Row, RowResult
from trimode.engines.options import MaxSlots
from trimode.errors import EngineError
from trimode.runtime import Runtime
from trimode.text.tokenizer import Tokenizer

from tests.support.arrays import Array

SPECIAL = ["<eos>", "<mask>"]
BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
VOCAB = len(SPECIAL) + len(BYTES)
EOS, MASK = 0, 1
EFFORTS = EffortTable(
    "sha256:0",
    (
        Level(0.0, 8, 1, None, 0, accuracy=0.5, forwards_per_token=0.1),
        Level(0.5, 8, 8, 0.7, 0, accuracy=0.8, forwards_per_token=0.2),
        Level(0.75, 4, 4, 0.9, 3, accuracy=0.9, forwards_per_token=0.4),
    ),
)
"""A table of efforts with every kind of level."""


def byte_tokenizer(template: str | None = None) -> Tokenizer:
    vocab = {token: number for number, token in enumerate([*SPECIAL, *BYTES, "</think>"])}
    backend = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(SPECIAL)
    backend.add_tokens(["</think>"])
    return Tokenizer(backend, template, {"eos_token": "<eos>"})


def manifest(capacity: int = 512, block_size: int = 8, vocab_size: int = VOCAB + 1) -> Manifest:
    return Manifest(
        model="toy", runtime="toy", runtime_version="0", kv_form="delta", precision="float32", capacity=capacity,
        buckets=(64, capacity), num_layers=1, num_kv_heads=1, head_dim=2, hidden_size=2, vocab_size=vocab_size,
        block_size=block_size, mask_token_id=MASK, eos_token_id=EOS, bos_token_id=None, adapter=True,
        checkpoint_hash="", files={},
    )  # fmt: skip


class ToyEngine:
    """Implements `engines.base.Engine`; a slot's keys and values are the tokens themselves."""

    in_host_memory = True
    slots = 10_000

    def __init__(self, *, hit: float = 0.7, peak: float = 6.0, seed: int = 0, eos_rate: float = 0.0) -> None:
        self.manifest = manifest()
        self.busy_seconds = 0.0
        self.calls = 0
        self.rows: list[Row] = []
        self._hit, self._peak, self._seed, self._eos_rate = hit, peak, seed, eos_rate
        self._slots: dict[int, list[int]] = {}

    @classmethod
    def open(
        cls, bundle: Path, *, threads: int, spin: bool, max_slots: MaxSlots, device: int = 0, on_gpu: bool = False
    ) -> Self:
        raise NotImplementedError("a toy has no bundle")

    def allocate(self, *, block: bool) -> int:
        slot = next(number for number in range(self.slots) if number not in self._slots)
        self._slots[slot] = []
        return slot

    def free(self, slot: int) -> None:
        del self._slots[slot]

    def place(self, slot: int, *, block: bool) -> None:
        assert slot in self._slots

    def copy_out(self, slot: int, start: int, count: int) -> Array:
        held = self._slots[slot][start : start + count]
        assert len(held) == count
        return np.array(held, dtype=np.float32)

    def copy_in(self, slot: int, start: int, entries: Array) -> None:
        assert len(self._slots[slot]) >= start
        self._slots[slot] = [*self._slots[slot][:start], *(int(token) for token in entries)]

    @property
    def capacity(self) -> int:
        return 64

    def close(self) -> None:
        pass

    def run(self, rows: Sequence[Row]) -> list[RowResult]:
        self.calls += 1
        self.rows += rows
        assert len({row.slot for row in rows}) == len(rows)
        return [self._run(row) for row in rows]

    def causal_logits(self, before: Sequence[int]) -> Array:
        """(V,) what comes after `before`."""
        rng = self._rng("causal", before)
        logits = rng.normal(size=self.manifest.vocab_size)
        if rng.random() < self._eos_rate:
            logits[EOS] += 20.0
        return logits.astype(np.float32)

    def greedy(self, prompt: Sequence[int], count: int) -> list[int]:
        """The `count` tokens that greedy decoding must give, mask id never among them, end token kept."""
        tokens = list(prompt)
        for _ in range(count):
            logits = self.causal_logits(tokens)
            logits[MASK] = -np.inf
            tokens.append(int(logits.argmax()))
        return tokens[len(prompt) :]

    def _run(self, row: Row) -> RowResult:
        past = self._slots[row.slot][: row.start]
        assert len(past) == row.start, "a row must start where its slot's kept tokens end, or before"
        tokens = [int(token) for token in row.tokens]
        length = row.start + (len(tokens) if isinstance(row.sees, str) else row.stored)
        if length > self.manifest.capacity:
            raise EngineError(
                f"a sequence of {length} tokens exceeds the engine's capacity of {self.manifest.capacity}"
            )
        if not isinstance(row.sees, str):
            logits = [self._masked_logits(past, row, int(at)) for at in row.want]
        elif row.sees == "causal":
            logits = [self.causal_logits([*past, *tokens[: at + 1]]) for at in row.want]
        else:
            answer = self.greedy([*past, tokens[0]], len(tokens) - 1)
            logits = [self._block_logits(past, tokens, int(at), answer) for at in row.want]
        if row.keep:
            self._slots[row.slot] = [*past, *tokens[: row.stored]]
        return RowResult(np.array(logits, dtype=np.float32).reshape(len(row.want), self.manifest.vocab_size), MASK)

    def _masked_logits(self, past: list[int], row: Row, at: int) -> Array:
        """What a token with a mask of its own says: those it sees before a group of masks are the text it follows.

        Tokens that see nothing after themselves are causal; a mask drafts the text that follows the others.
        """
        assert isinstance(row.sees, np.ndarray)
        positions = row.start + np.arange(len(row.tokens)) if row.positions is None else row.positions
        text = [int(other) for other in np.flatnonzero(row.sees[at]) if row.tokens[other] != MASK]
        assert [int(positions[other]) for other in text] == [row.start + index for index in range(len(text))]
        before = [*past, *(int(row.tokens[other]) for other in text)]
        if row.tokens[at] != MASK:
            assert text[-1] == at
            return self.causal_logits(before)
        ahead = int(positions[at]) - len(before)
        answer = self.greedy(before, ahead + 1)
        return self._block_logits(before, [MASK] * (ahead + 2), ahead + 1, answer)

    def _block_logits(self, past: list[int], tokens: list[int], at: int, answer: list[int]) -> Array:
        rng = self._rng("block", [*past, -1, *tokens, -1, at])
        logits = rng.normal(size=self.manifest.vocab_size)
        target = answer[at - 1] if at and rng.random() < self._hit else int(rng.integers(self.manifest.vocab_size))
        logits[target] += self._peak * rng.random()
        return logits

    def _rng(self, kind: str, tokens: Sequence[int]) -> np.random.Generator:
        text = f"{self._seed} {kind} {list(map(int, tokens))}".encode()
        return np.random.default_rng(int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big"))


def toy_config(**config: int) -> ServerConfig:
    return ServerConfig(**config)  # type: ignore[arg-type]


def toy_curve() -> CostCurve:
    """A device on which a block of 32 takes twice as long as a token, and rows cost a tenth of the first."""
    seconds = [[(1 + 0.1 * (b - 1)) * (1 + s / 32) / 1000 for s in TOKENS] for b in ROWS]
    return CostCurve(np.array(seconds), 64)


def toy_runtime(engine: ToyEngine, template: str | None = None, **config: int) -> Runtime:
    return Runtime(engine, byte_tokenizer(template), toy_config(**config), curve=toy_curve())


@contextmanager
def running(engine: ToyEngine, template: str | None = None, **config: int) -> Iterator[Runtime]:
    runtime = toy_runtime(engine, template, **config)
    try:
        yield runtime
    finally:
        runtime.close()
