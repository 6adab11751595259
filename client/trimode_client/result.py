"""Piece and Completion, which a caller gets back, and the Assembler that makes them from the server's responses.

Knows the names of outputs; knows nothing of protocols. A response is a mapping of output name to Python value.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from trimode.api.answer import (
    Candidate,
    Decisions,
    Edit,
    FinishReason,
    PromptLogProbs,
    Provisional,
    ProvisionalToken,
    Top,
)
from trimode.api.tensors import COUNTS, OUTPUTS, RATIOS

from .errors import IncompleteError

_NOT_COUNTERS = {tensor.name for tensor in OUTPUTS}.difference(COUNTS, RATIOS)


@dataclass(frozen=True)
class Completion:
    """A whole answer.

    Attributes:
        text: the whole answer; for a revision, the revised text.
        finish_reason: "stop" or "length".
        num_input_tokens, num_output_tokens: tokens of the prompt and of the answer.
        token_ids: the answer's tokens.
        log_probs: one per token, only with return_log_probs; else empty.
        cum_log_probs: their sum, only with return_log_probs.
        top: with top_log_probs, the likeliest tokens of each place and their log-probabilities, the likeliest first.
        prompt: how likely the prompt is, only with return_prompt_log_probs.
        counters: forwards by phase, tokens_per_forward, tokens_per_cycle, acceptance_rate …
        params: the values that the server used, its defaults included.
        fills: the text that fills each gap, for a request with gaps.
        candidates: for each gap, the fillings that were tried, only with return_candidates.
        edits: the changes of a revision, from left to right.
        auto: what mode auto chose; None with any other mode.
        timing: `queue_time_ms`, `time_to_first_token_ms` and `mean_itl_ms`, measured by the server; null for what did
            not happen. Empty where gaps were filled.
        acceptance_histogram: how many verifications of self-speculation confirmed 0, 1, 2 … drafted tokens.
        seconds, first_seconds: time from sending to the last and to the first response, measured by the client.
    """

    text: str
    finish_reason: FinishReason
    num_input_tokens: int
    num_output_tokens: int
    token_ids: tuple[int, ...] = ()
    log_probs: tuple[float, ...] = ()
    cum_log_probs: float | None = None
    top: tuple[Top, ...] = ()
    prompt: PromptLogProbs | None = None
    counters: Mapping[str, int | float] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    fills: tuple[str, ...] = ()
    candidates: tuple[tuple[Candidate, ...], ...] = ()
    edits: tuple[Edit, ...] = ()
    auto: Decisions | None = None
    timing: Mapping[str, float | None] = field(default_factory=dict)
    acceptance_histogram: tuple[int, ...] = ()
    seconds: float = 0.0
    first_seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Piece:
    """Text that became final, and its tokens; the last piece of a stream carries the Completion.

    With stream_provisional a piece may have no text. `provisional` is the block after the last denoising pass that the
    piece comes from, and `earlier` the blocks after those before it, which are there with stream_interval_ms alone.
    """

    text: str
    token_ids: tuple[int, ...] = ()
    log_probs: tuple[float, ...] = ()
    completion: Completion | None = None
    provisional: Provisional | None = None
    earlier: tuple[Provisional, ...] = ()

    @property
    def passes(self) -> tuple[Provisional, ...]:
        """The block after each pass that the piece comes from, in order."""
        return self.earlier if self.provisional is None else (*self.earlier, self.provisional)


class Assembler:
    """Makes pieces from responses, and a Completion from all of them. Its clock starts when it is created."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._first = 0.0
        self._texts: list[str] = []
        self._token_ids: list[int] = []
        self._log_probs: list[float] = []
        self._top: list[Top] = []
        self._single: dict[str, Any] = {}

    def add(self, outputs: Mapping[str, Any]) -> Piece:
        """Add one response; its Piece carries the Completion if the response is the last one.

        Raises:
            IncompleteError: a response came after the last one, or a value has another type than its name promises.
        """
        if self._single.get("finish_reason"):
            raise IncompleteError("the server sent more after its last response")
        try:
            text = str(outputs.get("text_output", ""))
            token_ids = tuple(int(value) for value in _as_list(outputs.get("output_ids")))
            log_probs = tuple(float(value) for value in _as_list(outputs.get("output_log_probs")))
            self._texts.append(text)
            self._token_ids += token_ids
            self._log_probs += log_probs
            self._top += _tops(outputs, "output", len(token_ids))
            self._single.update({name: value for name, value in outputs.items() if value is not None})
            blocks = [_provisional(text) for text in _as_list(outputs.get("provisional"))]
            if not self._first and (text or token_ids or not blocks):
                self._first = time.perf_counter() - self._started
            completion = self._complete() if self._single.get("finish_reason") else None
        except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError) as exc:
            raise IncompleteError(f"a response of the server cannot be read: {exc}") from exc
        return Piece(text, token_ids, log_probs, completion, blocks[-1] if blocks else None, tuple(blocks[:-1]))

    def _complete(self) -> Completion:
        last = self._single
        cumulative = last.get("cum_log_probs")
        return Completion(
            text="".join(self._texts),
            finish_reason=last["finish_reason"],
            num_input_tokens=int(last.get("num_input_tokens", 0)),
            num_output_tokens=int(last.get("num_output_tokens", len(self._token_ids))),
            token_ids=tuple(self._token_ids),
            log_probs=tuple(self._log_probs),
            cum_log_probs=float(cumulative) if self._log_probs and cumulative is not None else None,
            top=tuple(self._top),
            prompt=_prompt(last),
            counters={n: v for n, v in last.items() if n not in _NOT_COUNTERS and isinstance(v, int | float)},
            params=json.loads(last.get("effective_params") or "{}"),
            fills=tuple(str(text) for text in _as_list(last.get("fills"))),
            candidates=tuple(
                tuple(Candidate(**tried) for tried in gap) for gap in json.loads(last.get("infill_candidates") or "[]")
            ),
            edits=tuple(Edit(**edit) for edit in json.loads(last.get("edits") or "[]")),
            auto=Decisions(**json.loads(last["auto"])) if last.get("auto") else None,
            timing=json.loads(last.get("timing") or "{}"),
            acceptance_histogram=tuple(int(count) for count in _as_list(last.get("acceptance_histogram"))),
            seconds=time.perf_counter() - self._started,
            first_seconds=self._first,
        )


def _tops(outputs: Mapping[str, Any], of: str, places: int) -> list[Top]:
    """Return the likeliest tokens of so many places, which the outputs hold one after the other."""
    ids = [int(value) for value in _as_list(outputs.get(f"{of}_top_ids"))]
    values = [float(value) for value in _as_list(outputs.get(f"{of}_top_log_probs"))]
    if not ids:
        return []
    each = len(ids) // places
    return [(ids[at : at + each], values[at : at + each]) for at in range(0, len(ids), each)]


def _prompt(outputs: Mapping[str, Any]) -> PromptLogProbs | None:
    if outputs.get("prompt_ids") is None:
        return None
    ids = [int(value) for value in _as_list(outputs["prompt_ids"])]
    values = [float(value) for value in _as_list(outputs.get("prompt_log_probs"))]
    return PromptLogProbs(ids, values, _tops(outputs, "prompt", len(values)))


def _provisional(text: str) -> Provisional:
    block = json.loads(text)
    tokens = tuple(ProvisionalToken(**token) for token in block.pop("tokens"))
    return Provisional(**block, tokens=tokens)


def _as_list(value: object) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
