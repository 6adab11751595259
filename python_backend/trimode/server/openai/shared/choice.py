"""One answer while its pieces come in: the text that a client may see, its thought, its tokens, and how it ended.

Knows nothing of the shapes that endpoints give it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ....text.tokenizer import Tokenizer
from ..tools.calls import Call, CallPiece, CallReader
from .asked import Asked
from .facts import Facts
from .logprobs import Token, listed, tokens_in
from .thinking import Thinking
from .work import Piece

NOT_COUNTERS = {"model_name", "model_version", "text_output", "finish_reason", "output_ids", "output_log_probs",
                "output_top_ids", "output_top_log_probs", "prompt_ids", "prompt_log_probs", "prompt_top_ids",
                "prompt_top_log_probs",
                "effective_params", "auto", "timing", "provisional", "fills", "infill_candidates", "cum_log_probs",
                "id", "edits",
                "acceptance_histogram"}  # fmt: skip
"""What a last piece has in addition to counters."""
TEXT_ALONE = {"model_name", "model_version", "id", "text_output"}
"""What a piece has that adds text and nothing else: most of a stream."""


class Delta(NamedTuple):
    """What one piece adds to an answer."""

    text: str = ""
    thought: str = ""
    ids: tuple[int, ...] = ()
    tokens: tuple[Token, ...] = ()
    passes: tuple[dict[str, Any], ...] = ()
    calls: tuple[CallPiece, ...] = ()
    last: bool = False

    @property
    def only_text(self) -> bool:
        """Whether there is text, and nothing beside it but what calls add."""
        return bool(self.text) and not (self.thought or self.ids or self.tokens or self.passes)

    @property
    def says(self) -> bool:
        """Whether a client sees anything of it."""
        return bool(self.says_more_than_calls or self.calls)

    @property
    def says_more_than_calls(self) -> bool:
        """Whether there is anything but calls in it."""
        return bool(self.text or self.thought or self.ids or self.tokens or self.passes)

    def blocks(self) -> dict[str, Any]:
        """Return the block after the last denoising pass, and those after the passes before it, as clients get them."""
        if not self.passes:
            return {}
        *earlier, last = self.passes
        return {"provisional": last, **({"earlier": earlier} if earlier else {})}


@dataclass
class Choice:
    """The answer of one job.

    Attributes:
        text, thought: all of it so far.
        ids: its tokens so far, if generate was asked for them.
        tokens: those with log-probabilities, if asked for; prompt: those of the prompt.
        finish_reason: "stop", "length" or "tool_calls" once it ended; `stopped_by` is the text, or the id of the token,
            that ended it, if one of those that the request gives did.
        last: the last piece.
    """

    asked: Asked
    facts: Facts
    text: str = ""
    thought: str = ""
    ids: list[int] = field(default_factory=list)
    tokens: list[Token] = field(default_factory=list)
    prompt: list[Token] = field(default_factory=list)
    finish_reason: str | None = None
    stopped_by: str | int | None = None
    last: Piece = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._thinking = Thinking(thinks=self.asked.thinking)
        self._calls = None if self.asked.tools is None else CallReader(self.asked.tools)
        self._said = 0  # characters of generate's text, those of the thought and its end included
        self._plain = not (self.asked.thinking or self.asked.tools or self.asked.silent)

    def take(self, piece: Piece) -> Delta:
        """Take in a piece; return what it adds."""
        if self._plain and piece.keys() <= TEXT_ALONE:
            said = piece["text_output"]
            self._said += len(said)
            self.text += said
            return Delta(said)
        last = "finish_reason" in piece
        self._take_prompt(piece)
        if self.asked.silent:
            piece = {**piece, "text_output": "", "output_ids": [], "output_log_probs": [], "output_top_ids": []}
            if last:
                piece |= {"finish_reason": "length", "num_output_tokens": 0}
        said = piece["text_output"]
        ids = listed(piece, "output_ids")
        if last:
            self.last = piece
            self.finish_reason = piece["finish_reason"]
            if self.asked.cut:
                said = self._cut(said)
        self._said += len(said)
        thought, text = self._thinking.push(said, last=last)
        if not self.asked.show_thought:
            thought = ""
        calls: list[CallPiece] = []
        if self._calls is not None:
            text, calls = self._calls.push(text, last=last)
        self.text += text
        self.thought += thought
        self.ids += ids
        tokens = self._tokens(piece, last=last)
        self.tokens += tokens
        if last and not self.asked.cut and self.finish_reason == "stop":
            self.stopped_by = self.ids[-1] if self._ended_by_id() else self._stop_after(self.facts.tokenizer)
        if last and self._calls is not None and self._calls.whole and self.finish_reason == "stop":
            self.finish_reason = "tool_calls"
        shown = tuple(ids) if self.asked.return_ids else ()
        passes = tuple(json.loads(block) for block in listed(piece, "provisional"))
        return Delta(text, thought, shown, tuple(tokens), passes, tuple(calls), last)

    @property
    def calls(self) -> list[Call]:
        """The calls that it makes."""
        return [] if self._calls is None else self._calls.calls

    @property
    def has_words(self) -> bool:
        """Whether it has a text, be it empty, beside calls or in place of them."""
        return bool(self.text) or not (self.calls or self.asked.calls_only)

    def _take_prompt(self, piece: Piece) -> None:
        if "prompt_ids" in piece and self.facts.tokenizer is not None:
            self.prompt = tokens_in(piece, "prompt", self.facts.tokenizer)

    def _tokens(self, piece: Piece, *, last: bool) -> list[Token]:
        """Return the tokens of a piece with their log-probabilities, if these are asked for."""
        asked, tokenizer = self.asked, self.facts.tokenizer
        if asked.logprobs is None or tokenizer is None:
            return []
        found = tokens_in(piece, "output", tokenizer, () if asked.show_special else tokenizer.special_ids)
        if asked.with_end:
            return found
        if last and not asked.show_stop and self._ended_by_id():
            found = found[:-1]
        return found if asked.show_special else [token for token in found if token.number != self.facts.end_id]

    def _cut(self, text: str) -> str:
        """Return what stands before the first stop string."""
        hits = [(at + len(word), at, word) for word in self.asked.stops if (at := text.find(word)) >= 0]
        if not hits:
            return text
        end, at, self.stopped_by = min(hits)
        self.finish_reason = "stop"
        return text[: end if self.asked.show_stop else at]

    def _ended_by_id(self) -> bool:
        """Whether the last token is one of those that the request ends with."""
        return self.finish_reason == "stop" and bool(self.ids) and self.ids[-1] in self.asked.stop_ids

    def _stop_after(self, tokenizer: Tokenizer | None) -> str | None:
        """Return the stop string that follows the answer's text among its tokens."""
        if tokenizer is None or not self.asked.stops:
            return None
        special = self.asked.show_special or self.asked.marked
        whole, said = tokenizer.decode(self.ids, special=special), self._said
        if self.asked.show_stop:
            return next((word for word in self.asked.stops if whole[:said].endswith(word)), None)
        return next((word for word in self.asked.stops if whole.startswith(word, said)), None)

    @property
    def reasoning_tokens(self) -> int:
        """How many tokens its thought has."""
        if not self.asked.thinking or self.facts.tokenizer is None:
            return 0
        end = self.facts.tokenizer.end_think_token_id
        return self.ids.index(end) if end in self.ids else len(self.ids)

    def extras(self) -> dict[str, Any]:
        """Return what the client asked for by fields of ours, for the last of an answer."""
        found: dict[str, Any] = {}
        if "return_perf_metrics" in self.asked.extras:
            found["counters"] = {name: value for name, value in self.last.items() if name not in NOT_COUNTERS}
            if "acceptance_histogram" in self.last:
                found["acceptance_histogram"] = list(listed(self.last, "acceptance_histogram"))
            if "auto" in self.last:
                found["auto"] = json.loads(self.last["auto"])
            if "timing" in self.last:
                found["timing"] = json.loads(self.last["timing"])
        if "return_effective_params" in self.asked.extras:
            found["effective_params"] = json.loads(self.last["effective_params"])
        if "infill_candidates" in self.last:
            found["infill_candidates"] = json.loads(self.last["infill_candidates"])
        return {"trimode": found} if found else {}


def best(choices: Sequence[Choice], keep: int | None, prompts: int) -> list[Choice]:
    """Return the `keep` answers to each prompt whose tokens are the likeliest on average, the likeliest first."""
    if keep is None:
        return list(choices)
    each = len(choices) // prompts

    def likelihood(choice: Choice) -> float:
        total, tokens = choice.last.get("cum_log_probs", 0.0), choice.last["num_output_tokens"]
        return float(total) / max(int(tokens), 1)

    kept = []
    for at in range(0, len(choices), each):
        kept += sorted(choices[at : at + each], key=likelihood, reverse=True)[:keep]
    return kept
