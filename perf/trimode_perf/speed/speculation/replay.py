"""Decodes recorded answers with the product's own loop, on an engine without a model and a device of any cost.

The loop, the modes and auto are the real ones; time is the sum of what the device's passes cost, so a replay has no
noise. Reading prompts is not counted: it is the same in all modes.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from trimode.auto.ahead import AheadDrafts
from trimode.auto.cost_curve import ROWS, TOKENS, CostCurve
from trimode.bundle.manifest import Manifest
from trimode.config import ServerConfig
from trimode.decoding.quadratic_shape import QuadraticShape
from trimode.engines.base import Floats, Ints, Row, RowResult
from trimode.engines.options import MaxSlots
from trimode.runtime import Runtime

from .recording import Recorded, Recording

Seconds = Callable[[int], float]
"""What a pass of so many tokens takes, those of all rows together."""
NOTHING = np.empty((0, 0), dtype=np.float32)


class Fixed(CostCurve):
    """What auto knows of the device: its costs, which do not change."""

    @classmethod
    def of(cls, seconds: Seconds) -> Fixed:
        """Return the curve of a device."""
        table = [[seconds(rows * tokens) for tokens in TOKENS] for rows in ROWS]
        return cls(np.array(table), 64)

    def due(self) -> bool:
        """Nothing is measured."""
        return False


class Always(AheadDrafts):
    """Chooses one shape whatever it is worth."""

    def __init__(self, drafts: AheadDrafts, shape: QuadraticShape) -> None:
        super().__init__(drafts.limits)
        self._shape = shape

    def best(self, *asked: object, **more: object) -> tuple[float, QuadraticShape | None]:
        """Return the shape."""
        return 1.0, self._shape


class Replayed(RowResult):
    """The tokens that a row chooses, without logits."""

    def __init__(self, ids: Ints, mask_token_id: int) -> None:
        super().__init__(NOTHING, mask_token_id)
        self._top_id = ids

    @property
    def finite(self) -> bool:
        """They are chosen already."""
        return True

    @property
    def top_id(self) -> Ints:
        """(R,) as recorded."""
        assert self._top_id is not None
        return self._top_id

    def best(self, row: int) -> int:
        """The entry of `top_id` for one row."""
        return int(self.top_id[row])

    def part(self, rows: slice) -> Replayed:
        """Return the result of some rows alone."""
        return Replayed(self.top_id[rows], self._mask_token_id)


class ReplayEngine:
    """Implements `engines.base.Engine` over recorded answers; a slot's keys and values are the tokens themselves.

    Attributes:
        taken: seconds of all passes so far that are not of a prompt.
        passes: those passes. largest: tokens of a row of the largest of them. sizes: how many had so many tokens.
            A prompt's pass with masks counts as one, less one of the prompt alone.
    """

    def __init__(self, recording: Recording, seconds: Seconds) -> None:
        self.in_host_memory, self.slots, self._seconds = True, 1024, seconds
        self.manifest = Manifest(
            model="replay", runtime="replay", runtime_version="0", kv_form="delta", precision="float32", capacity=2048,
            buckets=(2048,), num_layers=1, num_kv_heads=1, head_dim=2, hidden_size=2, vocab_size=recording.vocab_size,
            block_size=recording.longest, mask_token_id=recording.mask_token_id, eos_token_id=recording.vocab_size - 1,
            bos_token_id=None, adapter=True, checkpoint_hash="", files={},
        )  # fmt: skip
        self.busy_seconds, self.calls = 0.0, 0
        self.taken, self.passes, self.largest = 0.0, 0, 0
        self.sizes: Counter[int] = Counter()
        self._answers = {one.prompt: one for one in recording.answers}
        self._slots: dict[int, list[int]] = {}
        self._of: dict[int, Recorded] = {}

    @classmethod
    def open(
        cls, bundle: Path, *, threads: int, spin: bool, max_slots: MaxSlots, device: int = 0, on_gpu: bool = False
    ) -> Self:
        """There is no bundle to open."""
        raise NotImplementedError("a replay has no bundle")

    def allocate(self, *, block: bool) -> int:
        """Return a free slot."""
        self._slots[slot := next(free for free in range(len(self._slots) + 1) if free not in self._slots)] = []
        return slot

    def free(self, slot: int) -> None:
        """Give a slot back."""
        del self._slots[slot]
        self._of.pop(slot, None)

    def place(self, slot: int, *, block: bool) -> None:
        """Slots lie nowhere."""

    def copy_out(self, slot: int, start: int, count: int) -> Floats:
        """Return the tokens."""
        return np.array(self._slots[slot][start : start + count], dtype=np.float32)

    def copy_in(self, slot: int, start: int, entries: Floats) -> None:
        """Put tokens there."""
        self._slots[slot] = [*self._slots[slot][:start], *(int(token) for token in entries)]

    @property
    def capacity(self) -> int:
        """It has no cost here."""
        return 64

    def close(self) -> None:
        """There is nothing to release."""

    def run(self, rows: Sequence[Row]) -> list[RowResult]:
        """Return what was recorded; count the call's time, padding included."""
        self.calls += 1
        results: list[RowResult] = [self._run(row) for row in rows]
        if not any(self._reads(row) for row in rows):
            longest = max(len(row.tokens) for row in rows)
            self.passes, self.largest = self.passes + 1, max(self.largest, longest)
            self.taken += self._seconds(len(rows) * longest)
            self.sizes[len(rows) * longest] += 1
        for row in rows:
            if self._reads(row) and row.stored < len(row.tokens):  # masks behind a prompt, which takes longer for them
                self.taken += self._seconds(len(row.tokens)) - self._seconds(row.stored)
                self.sizes[len(row.tokens)] += 1
                self.sizes[row.stored] -= 1
        return results

    def _reads(self, row: Row) -> bool:
        """Whether a row is of a prompt."""
        answer = self._of.get(row.slot)
        return answer is None or row.start < len(answer.prompt)

    def _run(self, row: Row) -> Replayed:
        past, tokens = self._slots[row.slot][: row.start], row.tokens.tolist()
        mask = self.manifest.mask_token_id
        if row.slot not in self._of and (*past, *tokens[: row.stored]) in self._answers:
            self._of[row.slot] = self._answers[(*past, *tokens[: row.stored])]
        answer = self._of.get(row.slot)
        if isinstance(row.sees, str):
            ids = [
                self._causal(answer, [*past, *tokens[: at + 1]])
                if row.sees == "causal"
                else self._drafted(answer, [*past, tokens[0]], at, len(tokens))
                for at in row.want.tolist()
            ]
        else:
            heads = row.stored
            ids = []
            for at in row.want.tolist():
                if at < heads:
                    ids.append(self._causal(answer, [*past, *tokens[: at + 1]]))
                    continue
                seen = np.flatnonzero(row.sees[at])
                known = int((seen < heads).sum())
                group = seen[known:]
                mask_number = int(np.searchsorted(group, at)) + 1
                ids.append(self._ahead(answer, [*past, *tokens[:known]], mask_number, len(group)))
        assert mask not in ids
        if row.keep:
            self._slots[row.slot] = [*past, *tokens[: row.stored]]
        return Replayed(np.array(ids, dtype=np.int64), mask)

    @staticmethod
    def _place(answer: Recorded | None, text: list[int]) -> tuple[Recorded, int] | None:
        """Return the answer that `text` is the beginning of, and how many of its tokens it has; None off the way."""
        if answer is None:
            return None
        begun = tuple(text[len(answer.prompt) :])
        return (answer, len(begun)) if begun == answer.tokens[: len(begun)] else None

    def _token(self, answer: Recorded, index: int, *, right: bool) -> int:
        token = answer.tokens[index] if index < len(answer.tokens) else self.manifest.eos_token_id
        other = (token + 1) % self.manifest.vocab_size
        return token if right else other + (other == self.manifest.mask_token_id)

    def _causal(self, known: Recorded | None, text: list[int]) -> int:
        found = self._place(known, text)
        return 0 if found is None else self._token(*found, right=True)

    def _drafted(self, known: Recorded | None, text: list[int], offset: int, length: int) -> int:
        """Return the token at an offset of a draft that a pass of its own makes; `text` ends with its seed."""
        found = self._place(known, text)
        if found is None or found[1] < 1:
            return 0
        answer, count = found
        run = answer.apart[answer.length(length)]
        right = count <= len(run) and offset <= run[count - 1]
        return self._token(answer, count - 1 + offset, right=right)

    def _ahead(self, known: Recorded | None, text: list[int], mask: int, masks: int) -> int:
        """Return the token that the mask-th of so many masks behind `text` drafts; the first is not asked."""
        found = self._place(known, text)
        if found is None:
            return 0
        answer, count = found
        run = answer.ahead[answer.length(masks)]
        right = count < len(run) and mask - 1 <= run[count]
        return self._token(answer, count + mask - 1, right=right)


@dataclasses.dataclass(frozen=True)
class Replay:
    """What a way of decoding took and gave on a device.

    Attributes:
        verifications: passes that verified a draft, or gave a single token.
        largest: tokens of the largest pass.
        choices: auto's cycles by kind.
    """

    tokens: int
    seconds: float
    passes: int
    verifications: int
    largest: int
    choices: dict[str, int]

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds


def replay(
    recording: Recording,
    seconds: Seconds,
    fields: dict[str, Any],
    *,
    shape: QuadraticShape | None = None,
    quadratic: bool = True,
) -> Replay:
    """Answer every recorded prompt twice, one at a time, and count the second time: auto has met such prompts by then.

    Args:
        fields: the way of decoding, such as mode and block_length.
        shape: in mode auto, take passes of this shape throughout.
        quadratic: whether auto may choose quadratic passes.
    """
    engine = ReplayEngine(recording, seconds)
    runtime = Runtime(engine, None, ServerConfig(prefix_cache_mib=0), curve=Fixed.of(seconds))
    if not quadratic:
        runtime.auto.ahead = None
    elif shape is not None:
        assert runtime.auto.ahead is not None
        runtime.auto.ahead = Always(runtime.auto.ahead, shape)
    tokens, verified, choices = 0, 0, dict[str, int]()
    try:
        for number in range(2):
            before, begun, engine.largest = engine.passes, engine.taken, 0
            tokens, verified, choices = 0, 0, {}
            for answer in recording.answers:
                asked = {"input_ids": list(answer.prompt), "max_tokens": len(answer.tokens), "end_id": -1, **fields}
                chunk = runtime.generate(asked)
                assert tuple(chunk.token_ids) == answer.tokens, f"{answer.domain}: another text in round {number}"
                tokens += len(answer.tokens) - 1  # the first comes with the prompt
                verified += chunk.counters.verify_forwards + chunk.counters.decode_forwards
                for name, count in (chunk.auto.cycles if chunk.auto else {}).items():
                    choices[name] = choices.get(name, 0) + count
        passes = engine.passes - before
        return Replay(tokens, engine.taken - begun, passes, verified, engine.largest, dict(sorted(choices.items())))
    finally:
        runtime.close()
