"""The contract between the runtime and any engine: rows go in, one compiled call runs, logits come back.

A causal step, a denoising pass and a verification differ only in a row's data: which tokens, what they see, and whether
their keys and values stay. Knows nothing of modes, requests or text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt

from ..bundle.manifest import Manifest
from .log_probs import Doubles, log_prob, log_probs_of
from .options import MaxSlots

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Sees = Literal["causal", "block"]
Lines = slice | npt.NDArray[Any]
"""Which rows of those asked for: a slice, their places, or a truth value for each."""


class Features(NamedTuple):
    """Rows that a pass reads in place of the embeddings of some of its tokens: those of pictures.

    Attributes:
        places: (F,) int64, ascending, which of the row's new tokens.
        rows: (F, hidden) float32.
    """

    places: Ints
    rows: Floats

    def within(self, start: int, count: int) -> Features | None:
        """Return those among the `count` tokens from `start` on, counted from there; None if there are none."""
        first, last = np.searchsorted(self.places, (start, start + count))
        return Features(self.places[first:last] - start, self.rows[first:last]) if first < last else None


class Row(NamedTuple):
    """One sequence's share of an engine call.

    Attributes:
        slot: where the sequence's keys and values live.
        tokens: (S,) int64, the new tokens.
        start: position of the first one; the slot's first `start` entries are what all of them can see.
        sees: "causal", each new token sees itself and those before it; "block", all of them; or (S, S) bool, query
            by key, as quadratic self-speculation gives it.
        want: (R,) int64, the rows of `tokens` whose logits are needed; may be empty.
        keep: store the new keys and values in the slot at `start`; what was there is overwritten.
        adapter: run this row with the draft adapter; or (S,) bool, the tokens that run with it.
        positions: (S,) int64, the position of each token; None where they follow each other from `start` on.
        leading: with `keep`, store only so many of the first new tokens; None stores all.
        features: what stands for tokens of pictures; None where the row reads none.
    """

    slot: int
    tokens: Ints
    start: int
    sees: Sees | Bools
    want: Ints
    keep: bool
    adapter: bool | Bools = False
    positions: Ints | None = None
    leading: int | None = None
    features: Features | None = None

    @property
    def stored(self) -> int:
        """How many of the first new tokens stay in the slot."""
        if not self.keep:
            return 0
        return len(self.tokens) if self.leading is None else self.leading


class RowResult:
    """The logits that one row asked for. They are views of the engine's buffers: read them before the next call."""

    def __init__(self, logits: Floats, mask_token_id: int, raw: Floats | None = None) -> None:
        self._logits = logits
        self._raw = raw
        self._mask_token_id = mask_token_id
        self._stuck: npt.NDArray[np.bool_] | None = None
        self._largest_id: Ints | None = None
        self._top_id: Ints | None = None
        self._numbers: bool | None = None  # whether the logits are; looked at once
        self._spoiled = False

    @property
    def logits(self) -> Floats:
        """(R, V), as the model gives them, unless rules changed them."""
        return self._logits

    @property
    def raw(self) -> Floats:
        """(R, V), as the model gives them, whatever rules changed."""
        return self.logits if self._raw is None else self._raw

    @property
    def finite(self) -> bool:
        """Whether the pass gave numbers: where it did not, nothing may be chosen from the logits.

        The largest logit of a row alone is looked at: it is NaN if any is, and was looked for to choose a token.
        """
        if self._numbers is None:  # the engine asks before it stores keys and values, the loop before it chooses
            ids, logits = self._largest, self.logits
            if len(ids) == 1:  # the most frequent pass of all, so it is kept short
                self._numbers = math.isfinite(logits[0, ids[0]])
            else:
                self._numbers = bool(np.isfinite(logits[np.arange(len(ids)), ids]).all())
        return self._numbers and not self._spoiled

    def spoil(self) -> None:
        """Record that the pass gave keys or values that are not finite."""
        self._spoiled = True

    @property
    def _largest(self) -> Ints:
        """(R,) where each row's largest logit is, the mask id's included; a NaN counts as larger than any number."""
        if self._largest_id is None:
            self._largest_id = self.logits.argmax(axis=-1)
        return self._largest_id

    @property
    def top_id(self) -> Ints:
        """(R,) most likely token of each row, the mask id left out; the first wins a tie."""
        if self._top_id is None:
            ids = self._largest
            if self._mask_token_id in ids:
                ids = self.without_mask().argmax(axis=-1)
            self._top_id = ids
        return self._top_id

    def best(self, row: int) -> int:
        """The entry of `top_id` for one row."""
        token = int(self._largest[row])
        return token if token != self._mask_token_id else int(self.top_id[row])

    @property
    def top_prob(self) -> Floats:
        """(R,) probability of `top_id` under the whole softmax, the mask id included."""
        ids = self.top_id
        # Shifted by the token's own logit rather than the row's maximum: one pass over (R, V) less than prob_of.
        shifted = self.logits - self.logits[np.arange(len(ids)), ids][:, None]  # (R, V), 0 at the chosen token
        np.exp(shifted, out=shifted)
        return np.asarray(1.0 / shifted.sum(axis=-1), dtype=np.float32)

    def prob_of(self, ids: Ints) -> Floats:
        """(R,) probability of one given token per row."""
        top = self.logits.max(axis=-1)  # (R,)
        shifted = self.logits - top[:, None]  # (R, V)
        chosen = shifted[np.arange(len(ids)), ids]  # (R,)
        np.exp(shifted, out=shifted)
        return np.asarray(np.exp(chosen) / shifted.sum(axis=-1), dtype=np.float32)

    def log_prob_of(self, row: int, token: int) -> float:
        """Log-probability of a token in one row under the model's own softmax, whatever rules changed."""
        return log_prob(self.raw[row], token)

    def log_probs_of(self, ids: Ints, rows: Lines = slice(None)) -> Doubles:
        """(N,) the same of one given token for each of `rows`, which are N; ids: (N,)."""
        return log_probs_of(self.raw[rows], ids)

    def without(self, ids: Sequence[int], only: Mapping[int, Ints] | None = None) -> RowResult:
        """Return the same result in which none of `ids` can be chosen or has a probability.

        Args:
            only: for some rows, by their place among those asked for, the ids that can be chosen there at all.
        """
        if not ids and not only:
            return self
        logits = self.logits.copy()
        for row, allowed in (only or {}).items():
            logits[row] = -np.inf
            logits[row, allowed] = self.logits[row, allowed]
        logits[:, list(ids)] = -np.inf
        return RowResult(logits, self._mask_token_id) if self._raw is None else self.reshaped(logits)

    def reshaped(self, scores: Floats) -> RowResult:
        """Return the same result with `scores` (R, V), which may be changed, in place of its logits.

        A row in which nothing but the mask id is left keeps the model's own logits, and is `stuck`.
        """
        made = RowResult(scores, self._mask_token_id, self.raw)
        of_mask = scores[:, self._mask_token_id].copy()
        scores[:, self._mask_token_id] = -np.inf
        made._stuck = scores.max(axis=-1) == -np.inf
        scores[:, self._mask_token_id] = of_mask
        if made._stuck.any():
            scores[made._stuck] = self.raw[made._stuck]
        if self._stuck is not None:
            made._stuck |= self._stuck
        return made

    def stuck(self, row: int | slice = slice(None)) -> bool:
        """Whether rules leave no token for a row, or for one of several."""
        return self._stuck is not None and bool(np.any(self._stuck[row]))

    def line(self, row: int) -> RowResult:
        """Return the result of one row alone."""
        return self.part(slice(row, row + 1))

    def part(self, rows: slice) -> RowResult:
        """Return the result of some rows alone."""
        raw = None if self._raw is None else self._raw[rows]
        made = RowResult(self.logits[rows], self._mask_token_id, raw)
        made._stuck = None if self._stuck is None else self._stuck[rows]
        return made

    def without_mask(self, rows: slice = slice(None)) -> Floats:
        """(R, V) copy of the logits, or of those of some rows, in which the mask id cannot be chosen."""
        scores = self.logits[rows].copy()
        scores[:, self._mask_token_id] = -np.inf
        return scores


class Engine(Protocol):
    """A compiled model with slots for keys and values. Not thread-safe: one thread runs it."""

    manifest: Manifest
    busy_seconds: float
    """Time spent inside compiled calls so far."""
    calls: int
    """Compiled calls so far."""
    slots: int
    """Sequences that can hold keys and values at once."""
    in_host_memory: bool
    """Whether keys and values are in the host's memory, so that `copy_out` and `copy_in` cost no more than a copy."""

    @classmethod
    def open(
        cls, bundle: Path, *, threads: int, spin: bool, max_slots: MaxSlots, device: int = 0, on_gpu: bool = False
    ) -> Self:
        """Load `bundle`; `threads` and `spin` are for an engine on the CPU, `device` is a GPU's number.

        Args:
            max_slots: how many sequences can hold keys and values at once, or "auto" for as many as fit the memory.
            on_gpu: a GPU was asked for: an engine that can do without one must not.

        Raises:
            BundleError: the bundle is missing, broken or made for another runtime, there is no GPU that it needs, or
                memory for fewer slots than asked for.
        """
        ...

    def allocate(self, *, block: bool) -> int:
        """Return a free slot; `block` says that its rows will be blocks rather than single tokens."""
        ...

    def free(self, slot: int) -> None:
        """Give a slot back."""
        ...

    def place(self, slot: int, *, block: bool) -> None:
        """Declare that from now on a slot's rows are blocks, or single tokens; its entries stay."""
        ...

    def copy_out(self, slot: int, start: int, count: int) -> Floats:
        """Return a copy of the keys and values of `count` entries from `start` on, for `copy_in` alone to read.

        Raises:
            EngineError: they cannot be read, or are not finite.
        """
        ...

    def copy_in(self, slot: int, start: int, entries: Floats) -> None:
        """Put entries that `copy_out` returned, of any slot, at `start`."""
        ...

    @property
    def capacity(self) -> int:
        """Entries of the cache that a call reads at the moment, filled or not; a call's cost depends on it."""
        ...

    def run(self, rows: Sequence[Row]) -> list[RowResult]:
        """Run `rows` (at most one per slot), in one compiled call if the engine can; results in the same order.

        A row whose result is not `finite` left nothing in its slot that is not a number, and does not harm the other
        rows; the caller must give its slot back.

        Raises:
            EngineError: the call failed; the entries of a slot before its row's `start` are unchanged.
        """
        ...

    def close(self) -> None:
        """Release what the engine holds; it cannot run after that. A second call does nothing."""
        ...
